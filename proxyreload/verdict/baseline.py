"""What the clients measure straight at the backends: the instrument's own share of every figure."""

from collections.abc import Mapping

import attrs

from proxyreload.history.events import BaselineTaken
from proxyreload.system.clock import seconds
from proxyreload.verdict.latency import Latency


@attrs.frozen
class Baseline:
    """What the clients measure where there is no proxy."""

    latency: Latency
    exchanges: int
    failures: Mapping[str, int]
    duration_ns: int

    @classmethod
    def of(cls, taken: BaselineTaken) -> "Baseline":
        """Return what was measured."""
        latency = Latency()
        latency.record_counted(taken.latencies_us)
        return cls(latency, taken.exchanges, taken.failures, taken.duration_ns)

    @property
    def rate_per_s(self) -> float:
        """Exchanges/s."""
        return self.exchanges / seconds(self.duration_ns) if self.duration_ns else 0.0
