"""The same as a service: ``twistd -n proxyreload``."""

import re

import pytest

from proxyreload.proxy.registry import installed

from .command import CHANGES_THEN_FOREVER, SIGNALS, STATUS_LINE, TWISTD, Counts, Place, Result, recount

pytestmark = pytest.mark.real


def assert_told(result: Result) -> None:
    """Check what is told, of which twistd's log may have the last line."""
    assert "Traceback" not in result.stdout
    assert "Unhandled" not in result.stdout
    counts = recount(result.rows)
    lines = [
        Counts(*map(int, found.groups())) for found in map(STATUS_LINE.fullmatch, result.stdout.splitlines()) if found
    ]
    assert lines[-1] == counts
    assert result.summary["exchanges"] == len(result.rows)
    assert re.search(rf"^verdict: {result.verdict}( \(.*\))?$", result.stdout, re.MULTILINE)


def test_a_run_ends_by_itself(place: Place) -> None:
    result = place.run("--plugin", "haproxy", "--duration", "4", *place.ports, command=TWISTD)
    assert (result.status, result.stderr) == (0, "")
    assert result.verdict in {"seamless", "graceful"}
    assert [change["action"] for change in result.changes] == ["add", "remove"]
    assert_told(result)
    assert place.left() == []


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_in_order(place: Place, number: int) -> None:
    path = place.write("changes.toml", CHANGES_THEN_FOREVER)
    session = place.start("--plugin", "haproxy", "--scenario", path, *place.ports, command=TWISTD)
    session.until("change 2: remove backend 0 .* applied")
    session.until_settled()
    session.signal(number)
    result = session.ended()
    assert result.status == result.summary["exit_status"]
    assert result.stderr == ""
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful"}
    assert result.verdict == "invalid"  # ended before its time
    assert_told(result)
    assert place.left() == []


def test_bad_input_is_told_before_it_starts(place: Place) -> None:
    result = place.run("--plugin", "gopher", *place.ports, command=TWISTD)
    assert result.status != 0
    said = result.stdout + result.stderr
    assert f"no plugin 'gopher'; there are: {', '.join(installed())}" in said
    assert "Traceback" not in said
    assert not result.csv.exists()


def test_a_run_that_cannot_start_says_why_and_ends(place: Place) -> None:
    words = ("--plugin", "haproxy", "--csv", "missing/data.csv", *place.ports)
    result = place.run(*words, command=TWISTD)
    assert result.stderr == "proxyreload: missing/data.csv cannot be written: No such file or directory\n"
    assert "Traceback" not in result.stdout
    assert place.left() == []
