"""Latency before, around and after each change."""

from bisect import bisect_right
from collections.abc import Sequence

import attrs

from proxyreload.history.events import Exchange
from proxyreload.system.clock import NS_PER_S, NS_PER_US
from proxyreload.verdict.latency import Latency

#: A change's surroundings end so long after it was applied.
SETTLE_NS = 1 * NS_PER_S


@attrs.define
class LatencyPhase:
    """The latencies of one stretch of the run."""

    name: str  #: ``before``, ``around 1``, ``after 1``, ``around 2`` …
    latency: Latency = attrs.field(factory=Latency)


@attrs.define
class Phases:
    """One stretch after the other, by when exchanges ended."""

    all: list[LatencyPhase] = attrs.field(factory=lambda: [LatencyPhase("before")])
    _settled_ns: int = 0  # when the surroundings of the last change end, 0 if that is over or not known
    _number: int = 0

    def requested(self, number: int) -> None:
        """Begin the surroundings of a change."""
        self.all.append(LatencyPhase(f"around {number}"))
        self._number, self._settled_ns = number, 0

    def over(self, at_ns: int) -> None:
        """End them some time after the change was applied or refused."""
        self._settled_ns = at_ns + SETTLE_NS

    def exchanged(self, exchanges: Sequence[Exchange]) -> None:
        """Take the next exchanges, in the order of their ends."""
        if self._settled_ns and exchanges[-1].ended_ns > self._settled_ns:
            split = bisect_right(exchanges, self._settled_ns, key=lambda exchange: exchange.ended_ns)
            self._record(exchanges[:split])
            self._settled_ns = 0
            self.all.append(LatencyPhase(f"after {self._number}"))
            exchanges = exchanges[split:]
        self._record(exchanges)

    def steady_and_around(self) -> tuple[Latency, Latency]:
        """Return the latencies away from the changes, and those around them."""
        steady, around = Latency(), Latency()
        for phase in self.all:
            (around if phase.name.startswith("around") else steady).add(phase.latency)
        return steady, around

    def _record(self, exchanges: Sequence[Exchange]) -> None:
        self.all[-1].latency.record(
            [(e.ended_ns - e.due_ns) // NS_PER_US for e in exchanges if not e.failure and not e.probe and e.plain]
        )
