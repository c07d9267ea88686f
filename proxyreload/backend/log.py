"""What one backend sees, told to whoever collects it."""

import attrs

from proxyreload.history.events import Arrival, BackClosed
from proxyreload.history.interfaces import Sink
from proxyreload.system.clock import ClockNs


@attrs.frozen
class BackendLog:
    """Tells what one backend sees."""

    instance: str
    sink: Sink
    clock_ns: ClockNs

    def executed(self, source_port: int, request_id: bytes, carried: int, received_ns: int, at_ns: int) -> Arrival:
        """Return a request that has been read and acted on, for `told` once its answer is out."""
        return Arrival(self.instance, request_id.decode("latin-1"), source_port, carried, received_ns, at_ns)

    def received(self, source_port: int, request_id: bytes, carried: int, at_ns: int) -> Arrival:
        """Return a request of which no more than the head has been read."""
        return Arrival(self.instance, request_id.decode("latin-1"), source_port, carried, at_ns)

    def told(self, arrival: Arrival) -> None:
        """Tell how far a request has come."""
        self.sink.arrived(arrival)

    def closed(self, source_port: int, carried: int, *, probe_only: bool) -> None:
        """Tell that the proxy closed a connection."""
        self.sink.publish(BackClosed(self.instance, source_port, carried, probe_only, self.clock_ns()))
