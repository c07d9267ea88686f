"""What the clients measure straight at the backends: the instrument's own share of every figure."""

from collections.abc import Sequence

import attrs

from proxyreload.history.events import Exchange
from proxyreload.system.clock import NS_PER_US, seconds
from proxyreload.verdict.latency import Latency


@attrs.define
class Floor:
    """What the clients measure where there is no proxy."""

    latency: Latency = attrs.field(factory=Latency)
    exchanges: int = 0
    failures: dict[str, int] = attrs.field(factory=dict)
    duration_ns: int = 0

    @property
    def rate_per_s(self) -> float:
        """Exchanges/s."""
        return self.exchanges / seconds(self.duration_ns) if self.duration_ns else 0.0

    def exchanged(self, exchanges: Sequence[Exchange]) -> None:
        """Take a batch."""
        self.exchanges += len(exchanges)
        self.latency.record([e.latency_ns // NS_PER_US for e in exchanges if not e.failure])
        for exchange in exchanges:
            if exchange.failure:
                self.failures[exchange.failure] = self.failures.get(exchange.failure, 0) + 1
