"""Notices a backend's process that stands still: it tells nothing, where it tells how far it is all the time."""

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

#: How often it is looked for, and so many looks in a row that find nothing are enough: should this program itself have
#: been stopped, that is one look.
INTERVAL_S = 1.0
LOOKS = 5


@attrs.define(eq=False)
class Pulse:
    """Looks whether a process still tells how far it is."""

    until_ns: Callable[[], int]  #: up to when it has told everything
    stands_still: Callable[[float], None]  #: called once, with the seconds in which it has told nothing
    _last_ns: int = attrs.field(default=-1, init=False)
    _missed: int = attrs.field(default=0, init=False)
    _ticking: LoopingCall | None = attrs.field(default=None, init=False)

    def start(self, reactor: IReactorTime) -> None:
        """Look from now on."""
        self._ticking = LoopingCall(self._look)
        self._ticking.clock = reactor
        self._ticking.start(INTERVAL_S)

    def stop(self) -> None:
        """Look no more."""
        if self._ticking is not None and self._ticking.running:
            self._ticking.stop()

    def _look(self) -> None:
        until_ns = self.until_ns()
        self._missed = self._missed + 1 if until_ns == self._last_ns else 0
        self._last_ns = until_ns
        if self._missed >= LOOKS:
            self.stop()
            self.stands_still(LOOKS * INTERVAL_S)
