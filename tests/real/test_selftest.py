"""The instrument tests itself, and notices when it is broken."""

import re
import signal
import sys
from pathlib import Path

import pytest

from proxyreload.command.selftest import traffic
from proxyreload.history import failures
from proxyreload.run.selftest import SHOWN, STAYS

from .command import Place
from .page import blocks, pattern

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
#: One whose clients do not look whether their connection has been closed before they send.
HASTY = """
import proxyreload.client.http11 as http11
http11.HTTP11Connection._has_come = lambda self: False
from proxyreload.entry import main
main()
"""
#: One that takes events in any order, and every end of a WebSocket.
EASY = """
import proxyreload.traffic.stream as stream
import proxyreload.traffic.websocket as websocket
stream.Heard._told = lambda self, told: ("", "")
websocket.Talk.cut = lambda self, failure, message: ("", "")
from proxyreload.entry import main
main()
"""
#: A proxy that does nothing to anybody.
CALM = """
import proxyreload_control as control
control.faults_of = lambda kind, *, far: []
control.Faults._drawn_outages = lambda self, chance: []
from proxyreload.entry import main
main()
"""
#: What docs/measuring.md shows: no other test may be beside it.
(SHOWN_BY_PAGE,) = (
    command
    for block in blocks(Path(__file__).parents[2] / "docs" / "measuring.md")
    for command in block.shown
    if command.text == "proxyreload selftest"
)
#: Each has one request under way.
CLIENTS = 10 + sum(group.clients for group in traffic())
KINDS = {"get", "fresh", "idle", "aimed", "post", "slow", "stream", "download", "upload", "websocket", "h2", "grpc"}
CLASSES = {
    *(failures.REFUSED, failures.CONNECT_TIMEOUT, failures.RESET_FRESH, failures.RESET_REUSED),
    *(failures.CLOSED_FRESH, failures.CLOSED_REUSED, failures.RESET_MID_RESPONSE, failures.TRUNCATED),
    *(failures.TIMEOUT, failures.MALFORMED, failures.WRONG_BODY, *failures.MESSAGES, *failures.MID_SESSION),
    *("status 502", "status 503", failures.UNSOLICITED, "closed, announced", "closed at rest, unannounced"),
    *("front changed", "back changed", "stragglers"),
    *(failures.STREAM_RESET, failures.TURNED_AWAY, failures.TRAILERS_LOST, failures.call_failure("UNAVAILABLE")),
}
#: All but `lost_unknown`: no backend dies.
FATES = {
    *("answered_once", "answered_twice", "lost_never_arrived", "lost_unexecuted", "lost_executed"),
    *("lost_executed_twice", "never_sent"),
}


def table(text: str) -> dict[str, tuple[int, int]]:
    """Return what was injected and what was found, by name."""
    rows = [ROW.fullmatch(line) for line in text.splitlines()]
    return {row["name"]: (int(row["injected"]), int(row["found"])) for row in rows if row}


@pytest.mark.parametrize("more", [(), ("--backend-processes",)], ids=["", "processes"])
def test_every_fault_of_every_kind_is_found_and_no_other(place: Place, more: tuple[str, ...]) -> None:
    result = place.run("selftest", "--seed", "1", *more, *place.ports)
    assert (result.status, result.stderr) == (0, ""), result.stdout
    found = table(result.stdout)
    kinds = {name.split()[0]: sides for name, sides in found.items() if name.split()[-1].isdigit()}
    classes = {name: sides for name, sides in found.items() if not name.split()[-1].isdigit() or "status" in name}
    assert set(kinds) - {"status"} == KINDS
    assert set(classes) == CLASSES | FATES | {SHOWN, STAYS}
    assert found[SHOWN] == found[STAYS] == (1, 1)
    assert all(injected == seen > 0 for injected, seen in found.values())
    assert len(result.stdout.splitlines()) < 60
    last = re.fullmatch(r"exact, over (\d+) exchanges", result.stdout.splitlines()[-1])
    assert last is not None
    assert int(last[1]) >= 100_000
    assert pattern(SHOWN_BY_PAGE.output).fullmatch(result.stdout)
    assert place.left() == []


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (BLIND, {"get, reset before response, reused", "upload, reset before response, reused"}),
        (HASTY, {"aimed, closed before response, reused"}),
        (EASY, {"stream, message lost", "stream, message repeated", "websocket, closed mid-session"}),
    ],
    ids=["blind", "hasty", "easy"],
)
def test_a_broken_instrument_is_noticed(place: Place, broken: str, told: set[str]) -> None:
    words = ("selftest", "--exchanges", "1", *place.ports)
    result = place.run(*words, command=(sys.executable, "-c", broken))
    assert result.status == 3
    lines = result.stdout.splitlines()
    different = {line.rpartition(":")[0] for line in lines if line.endswith(" found")}
    assert told <= different
    assert any(line.endswith("   DIFFERENT") for line in lines)
    assert lines[-1].startswith("NOT exact, over ")


def test_a_selftest_that_is_interrupted_is_not_exact(place: Place) -> None:
    session = place.start("selftest", "--exchanges", "1000000000", *place.ports)
    session.until("injecting every kind of fault")
    session.signal(signal.SIGINT)
    result = session.ended()
    assert result.status == 3
    assert not result.stdout.splitlines()[-1].startswith("exact")
    assert place.left() == []


def test_no_more_is_unknown_than_a_killed_backend_can_have_had(place: Place) -> None:
    words = ("selftest", "--exchanges", "1000000000", "--backend-processes", *place.ports)
    session = place.start(*words, command=(sys.executable, "-c", CALM))
    while not [path for path in place.temp.glob("proxyreload-selftest-*/data.csv") if path.stat().st_size > 100_000]:
        assert session.process.poll() is None
    [backend] = [each for each in session.children() if each.cmdline()[-2:-1] == ["1"]]
    backend.kill()
    result = session.ended()
    assert (result.status, result.stderr) == (3, "")
    found = table(result.stdout)
    passed, answered = found["answered_once"]
    # Streams that the run ends, which a dead backend ends it for, may have been that backend's: to their clients they
    # are whole as far as they went.
    ended = answered - passed
    assert 0 <= ended <= CLIENTS
    lost = [sides for name, sides in found.items() if name.startswith("lost_")]
    assert sum(injected for injected, _ in lost) == sum(seen for _, seen in lost) + ended > 0
    _injected, unknown = found.get("lost_unknown", (0, 0))
    assert unknown <= CLIENTS
    assert place.left() == []
