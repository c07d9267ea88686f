"""Notices a proxy that hangs."""

from collections.abc import Sequence

import attrs

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Broken, Exchange
from proxyreload.history.failures import TIMEOUT
from proxyreload.history.interfaces import Sink
from proxyreload.system.clock import ClockNs, seconds


@attrs.define(eq=False)
class HangWatch:
    """Publishes `Broken` when requests time out and nobody has had an answer for as long as a time-out takes."""

    bus: EventBus
    sink: Sink  #: takes the news
    clock_ns: ClockNs
    timeout_ns: int
    _last_answer_ns: int = attrs.field(default=0, init=False)
    _said: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Watch the bus."""
        self.bus.subscribe(Exchange, self.exchanged, "hang watch")

    def exchanged(self, exchanges: Sequence[Exchange]) -> None:
        """Look at a batch."""
        for exchange in exchanges:
            if exchange.status:
                self._last_answer_ns = exchange.ended_ns
            elif exchange.failure == TIMEOUT and exchange.ended_ns - self._last_answer_ns >= self.timeout_ns:
                self._hangs()

    def _hangs(self) -> None:
        if not self._said:
            self._said = True
            reason = f"the proxy hangs: not one answer to any client for {seconds(self.timeout_ns):g} s"
            self.sink.publish(Broken(reason, self.clock_ns()))
