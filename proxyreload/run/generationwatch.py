"""Looks who lives on with old processes of the proxy, and until when these live, while there are any."""

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool

from proxyreload.history.events import Held
from proxyreload.history.interfaces import Sink
from proxyreload.proxy.holders import Holders
from proxyreload.system.clock import NS_PER_S, ClockNs
from proxyreload.system.reactor import IReactor

#: How often it is looked whether they live, which is nothing, and who is on them, which takes some.
LIVING_EVERY_S, HOLDING_EVERY_S = 0.1, 1.0


@attrs.define(eq=False)
class GenerationWatch:
    """Tells what `Operations` cannot see: what becomes of a generation between two changes."""

    reactor: IReactor
    clock_ns: ClockNs
    sink: Sink
    holders: Holders | None  #: None: the proxy is somebody else's, and there is nothing to look at
    _old: frozenset[int] = frozenset()
    _looked_ns: int = 0
    _ticking: LoopingCall | None = None

    def start(self, clock: IReactorTime) -> None:
        """Look from now on."""
        if self.holders is None:
            return
        self._ticking = LoopingCall(self._look, self.holders)
        self._ticking.clock = clock
        self._ticking.start(LIVING_EVERY_S, now=False)

    def stop(self) -> None:
        """Look no more, and say once more which live."""
        if self.holders is not None and self._ticking is not None and self._ticking.running:
            self._ticking.stop()
            self._tell_living(self.holders)

    async def _look(self, holders: Holders) -> None:
        old = self._tell_living(holders)
        if not old or self.clock_ns() - self._looked_ns < HOLDING_EVERY_S * NS_PER_S:
            return
        self._looked_ns = self.clock_ns()
        known, whose = holders.known(), holders.whose()
        held: Held = await deferToThreadPool(self.reactor, self.reactor.getThreadPool(), holders.look_at, known)
        if self._ticking is not None and self._ticking.running:
            # What is told of the time before this moment may have been handed on meanwhile.
            self.sink.publish(attrs.evolve(held, at_ns=self.clock_ns(), whose=whose))

    def _tell_living(self, holders: Holders) -> frozenset[int]:
        """Tell which generations live, if another one lives no more."""
        old, before = holders.old, self._old
        self._old = old
        if before - old:
            self.sink.publish(holders.known())
        return old
