"""Notices connections that a backend could not accept, for its process had no descriptor or memory left."""

import attrs
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from proxyreload.history.events import Broken
from proxyreload.history.interfaces import Sink
from proxyreload.system.clock import ClockNs

_NAMESPACE = "twisted.internet.tcp"


@implementer(ILogObserver)
@attrs.define(eq=False)
class AcceptWatch:
    """Tells the first of them as `Broken`: what the proxy makes of it is no doing of the proxy's.

    Twisted closes such connections, or leaves them waiting, and says so to its log alone.
    """

    sink: Sink
    clock_ns: ClockNs
    _said: bool = attrs.field(default=False, init=False)

    def start(self) -> None:
        """Watch from now on."""
        globalLogPublisher.addObserver(self)

    def stop(self) -> None:
        """Watch no more."""
        globalLogPublisher.removeObserver(self)

    def __call__(self, event: LogEvent) -> None:
        """Look at what Twisted says (`twisted.internet.tcp`)."""
        if self._said or not str(event.get("log_namespace", "")).startswith(_NAMESPACE):
            return
        error = event.get("acceptError") or ("EMFILE" if "EMFILE" in str(event.get("log_format", "")) else "")
        if error:
            self._said = True
            reason = f"a backend could not accept a connection: proxyreload itself has no more to give ({error})"
            self.sink.publish(Broken(reason, self.clock_ns()))
