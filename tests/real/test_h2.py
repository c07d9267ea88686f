"""What changes of real proxies do to HTTP/2: what is told to go, what is turned away, and what was promised."""

import csv
import signal
import socket
from collections.abc import Sequence
from typing import Self

import pytest

from proxyreload.http2 import frames, hpack
from proxyreload.http2.heard import Event, GoAway, Head
from proxyreload.http2.streams import ClientStreams
from proxyreload.traffic.identity import INSTANCE_FIELD

from .command import HOST, TIMEOUT_S, Place, Result
from .mechanisms import SHORT_LIVED, altered_config, assert_whole
from .proxies import SOZU

pytestmark = pytest.mark.real

CLIENTS, STREAMS = 6, 5
#: Some requests are always under way, 20 ms away, when the change is made; the aimed send on all streams at the sign.
SCENARIO = """\
duration = {duration}
backends = [0, 1]
[[traffic]]
kind = "{kind}"
clients = {clients}
streams = {streams}
rtt = 20
[[step]]
at = 1
{first}
[[step]]
at = 3
{second}
"""
RELOADS, UPGRADES, REPLACED = ("reload = true",) * 2, ("upgrade = true",) * 2, ("add = 2", "remove = 0")
QUIET = ("--clients", "1", "--rate", "20", "--stop-removed", "never")
LARGEST = 2**31 - 1


def changed(
    place: Place,
    mechanism: str,
    changes: tuple[str, str] = RELOADS,
    *words: str,
    duration: float = 5.0,
    kind: str = "h2",
) -> Result:
    """Run HTTP/2 clients through two changes."""
    first, second = changes
    text = SCENARIO.format(duration=duration, kind=kind, clients=CLIENTS, streams=STREAMS, first=first, second=second)
    result = place.run(
        *("--plugin", mechanism, "--scenario", place.write("streams.toml", text)), *QUIET, *words, *place.ports
    )
    assert_whole(place, result)
    assert [change["error"] for change in result.changes] == [None, None]
    return result


def last_streams(result: Result) -> dict[tuple[int, int], list[int]]:
    """Return the last streams of the GOAWAYs, by client and its connection."""
    told: dict[tuple[int, int], list[int]] = {}
    for each in result.summary["goaways"]:
        told.setdefault((each["client"], each["connection"]), []).append(each["last_stream"])
        assert each["code"] == "NO_ERROR"
    return told


def assert_nothing_lost(result: Result) -> None:
    """Check that every request was answered, or turned away and not carried out."""
    told = result.summary["kinds"]["h2"]
    assert told["failures"] == {}
    assert told["verdict"] in ("seamless", "graceful")
    assert {fate for fate, number in told["ledger"].items() if number} <= {"answered_once", "lost_never_arrived"}
    assert told["ledger"]["lost_never_arrived"] == told["turned_away"]


def test_haproxys_reload_says_goaway_once_and_serves_what_comes_all_the_same(place: Place) -> None:
    result = changed(place, "haproxy:reload")
    assert_nothing_lost(result)
    assert result.summary["turned_away"] == 0
    assert set(map(tuple, last_streams(result).values())) == {(LARGEST,)}
    assert len(last_streams(result)) >= CLIENTS


def test_nginxs_reload_turns_away_what_is_on_its_way_and_keeps_its_promise(place: Place) -> None:
    result = changed(place, "nginx:reload")
    assert_nothing_lost(result)
    assert result.summary["turned_away"] > 0
    rows = [row for row in result.rows if row.failure == "turned away"]
    assert len(rows) == result.summary["turned_away"]
    assert {row.kind for row in rows} == {"h2"}
    assert all(len(last) == 1 and last[0] < LARGEST for last in last_streams(result).values())
    with (place.folder / "losses.csv").open(encoding="utf-8", newline="") as file:
        told = [loss for loss in csv.DictReader(file) if loss["kind"] == "h2"]
    assert len(told) == len(rows)
    assert {loss["cause"] for loss in told} == {"turned away"}
    assert all("above the last stream: GOAWAY NO_ERROR" in loss["evidence"] for loss in told)


def test_caddys_load_does_likewise(place: Place) -> None:
    result = changed(place, "caddy:load")
    assert_nothing_lost(result)
    assert all(last[-1] < LARGEST for last in last_streams(result).values())


def test_envoys_hot_restart_says_the_pair(place: Place) -> None:
    result = changed(place, "envoy:hot-restart", duration=8)
    told = last_streams(result)
    assert all(last[0] == LARGEST for last in told.values())
    assert result.summary["kinds"]["h2"]["turned_away"] == 0


@pytest.mark.parametrize(
    ("mechanism", "words"),
    [
        *((mechanism, ()) for mechanism in ("haproxy:runtime", "traefik:file", "envoy:file")),
        pytest.param("sozu:runtime", ("--tls",), marks=SOZU.marks),
    ],
)
def test_what_changes_in_the_running_process_tells_nobody_to_go(
    place: Place, mechanism: str, words: tuple[str, ...]
) -> None:
    result = changed(place, mechanism, REPLACED, *words)
    assert_nothing_lost(result)
    assert result.summary["goaways"] == []


@pytest.mark.parametrize("proxy", [SOZU])
def test_sozus_upgrade_refuses_streams_that_no_backend_has_seen(place: Place, proxy: str) -> None:
    result = changed(place, f"{proxy}:upgrade", UPGRADES, "--tls", duration=8)
    assert_nothing_lost(result)
    assert all(last[0] == LARGEST for last in last_streams(result).values())


#: Of what takes long, some is under way on many streams when the first change is made.
LONG = """\
duration = {duration}
backends = [0, 1]
[[traffic]]
kind = "slow"
clients = 2
delay = {lasts}
streams = 2
[[traffic]]
kind = "stream"
clients = 2
every = 0.05
length = {lasts}
streams = 2
[[traffic]]
kind = "upload"
clients = {clients}
every = 0.05
length = {lasts}
streams = 1
[[step]]
at = 1.5
{change}
"""


def changed_meanwhile(
    place: Place, mechanism: str, change: str, *words: str, lasts: float = 2.0, duration: float = 4.0
) -> Result:
    """Run slow answers, streams and uploads over HTTP/2 through one change."""
    text = LONG.format(duration=duration, lasts=lasts, clients=CLIENTS, change=change)
    result = place.run(
        *("--plugin", mechanism, "--scenario", place.write("long.toml", text)), *QUIET, *words, *place.ports
    )
    assert_whole(place, result)
    assert [change["error"] for change in result.changes] == [None]
    return result


@pytest.mark.parametrize("mechanism", ["haproxy:reload", "nginx:reload", "caddy:load"])
def test_what_takes_long_is_whole_though_its_connection_is_told_to_go(place: Place, mechanism: str) -> None:
    result = changed_meanwhile(place, mechanism, "reload = true")
    assert {each["kind"] for each in result.summary["goaways"] if each["open"]} == {"slow", "stream", "upload"}
    for kind in ("slow", "stream", "upload"):
        assert result.summary["kinds"][kind]["failures"] == {}
        assert result.summary["kinds"][kind]["verdict"] == "graceful"


@pytest.mark.parametrize(("mechanism", "text", "becomes"), SHORT_LIVED)
def test_what_an_old_process_has_when_its_time_is_over_is_lost_though_it_was_promised(
    place: Place, mechanism: str, text: str, becomes: str
) -> None:
    config = altered_config(place, mechanism, text, becomes)
    result = changed_meanwhile(place, mechanism, "reload = true", "--config", config, lasts=4.0, duration=5)
    kinds = result.summary["kinds"]
    assert kinds["upload"]["verdict"] == kinds["stream"]["verdict"] == "lossy"
    # All that was under way stood at or below the last stream. HAProxy says of some all the same that it has not
    # processed them (REFUSED_STREAM): no backend has carried them out.
    ended = sum(kinds["upload"]["failures"].values()) + kinds["upload"]["turned_away"]
    assert ended == kinds["upload"]["ledger"]["lost_unexecuted"] == CLIENTS
    assert mechanism == "haproxy:reload" or not kinds["upload"]["turned_away"]
    assert kinds["stream"]["turned_away"] == 0


@pytest.mark.parametrize("proxy", [SOZU])
def test_sozus_upgrade_resets_uploads_and_lets_streams_end(place: Place, proxy: str) -> None:
    result = changed_meanwhile(place, f"{proxy}:upgrade", "upgrade = true", "--tls", lasts=4.0, duration=6)
    kinds = result.summary["kinds"]
    assert kinds["upload"]["failures"] == {"stream reset": CLIENTS}
    assert kinds["upload"]["ledger"]["lost_unexecuted"] == CLIENTS
    assert kinds["stream"]["failures"] == {}
    with (place.folder / "losses.csv").open(encoding="utf-8", newline="") as file:
        told = [loss["evidence"] for loss in csv.DictReader(file) if loss["kind"] == "upload"]
    assert all("RST_STREAM STREAM_CLOSED" in each for each in told)


def test_over_tls_it_is_agreed_on_and_the_same(place: Place) -> None:
    result = changed(place, "haproxy:reload", RELOADS, "--tls")
    assert_nothing_lost(result)
    assert set(map(tuple, last_streams(result).values())) == {(LARGEST,)}


def test_aimed_streams_meet_what_a_goaway_does_not_cover(place: Place) -> None:
    result = changed(place, "nginx:reload", kind="aimed")
    told = result.summary["kinds"]["aimed"]
    assert told["exchanges"] > 2 * STREAMS
    assert sum(told["failures"].values()) + told["turned_away"] > 0
    assert told["ledger"]["lost_executed"] == 0


#: Its removal is followed by as long as it takes to see who still answers.
REMOVED = """\
duration = 30
backends = [0]
[[step]]
at = 1
add = 1
[[step]]
pause = 1
[[step]]
remove = 0
"""
#: How many streams are opened behind a GOAWAY.
BEHIND = 20


class Stubborn:
    """An HTTP/2 client that goes on behind a GOAWAY, where ours take the proxy at its word."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), TIMEOUT_S)
        self._streams = ClientStreams()
        self._socket.sendall(self._streams.begin())
        self._told: list[GoAway] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_why: object) -> None:
        self._socket.close()

    def asked(self) -> str:
        """Open a stream; returns by which backend it is answered."""
        fields = ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"front"))
        stream, written = self._streams.open(hpack.encoded(fields), end=True)
        self._socket.sendall(written)
        while True:
            for event in self._read():
                if isinstance(event, Head) and event.stream == stream:
                    answered = {name.lower(): value for name, value, *_ in event.fields}
                    assert answered[b":status"] == b"200"
                    return answered[INSTANCE_FIELD.lower()].decode("ascii")

    def until_told_to_go(self) -> GoAway:
        """Ask until a GOAWAY has come: Envoy says it behind an answer only."""
        while not self._told:
            self.asked()
        return self._told.pop()

    def _read(self) -> Sequence[Event]:
        data = self._socket.recv(65536)
        assert data, "the proxy has closed the connection"
        events = self._streams.received(data)
        self._socket.sendall(self._streams.answers())
        self._told += [event for event in events if isinstance(event, GoAway)]
        return events


@pytest.mark.parametrize("mechanism", ["haproxy:reload", "envoy:hot-restart"])
def test_who_ignores_a_goaway_is_served_on_by_the_backend_that_is_removed(place: Place, mechanism: str) -> None:
    path = place.write("removed.toml", REMOVED)
    words = ("--wait-old", "0", "--stop-removed", "never", "--traffic", "h2=1")
    session = place.start("--plugin", mechanism, "--scenario", path, *words, *place.ports)
    session.until("change 1: add .* applied")
    with Stubborn(place.front_port) as client:
        assert client.asked() in ("0", "1")
        session.until("change 2: remove .* applied")
        told = client.until_told_to_go()
        assert (told.last, told.code) == (LARGEST, frames.NO_ERROR)
        answered = [client.asked() for _ in range(BEHIND)]
    assert "0" in answered
    session.signal(signal.SIGINT)
    assert session.ended().stderr == ""
