"""Latency before, around and after each change."""

from bisect import bisect_right
from collections.abc import Sequence

import attrs

from proxyreload.history.events import Exchange
from proxyreload.system.clock import NS_PER_S, NS_PER_US
from proxyreload.verdict.latency import Latency, Told

#: A change's surroundings end so long after it was applied.
SETTLE_NS = 1 * NS_PER_S

#: What a phase can be a stretch of.
STRETCHES = ("before", "around", "after")


@attrs.define
class LatencyPhase:
    """The latencies of one stretch of the run."""

    name: str  #: ``before``, ``around 1``, ``after 1``, ``around 2`` …
    latency: Told = attrs.field(factory=Latency)  #: a histogram, but its figures alone once the phase is over

    @property
    def stretch(self) -> str:
        """Which of `STRETCHES` it belongs to."""
        return self.name.partition(" ")[0]


@attrs.define
class Phases:
    """One stretch after the other, by when exchanges ended.

    There are two for each change, and a histogram is large: those that are over are added up by stretch, and only
    their figures are kept.
    """

    all: list[LatencyPhase] = attrs.field(factory=lambda: [LatencyPhase("before")])
    _settled_ns: int = 0  # when the surroundings of the last change end, 0 if that is over or not known
    _number: int = 0
    _sums: dict[str, Latency] = attrs.field(factory=dict)  # by stretch, of those whose figures alone are kept
    _ending: LatencyPhase | None = None  # the one that is over, and still a histogram
    _current: Latency = attrs.field(init=False)  # of the last phase

    def __attrs_post_init__(self) -> None:
        """Begin with what is before the first change."""
        self._current = self._histogram_of(self.all[-1])

    def requested(self, number: int) -> None:
        """Begin the surroundings of a change."""
        self._begin(f"around {number}")
        self._number, self._settled_ns = number, 0

    def over(self, at_ns: int) -> None:
        """End them some time after the change was applied or refused."""
        self._settled_ns = at_ns + SETTLE_NS

    def exchanged(self, exchanges: Sequence[Exchange]) -> None:
        """Take the next exchanges, in the order of their ends."""
        if self._ending is not None and not self._histogram_of(self._ending).count_some():
            self._keep_figures()
        if self._settled_ns and exchanges[-1].ended_ns > self._settled_ns:
            split = bisect_right(exchanges, self._settled_ns, key=lambda exchange: exchange.ended_ns)
            self._record(exchanges[:split])
            self._settled_ns = 0
            self._begin(f"after {self._number}")
            exchanges = exchanges[split:]
        self._record(exchanges)

    def total(self, *stretches: str) -> Latency:
        """Return the latencies of all phases of these stretches together."""
        total = Latency()
        for stretch in stretches:
            if stretch in self._sums:
                total.add(self._sums[stretch])
        for phase in (self._ending, self.all[-1]):
            if phase is not None and phase.stretch in stretches:
                total.add(self._histogram_of(phase))
        return total

    def _begin(self, name: str) -> None:
        if self._ending is not None:
            self._keep_figures()
        self._ending = self.all[-1]
        self.all.append(LatencyPhase(name))
        self._current = self._histogram_of(self.all[-1])

    def _keep_figures(self) -> None:
        """Give the histogram up of the phase that is over; what waits in it is counted by then, or soon is."""
        phase, self._ending = self._ending, None
        assert phase is not None  # noqa: S101
        latency = self._histogram_of(phase)
        if phase.stretch not in self._sums:
            self._sums[phase.stretch] = Latency()
        self._sums[phase.stretch].add(latency)
        phase.latency = latency.settled()

    def _histogram_of(self, phase: LatencyPhase) -> Latency:
        assert isinstance(phase.latency, Latency)  # noqa: S101  (the last two are)
        return phase.latency

    def _record(self, exchanges: Sequence[Exchange]) -> None:
        self._current.record(
            [(e.ended_ns - e.due_ns) // NS_PER_US for e in exchanges if not e.failure and not e.probe and e.plain]
        )
