"""A way that takes its time: everything is done half a round trip after it was asked for."""

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol as Structural

import attrs
from twisted.internet.interfaces import IReactorTime

from proxyreload.history.events import FarKept
from proxyreload.system.alarm import IAlarm, alarm
from proxyreload.system.clock import NS_PER_US, ClockNs
from proxyreload.system.sockets import SocketGroup

#: How finely its own lateness is counted.
_STEP_US = 10


class End(Structural):
    """Where a line ends at a socket."""

    def cut(self) -> None:
        """Reset the socket."""


@attrs.define(eq=False)
class DelayLine:
    """Does everything half a round trip after it was asked to, in the order in which it was.

    ``late_us`` counts by how much too late it did, in steps of 10 µs.
    """

    reactor: IReactorTime
    clock_ns: ClockNs
    one_way_ns: int
    group: SocketGroup | None = None  #: reads the sockets, and stamps what it reads
    late_us: Counter[int] = attrs.field(factory=Counter, init=False)
    ends: set[End] = attrs.field(factory=set, init=False)
    _waiting: list[tuple[int, int, Callable[[], object]]] = attrs.field(factory=list, init=False)  # a heap
    _asked: int = attrs.field(default=0, init=False)
    _alarm: IAlarm | None = attrs.field(default=None, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def after(self, work: Callable[[], object], since_ns: int = 0) -> None:
        """Do `work` half a round trip from now, or from `since_ns`; not at all once the line is closed."""
        if self._closed:
            return
        if self._alarm is None:
            self._alarm = alarm(self.reactor, self._ring)
        due_ns = (since_ns or self.clock_ns()) + self.one_way_ns
        self._asked += 1
        heappush(self._waiting, (due_ns, self._asked, work))
        if self._waiting[0][1] == self._asked:
            self._alarm.set(due_ns - self.clock_ns())

    def close(self) -> None:
        """Give everything back; what is on its way is lost."""
        self._closed = True
        self._waiting.clear()
        if self._alarm is not None:
            self._alarm.close()
            self._alarm = None
        for end in tuple(self.ends):
            end.cut()

    def kept(self) -> FarKept:
        """Say how well it kept its distance."""
        return FarKept(2 * self.one_way_ns, dict(self.late_us), self.clock_ns())

    def _ring(self) -> None:
        waiting = self._waiting
        while waiting:
            due_ns = waiting[0][0]
            late_ns = self.clock_ns() - due_ns
            if late_ns < 0:
                if self._alarm is not None:
                    self._alarm.set(-late_ns)
                return
            _due_ns, _asked, work = heappop(waiting)
            self.late_us[late_ns // NS_PER_US // _STEP_US * _STEP_US] += 1
            work()
