"""The three comparisons: clients, backends, and everything together."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import attrs

from benchmarks.ours import ApartRun, Proxyreload, TreqAgent, WholeRun, program
from benchmarks.peer import Job, Measured, Peer
from benchmarks.peers import PEERS, Wrk, find
from benchmarks.processes import BenchmarkError, Cores
from benchmarks.rounds import Contestant, Rounds, play, temporary
from benchmarks.servers import backend, haproxy, nginx, site, url


@attrs.frozen
class Bench:
    """How everything is measured."""

    cores: Cores
    rounds: int
    seconds: int
    say: Callable[[str], None]
    against: str = ""  #: another proxyreload's program, measured in the same rounds; empty: none


@attrs.frozen
class Row:
    """One comparison, with what is asked of it."""

    title: str
    ours: str
    theirs: str
    at_least: float | None = None
    reach_for: float | None = None


OURS = Proxyreload.name
CLIENT_ROWS = (
    Row("hey's CSV run", OURS, "hey", 1.2, 1.5),
    Row("vegeta's attack and CSV", OURS, "vegeta", 2, 2.7),
    Row("k6's CSV", OURS, "k6", 4, 5),
    Row("oha's CSV (successes only)", OURS, "oha", 0.75, 1.0),
    Row("treq over `Agent`, unlogged", OURS, TreqAgent.name, 15, 20),
    Row("wrk, unlogged (for reference)", OURS, "wrk"),
    Row("locust's FastHttpUser, unlogged (for reference)", OURS, "locust"),
)
BACKEND_ROWS = (Row("the same resource under `Site`, both driven by wrk", "our backend", "Site", 4, 7),)
WHOLE_ROWS = (
    Row("wrk and nginx, through the same haproxy", WholeRun.name, "wrk and nginx", 0.4, 0.6),
    Row("the same, our backends in processes of their own (for reference)", ApartRun.name, "wrk and nginx"),
)


BEFORE = "proxyreload before"
#: What is asked of each comparison that there is also a proxyreload before of.
KEPT = 0.98


def clients(bench: Bench) -> Rounds:
    """Every load generator on one core, against nginx on the other."""
    mine: list[Peer] = [Proxyreload(program()), TreqAgent(sys.executable)]
    installed = [peer for peer in map(find, PEERS) if peer is not None]
    with temporary() as folder, nginx(folder, bench.cores.other) as (port,):
        contestants = [_driving(peer, url(port), bench, bench.cores.measured) for peer in mine + installed]
        if bench.against:
            before = Proxyreload(bench.against)
            contestants.append(_driving(before, url(port), bench, bench.cores.measured, name=BEFORE))
        return play(contestants, bench.rounds, bench.say)


def backends(bench: Bench) -> Rounds:
    """Our backend and `Site` on one core, both with wrk on the other."""
    wrk = _wrk()
    with temporary() as folder, ExitStack() as stack:
        ports = {
            "our backend": stack.enter_context(backend(folder, 0, bench.cores.measured)),
            "Site": stack.enter_context(site(folder, bench.cores.measured)),
        }
        if bench.against:
            ports[BEFORE] = stack.enter_context(backend(folder, 1, bench.cores.measured, started_by=bench.against))
        contestants = [_driving(wrk, url(port), bench, bench.cores.other, name=name) for name, port in ports.items()]
        return play(contestants, bench.rounds, bench.say)


def whole(bench: Bench) -> Rounds:
    """Runs without changes, and wrk through the same proxy, each with both cores for all its processes."""
    wrk, both = _wrk(), bench.cores.both
    with temporary() as folder, nginx(folder, *both, ports=2) as ports, haproxy(folder, ports, *both) as front:
        contestants = [
            _driving(WholeRun(program()), "", bench, *both),
            _driving(ApartRun(program()), "", bench, *both),
            _driving(wrk, url(front), bench, *both, name="wrk and nginx"),
        ]
        if bench.against:
            contestants.append(_driving(WholeRun(bench.against), "", bench, *both, name=BEFORE))
        return play(contestants, bench.rounds, bench.say)


def _wrk() -> Peer:
    wrk = find(Wrk)
    if wrk is None:
        msg = "wrk is not installed"
        raise BenchmarkError(msg)
    return wrk


def _driving(peer: Peer, target: str, bench: Bench, *cores: int, name: str = "") -> Contestant:
    """Let a load generator on these cores drive a server."""

    def measure(folder: Path) -> Measured:
        return peer.measure(Job(target, bench.seconds, cores, folder))

    return Contestant(name or peer.name, measure)
