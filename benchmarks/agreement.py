"""Whether the latencies of an open loop agree with oha's, through the same haproxy and the same backends."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

import attrs

from benchmarks.logs import rows
from benchmarks.ours import Proxyreload, program
from benchmarks.peer import Job, Peer
from benchmarks.peers import Oha, find
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import temporary
from benchmarks.sections import Bench
from benchmarks.servers import backend, haproxy, url

RATE_PER_S = 2000
PERCENTILES = (50, 99)
#: Two figures agree within the larger of these.
SHARE, APART_US = 0.15, 50.0


@attrs.frozen
class Agreement:
    """One percentile in every round, in µs."""

    percentile: int
    ours_us: tuple[float, ...]
    theirs_us: tuple[float, ...]

    @property
    def apart_us(self) -> float:
        """By how much ours is more, in the median round."""
        return median(ours - theirs for ours, theirs in zip(self.ours_us, self.theirs_us, strict=True))

    @property
    def apart(self) -> float:
        """The same as a share of oha's figure."""
        return median((ours - theirs) / theirs for ours, theirs in zip(self.ours_us, self.theirs_us, strict=True))

    @property
    def agrees(self) -> bool:
        """Whether that is near enough."""
        return abs(self.apart) <= SHARE or abs(self.apart_us) <= APART_US


class Timed(Peer):
    """A load generator at a fixed rate."""

    @abstractmethod
    def latencies(self, job: Job) -> tuple[float, ...]:
        """Return the `PERCENTILES` of what the job's log says, in µs, from when requests were due."""


@attrs.frozen
class OpenProxyreload(Proxyreload, Timed):
    """proxyreload at a fixed rate."""

    def commands(self, job: Job) -> list[list[str]]:
        """Open loop."""
        return [[self.program, job.url, "--no-backends", "--rate", str(RATE_PER_S), *self.options(job)]]

    def latencies(self, job: Job) -> tuple[float, ...]:
        """Take the run's only phase: nothing was changed."""
        phase = json.loads((job.folder / "run").read_text("utf-8"))["summary"]["latency"]["before"]
        return tuple(float(phase[f"p{percentile}_us"]) for percentile in PERCENTILES)


@attrs.frozen
class OpenOha(Oha, Timed):
    """oha at a fixed rate.

    Without its correction: its timers count whole milliseconds, and the correction would add their lateness.
    """

    def commands(self, job: Job) -> list[list[str]]:
        """Open loop."""
        return [[self.program, *self.options(job), "-q", str(RATE_PER_S), job.url]]

    def latencies(self, job: Job) -> tuple[float, ...]:
        """Rank its rows."""
        ranked = sorted(float(row[4]) * 1e6 for row in rows(job.output))
        return tuple(ranked[len(ranked) * percentile // 100] for percentile in PERCENTILES)


def agreement(bench: Bench) -> list[Agreement]:
    """Measure both in turns: a client on one core, haproxy and two backends on the other."""
    oha = find(Oha)
    if oha is None:
        msg = "oha is not installed"
        raise BenchmarkError(msg)
    timed: tuple[Timed, ...] = (OpenProxyreload(program()), OpenOha(oha.program))
    with temporary() as folder, ExitStack() as stack:
        server = bench.cores.other
        ports = [stack.enter_context(backend(folder, instance, server)) for instance in (0, 1)]
        target = url(stack.enter_context(haproxy(folder, ports, server)))
        seen: dict[str, list[tuple[float, ...]]] = {peer.name: [] for peer in timed}
        for index in range(bench.rounds):
            for peer in timed if index % 2 == 0 else reversed(timed):
                seen[peer.name].append(_latencies(peer, target, bench))
                bench.say(f"round {index + 1} of {bench.rounds}  {peer.name:24} {_line(seen[peer.name][-1])}")
    ours_us, theirs_us = (tuple(zip(*seen[peer.name], strict=True)) for peer in timed)
    return [Agreement(*columns) for columns in zip(PERCENTILES, ours_us, theirs_us, strict=True)]


def _latencies(peer: Timed, target: str, bench: Bench) -> tuple[float, ...]:
    with temporary() as folder:
        job = Job(target, bench.seconds, (bench.cores.measured,), folder)
        peer.measure(job)
        return peer.latencies(job)


def _line(latencies: Sequence[float]) -> str:
    return ", ".join(
        f"p{percentile} {latency:.0f} µs" for percentile, latency in zip(PERCENTILES, latencies, strict=True)
    )
