"""Backends in processes of their own."""

import os
import signal

import psutil
import pytest

from .command import CHANGES_THEN_FOREVER, SIGNALS, Exits, Place, Session

pytestmark = pytest.mark.real

OPTIONS = ("--plugin", "haproxy", "--backend-processes")


def start_and_change(place: Place) -> Session:
    path = place.write("changes.toml", CHANGES_THEN_FOREVER)
    session = place.start(*OPTIONS, "--scenario", path, *place.ports)
    session.until("change 2: remove backend 0 .* applied")
    session.until_settled()
    return session


def backends(session: Session) -> list[psutil.Process]:
    """Return the backends' processes, by their numbers."""
    found = [process for process in session.children() if "backend" in process.cmdline()]
    return sorted(found, key=lambda process: process.cmdline()[-2:])


def test_the_same_job(place: Place) -> None:
    result = place.run(*OPTIONS, "--duration", "4", *place.ports)
    assert (result.status, result.stderr) == (0, "")
    assert result.verdict in {"seamless", "graceful"}
    result.assert_complete()
    answers = result.summary["answers_by_instance"]
    assert result.summary["arrivals_by_instance"] == answers
    assert set(answers) == {"0", "1", "2"}
    assert place.left() == []


def test_what_a_killed_backend_had_not_told_is_unknown(place: Place) -> None:
    words = ("--repeat", "1", "--pace", "0.5", "--kill-removed", "0.1", "--rate", "500")
    result = place.run(*OPTIONS, *words, *place.ports)
    assert result.stderr == ""
    result.assert_complete()
    [unknown] = result.summary["unknown"]
    assert unknown["instance"] == "0"
    assert unknown["since_us"] <= unknown["until_us"]
    assert result.changes[1]["applied_us"] < unknown["until_us"]
    assert "what backend 0 saw in its last " in result.stdout
    assert place.left() == []


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("whole_group", [False, True], ids=["alone", "whole group"])
def test_a_signal_ends_it_in_order(place: Place, number: signal.Signals, *, whole_group: bool) -> None:
    session = start_and_change(place)
    assert len(backends(session)) == 4
    exits = Exits.of(session.descendants())
    if whole_group:
        os.killpg(session.pid, number)
    else:
        session.signal(number)
    result = session.ended()
    assert result.stderr == ""
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert (result.status, result.verdict) == (3, "invalid")  # ended before its time
    result.assert_complete()
    assert exits.left() == []
    assert place.left() == []


def test_a_backend_that_is_killed_ends_the_run_as_invalid(place: Place) -> None:
    session = start_and_change(place)
    exits = Exits.of(session.descendants())
    backends(session)[1].kill()
    result = session.ended()
    assert result.stderr == ""
    assert (result.status, result.verdict) == (3, "invalid")
    assert "backend 1" in result.summary["reasons"][0]
    result.assert_complete()
    assert exits.left() == []
    assert place.left() == []


def test_killed_it_takes_them_along(place: Place) -> None:
    session = start_and_change(place)
    exits = Exits.of(session.descendants())
    session.signal(signal.SIGKILL)
    assert session.ended().status == -signal.SIGKILL
    assert exits.left() == []
    assert place.left() == []
