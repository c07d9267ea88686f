"""The report: sections, measured one after the other, and what they were measured with."""

import datetime as dt
import sys
from collections.abc import Callable, Collection, Iterator, Sequence

import attrs

from benchmarks import table
from benchmarks.agreement import agreement
from benchmarks.h2load import H2loadSays
from benchmarks.kind_rates import KIND_ROWS, kinds
from benchmarks.memory import EXCHANGES, memory
from benchmarks.ours import Proxyreload, TreqAgent, program
from benchmarks.peer import Peer
from benchmarks.peers import PEERS, find
from benchmarks.processes import BenchmarkError
from benchmarks.proof import Proving, proofs
from benchmarks.proof_table import proof
from benchmarks.quiet import watched
from benchmarks.rounds import Rounds
from benchmarks.sections import (
    BACKEND_ROWS,
    BEFORE,
    CLIENT_ROWS,
    KEPT,
    WHOLE_ROWS,
    Bench,
    Row,
    backends,
    clients,
    whole,
)
from benchmarks.servers import haproxy_program, nginx_program
from benchmarks.startup import startup_s
from benchmarks.versions import asked, machine, packages


@attrs.frozen
class Section:
    """One part of the report."""

    name: str
    title: str
    measure: Callable[[Bench], Iterator[str]]  #: gives the lines of what came of it


def sections(exchanges: int, proving: Proving) -> tuple[Section, ...]:
    """Return all of them; `exchanges` is how long a run the memory is watched for."""
    return (
        Section("clients", "Clients on one core, against nginx on the other", _compared(clients, CLIENT_ROWS)),
        Section("backends", "Backends on one core, driven from the other", _compared(backends, BACKEND_ROWS)),
        Section("kinds", "Kinds of traffic on one core, and peers that ask for the same", _compared(kinds, KIND_ROWS)),
        Section("whole", "Everything together on two cores", _compared(whole, WHOLE_ROWS)),
        Section("agreement", table.AGREEMENT_TITLE, lambda bench: table.agreement(agreement(bench))),
        Section("startup", "Start-up", lambda _bench: table.startup(startup_s())),
        Section("memory", "Memory", lambda bench: table.memory(memory(bench.cores, exchanges, bench.say))),
        Section("proof", "Time to proof, beside a loop of changes", lambda bench: proof(proofs(bench, proving))),
    )


def _compared(measure: Callable[[Bench], Rounds], rows: Sequence[Row]) -> Callable[[Bench], Iterator[str]]:
    def compared(bench: Bench) -> Iterator[str]:
        rounds = measure(bench)
        before = [Row("another proxyreload", rows[0].ours, BEFORE, KEPT, 1.0)] if rounds.of(BEFORE) else []
        return table.ratios([*rows, *before], rounds)

    return compared


#: Of all sections.
NAMES = tuple(section.name for section in sections(EXCHANGES, Proving()))


def report(bench: Bench, wanted: Sequence[Section]) -> Iterator[str]:
    """Measure, and give the report's lines as they come."""
    today = dt.datetime.now().astimezone().date()
    yield "# What was measured"
    yield f"\n{today}, on {machine(bench.cores)}."
    yield f"Interleaved rounds: {bench.rounds}, of {bench.seconds} s each; ten connections. README.md tells more."
    for section in wanted:
        yield f"\n## {section.title}\n"
        yield from _measured(section, bench)
    yield "\n## Versions\n"
    yield from table.lines_of(("program", "version", "its log of each request"), versions())


def _measured(section: Section, bench: Bench) -> Iterator[str]:
    bench.say(f"-- {section.name}")
    try:
        with watched(bench.cores) as others:
            lines = list(section.measure(bench))
    except BenchmarkError as error:
        bench.say(error.said)
        yield f"Not measured: {error}."
        return
    yield from lines
    yield f"\nMeanwhile {others}."


def versions() -> Iterator[tuple[str, str, str]]:
    """Give every program and package that took part, and the peers that did not."""
    mine: tuple[Peer, ...] = (Proxyreload(program()), TreqAgent(sys.executable))
    for peer in mine:
        yield peer.name, peer.version(), peer.log
    theirs: tuple[type[Peer], ...] = (*PEERS, H2loadSays)
    for kind in theirs:
        found = find(kind)
        yield (kind.name, found.version(), kind.log) if found else (kind.name, "not installed", "")
    yield "nginx", asked(nginx_program(), "-v"), ""
    yield "haproxy", asked(haproxy_program(), "-v"), ""
    for name, version in packages().items():
        yield name, version, ""


def chosen(names: Collection[str], exchanges: int, proving: Proving) -> list[Section]:
    """Return the sections with these names, all of them if there are none."""
    everything = sections(exchanges, proving)
    unknown = set(names) - {section.name for section in everything}
    if unknown:
        msg = f"no section {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}"
        raise BenchmarkError(msg)
    return [section for section in everything if not names or section.name in names]
