"""The instrument tests itself, and notices when it is broken."""

import re
import signal
import sys

import pytest

from proxyreload.history import failures

from .command import Place

pytestmark = pytest.mark.real

ROW = re.compile(r"(?P<name>\S.*?) +(?P<injected>\d+) +(?P<found>\d+)(?P<mark>   DIFFERENT)?")
#: An instrument that takes every reset for a close.
BLIND = """
import proxyreload.client.http11 as http11
told = http11.failures.before_response
http11.failures.before_response = lambda *, reset, reused: told(reset=False, reused=reused)
from proxyreload.entry import main
main()
"""
CLASSES = {
    *(failures.REFUSED, failures.CONNECT_TIMEOUT, failures.RESET_FRESH, failures.RESET_REUSED),
    *(failures.CLOSED_FRESH, failures.CLOSED_REUSED, failures.RESET_MID_RESPONSE, failures.TRUNCATED),
    *(failures.TIMEOUT, failures.MALFORMED, failures.UNSOLICITED, failures.WRONG_BODY, "status 503"),
}


def table(text: str) -> dict[str, tuple[int, int]]:
    """Return what was injected and what was found, by name."""
    rows = [ROW.fullmatch(line) for line in text.splitlines()]
    return {row["name"]: (int(row["injected"]), int(row["found"])) for row in rows if row}


def test_every_fault_is_found_and_no_other(place: Place) -> None:
    result = place.run("selftest", "--seed", "1", *place.ports)
    assert (result.status, result.stderr) == (0, "")
    found = table(result.stdout)
    assert set(found) == CLASSES | {"front changed", "back changed", "stragglers"}
    assert all(injected == seen > 0 for injected, seen in found.values())
    last = re.fullmatch(r"exact, over (\d+) exchanges", result.stdout.splitlines()[-1])
    assert last is not None
    assert int(last[1]) >= 100_000
    assert place.left() == []


def test_a_broken_instrument_is_noticed(place: Place) -> None:
    words = ("selftest", "--exchanges", "1", *place.ports)
    result = place.run(*words, command=(sys.executable, "-c", BLIND))
    assert result.status == 3
    found = table(result.stdout)
    injected, seen = found[failures.RESET_REUSED]
    assert injected > seen == 0
    assert "DIFFERENT" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("NOT exact, over ")


def test_a_selftest_that_is_interrupted_is_not_exact(place: Place) -> None:
    session = place.start("selftest", "--exchanges", "1000000000", *place.ports)
    session.until("injecting every kind of fault")
    session.signal(signal.SIGINT)
    result = session.ended()
    assert result.status == 3
    assert not result.stdout.splitlines()[-1].startswith("exact")
    assert place.left() == []
