"""How a run is ended from outside."""

import os
import signal

import pytest

from .command import CHANGES_THEN_FOREVER, SIGNALS, TRAFFIC, Exits, Place, Result, Session
from .proxies import PLUGINS

pytestmark = pytest.mark.real

#: Longer than any test: only a signal ends such a run.
FOREVER = ("--duration", "3600")


def start_and_change(place: Place, plugin: str) -> Session:
    """Start a run that has made its changes and goes on."""
    path = place.write("changes.toml", CHANGES_THEN_FOREVER)
    session = place.start("--plugin", plugin, "--scenario", path, *place.ports)
    session.until("change 2: remove backend 0 .* applied")
    session.until_settled()
    return session


def assert_in_order(place: Place, plugin: str, result: Result) -> None:
    assert result.stderr == ""
    # Ended before its time, it proves nothing; what its changes did is told all the same.
    assert (result.status, result.verdict) == (3, "invalid")
    assert result.summary["reasons"][0].startswith("the run was ended early, after ")
    fine = {"seamless", "graceful", *(["racy", "lossy"] if plugin == "nginx" else [])}
    assert {change["verdict"] for change in result.changes} <= fine
    result.assert_complete()
    assert [change["error"] for change in result.changes] == [None, None]
    assert place.left() == []


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_in_order(place: Place, plugin: str, number: signal.Signals) -> None:
    session = start_and_change(place, plugin)
    exits = Exits.of(session.descendants())
    session.signal(number)
    assert_in_order(place, plugin, session.ended())
    assert exits.left() == []


@pytest.mark.parametrize("plugin", PLUGINS)
def test_ctrl_c_in_the_whole_process_group_is_not_the_proxys(place: Place, plugin: str) -> None:
    session = start_and_change(place, plugin)
    exits = Exits.of(session.descendants())
    os.killpg(session.pid, signal.SIGINT)
    assert_in_order(place, plugin, session.ended())
    assert exits.left() == []


@pytest.mark.parametrize("number", SIGNALS)
def test_ended_before_the_changes_it_says_so(place: Place, number: signal.Signals) -> None:
    session = place.start("--plugin", "haproxy", *FOREVER, *place.ports)
    session.until(TRAFFIC)
    session.signal(number)
    result = session.ended()
    assert result.stderr == ""
    assert (result.status, result.verdict) == (3, "ineffective")
    assert result.summary["reasons"] == ["the run was ended before: add backend 2, remove backend 0"]
    result.assert_complete()
    assert place.left() == []


def test_a_second_signal_does_not_wait_for_what_is_under_way(place: Place) -> None:
    session = place.start("--plugin", "haproxy", *FOREVER, "--timeout", "3600", *place.ports)
    session.until(TRAFFIC)
    (proxy,) = session.children()
    proxy.suspend()
    for number in SIGNALS:
        session.signal(number)
    result = session.ended()
    assert result.stderr == ""
    assert (result.status, result.verdict) == (3, "invalid")
    result.assert_complete()
    aborted = [row for row in result.rows if row.failure == "aborted"]
    assert aborted
    assert len({row.client for row in aborted}) == len(aborted), "one exchange a client is under way"
    assert place.left() == []


def test_ended_while_the_proxy_starts(place: Place) -> None:
    fifo = place.folder / "fifo"
    os.mkfifo(fifo)
    script = place.write("proxy", f'#!/bin/sh\n[ "$1" = -v ] && exit\necho up > {fifo}\nexec sleep 3600\n', mode=0o755)
    session = place.start("--plugin", "haproxy", "--binary", script, *FOREVER, *place.ports)
    assert fifo.read_text(encoding="ascii") == "up\n"
    session.signal(signal.SIGTERM)
    result = session.ended()
    assert result.stderr == ""
    assert (result.status, result.verdict) == (3, "invalid")
    assert result.rows == []
    assert place.left() == []


@pytest.mark.parametrize("plugin", PLUGINS)
def test_killed_it_takes_the_proxy_along(place: Place, plugin: str) -> None:
    session = place.start("--plugin", plugin, *FOREVER, *place.ports)
    session.until(TRAFFIC)
    session.until_settled()
    proxy = session.descendants()
    assert proxy
    exits = Exits.of(proxy)
    session.signal(signal.SIGKILL)
    result = session.ended()
    assert result.status == -signal.SIGKILL
    assert exits.left() == []
    assert place.left() == []
    # What was written until then is whole.
    assert len(result.rows) > 100
    assert result.run_json["finished"] is False
