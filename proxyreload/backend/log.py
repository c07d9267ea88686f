"""What one backend sees, told to the bus."""

import attrs

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Arrival, BackClosed
from proxyreload.system.clock import ClockNs


@attrs.frozen
class BackendLog:
    """Publishes what one backend sees."""

    instance: str
    bus: EventBus
    clock_ns: ClockNs

    def arrived(self, source_port: int, request_id: bytes, carried: int, at_ns: int) -> None:
        """Publish a request's arrival (`at_ns` 0: now)."""
        arrived_ns = at_ns or self.clock_ns()
        self.bus.arrived(Arrival(self.instance, request_id.decode("latin-1"), source_port, carried, arrived_ns))

    def closed(self, source_port: int, carried: int, *, probe_only: bool) -> None:
        """Publish that the proxy closed a connection."""
        self.bus.publish(BackClosed(self.instance, source_port, carried, probe_only, self.clock_ns()))
