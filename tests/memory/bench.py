"""One client before a front in memory."""

import attrs

from proxyreload.client.client import Client
from proxyreload.history.bus import EventBus
from proxyreload.history.events import (
    Event,
    Exchange,
    FrontClosed,
)
from proxyreload.system.clock import ns
from proxyreload.traffic.get import from_numbered_backend
from proxyreload.traffic.identity import PROBE_MARK
from proxyreload.traffic.interfaces import Expectation

from .clocks import Time
from .connections import PREPARED, Front
from .happened import record


@attrs.define(eq=False)
class Bench:
    """One client before a front in memory, and all it published."""

    time: Time = attrs.field(factory=Time)
    bus: EventBus = attrs.field(factory=EventBus)
    front: Front = attrs.field(init=False)
    events: list[Event] = attrs.field(init=False)
    client: Client = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.front = Front(self.time)
        self.events = record(self.bus)
        self.make()

    def make(
        self,
        *,
        number: int = 3,
        open_loop: bool = False,
        probe: bool = False,
        expectation: Expectation = from_numbered_backend,
        timeout_s: float = 4,
    ) -> None:
        """Make the client anew."""
        self.client = Client(
            number=number,
            reactor=self.time,
            connector=self.front,
            prepared=PREPARED,
            expectation=expectation,
            sink=self.bus,
            clock_ns=self.time.ns,
            timeout_ns=ns(timeout_s),
            open_loop=open_loop or probe,
            probe=probe,
            mark=PROBE_MARK if probe else b"",
        )

    @property
    def exchanges(self) -> list[Exchange]:
        """Those published so far."""
        self.bus.flush()
        return [event for event in self.events if isinstance(event, Exchange)]

    @property
    def last(self) -> Exchange:
        """The latest exchange."""
        return self.exchanges[-1]

    @property
    def front_closed(self) -> list[FrontClosed]:
        """The ends of connections published so far."""
        return [event for event in self.events if isinstance(event, FrontClosed)]
