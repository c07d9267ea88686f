"""What one backend sees, told to whoever collects it."""

from collections.abc import Callable

import attrs

from proxyreload.history.events import Arrival, BackClosed
from proxyreload.history.interfaces import Sink
from proxyreload.system.clock import ClockNs


@attrs.define(eq=False)
class BackendLog:
    """Tells what one backend sees."""

    instance: str
    sink: Sink
    clock_ns: ClockNs
    told: Callable[[Arrival], None] = attrs.field(init=False)  #: tells how far a request has come

    def __attrs_post_init__(self) -> None:
        """Take the shortest way for what is told of each request."""
        self.told = self.sink.arrived

    def received(self, source_port: int, request_id: bytes, carried: int, at_ns: int) -> Arrival:
        """Return a request of which no more than the head has been read."""
        return Arrival(self.instance, request_id.decode("latin-1"), source_port, carried, at_ns)

    def closed(self, source_port: int, carried: int, *, probe_only: bool) -> None:
        """Tell that the proxy closed a connection."""
        self.sink.publish(BackClosed(self.instance, source_port, carried, probe_only, self.clock_ns()))
