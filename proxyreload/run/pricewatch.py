"""Looks what the proxy takes of its host, four times a second, while the clients send."""

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from proxyreload.history.interfaces import Sink
from proxyreload.proxy.spending import Spending

#: What comes and goes in between is not seen: a command that checks a configuration, say.
EVERY_S = 0.25


@attrs.define(eq=False)
class PriceWatch:
    """Tells what `Spending` sees."""

    sink: Sink
    spending: Spending | None  #: None: the proxy is somebody else's
    _ticking: LoopingCall | None = attrs.field(default=None, init=False)

    def start(self, clock: IReactorTime) -> None:
        """Look now, and from now on."""
        if self.spending is None:
            return
        self._ticking = LoopingCall(self._look, self.spending)
        self._ticking.clock = clock
        self._ticking.start(EVERY_S)

    def stop(self) -> None:
        """Look once more, and no more."""
        if self.spending is not None and self._ticking is not None and self._ticking.running:
            self._ticking.stop()
            self._look(self.spending)

    def _look(self, spending: Spending) -> None:
        spent = spending.look()
        if spent is not None:
            self.sink.publish(spent)
