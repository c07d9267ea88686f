"""Latency by percentile before, around and after each change, from what the verdict has counted anyway."""

from typing import Any

import attrs

from proxyreload.report.percentiles import CHANGES_AT_MOST
from proxyreload.system.clock import NS_PER_MS, ClockNs
from proxyreload.verdict.latency import Told
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.phases import LatencyPhase

#: What the curves are called that more changes than a report has curves for share.
_JOINED = {"before": "before", "around": "around the changes", "after": "between and after"}
#: The reactor is kept for so long, and for one step more.
_AT_ONCE_NS = 1 * NS_PER_MS


@attrs.define(eq=False)
class Tail:
    """The curves of one run. Each phase is counted once, when it is over; only the one that goes on, more often."""

    observation: Observation
    clock_ns: ClockNs
    _counted: int = 0  # phases that were over when they were looked at
    _current: bool = False  # the phase that goes on is to be looked at
    _single: dict[str, dict[str, Any]] = attrs.field(factory=dict)  # by the phase's name
    _shared: dict[str, dict[str, Any]] = attrs.field(factory=dict)  # by stretch
    _stale: list[str] = attrs.field(factory=list)  # stretches of which more is known than their shared curves show
    _baseline: dict[str, Any] | None = None

    def look(self) -> None:
        """Bring the curves up to date, as far as that takes no time to speak of."""
        self._current = True
        until_ns = self.clock_ns() + _AT_ONCE_NS
        while self._step() and self.clock_ns() < until_ns:
            continue

    def finish(self) -> None:
        """Bring all curves up to date, once nothing is measured any more."""
        self._current = True
        while self._step():
            continue

    def curves(self) -> list[dict[str, Any]]:
        """Return the curves as they are sent, the baseline's last."""
        curves = list(self._single.values())
        if self._many and self._shared.keys() >= {each["kind"] for each in curves}:
            curves = [self._shared[stretch] for stretch in _JOINED if stretch in self._shared]
        return curves if self._baseline is None else [*curves, self._baseline]

    @property
    def _many(self) -> bool:
        return len(self.observation.changes) > CHANGES_AT_MOST

    def _step(self) -> bool:
        """Do the next thing there is to do; returns False if there is none."""
        phases, baseline = self.observation.phases, self.observation.baseline
        if self._baseline is None and baseline is not None and baseline.latency.count:
            self._baseline = _curve("baseline", "baseline", 0, baseline.latency)
        elif self._counted < len(phases) - 1:
            self._draw(phases[self._counted])
            self._know_more_of(phases[self._counted].stretch)
            self._counted += 1
        elif self._current:
            self._current = False
            self._draw(phases[-1])
            self._know_more_of(phases[-1].stretch)
        elif self._many and self._stale:
            self._share(self._stale.pop(0))
        else:
            return False
        return True

    def _know_more_of(self, stretch: str) -> None:
        if stretch not in self._stale:
            self._stale.append(stretch)

    def _draw(self, phase: LatencyPhase) -> None:
        """Draw a phase's own curve, unless there will never be room for it."""
        number = int(phase.name.partition(" ")[2] or 0)
        if number <= CHANGES_AT_MOST and not self._many and phase.latency.count:
            self._single[phase.name] = _curve(phase.name, phase.stretch, number, phase.latency)

    def _share(self, stretch: str) -> None:
        """Draw all phases of a stretch as one curve."""
        latency = self.observation.latency_of(stretch)
        if latency.count:
            self._shared[stretch] = _curve(_JOINED[stretch], stretch, 1, latency.figures())


def _curve(name: str, stretch: str, number: int, latency: Told) -> dict[str, Any]:
    """Return a curve as it is sent; `number` is the change's."""
    return {
        "name": name,
        "kind": stretch,
        "number": number,
        "count": latency.count,
        "percentiles": latency.percentiles(),
        "max_us": latency.max_us,
    }
