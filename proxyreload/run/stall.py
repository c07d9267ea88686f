"""Notices when this program itself stands still: a machine too busy, a suspended process."""

from collections.abc import Callable, Iterable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from proxyreload.history.events import Broken, FarKept, ScheduleKept, Stalled, StoodStill
from proxyreload.history.order import History
from proxyreload.system.clock import ClockNs, ns, seconds

INTERVAL_S = 0.05
#: From here on it is worth saying.
WORTH_SAYING_NS = ns(0.1)


@attrs.define(eq=False)
class StallWatch:
    """Looks at the clock every `INTERVAL_S`; ``peak_ns`` is by how much it came too late at most."""

    clock_ns: ClockNs
    tell: Callable[[StoodStill], None]  #: is told what is worth saying
    peak_ns: int = attrs.field(default=0, init=False)
    _due_ns: int = attrs.field(default=0, init=False)
    _ticking: LoopingCall | None = attrs.field(default=None, init=False)

    def start(self, reactor: IReactorTime) -> None:
        """Watch from now on."""
        self._due_ns = self.clock_ns() + ns(INTERVAL_S)
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = reactor
        self._ticking.start(INTERVAL_S, now=False)

    def stop(self) -> None:
        """Watch no more."""
        if self._ticking is not None and self._ticking.running:
            self._tick()
            self._ticking.stop()

    def _tick(self) -> None:
        now_ns = self.clock_ns()
        self.peak_ns = max(self.peak_ns, now_ns - self._due_ns)
        if now_ns - self._due_ns >= WORTH_SAYING_NS:
            self.tell(StoodStill(self._due_ns, now_ns))
        self._due_ns = now_ns + ns(INTERVAL_S)


def tell_own_share(
    history: History, kept: Iterable[ScheduleKept | FarKept | None], stall_ns: int, timeout_ns: int, now_ns: int
) -> None:
    """Tell what the instrument itself has done to its figures."""
    history.settle()
    here = history.here
    for each in kept:
        if each is not None:
            here.publish(each)
    here.publish(Stalled(stall_ns, now_ns))
    if stall_ns >= timeout_ns:
        reason = f"proxyreload itself stood still for {seconds(stall_ns):.1f} s: nobody saw what went on"
        here.publish(Broken(reason, now_ns))
    if history.late:
        here.publish(Broken(f"{history.late} events were told too late to be put in order", now_ns))
