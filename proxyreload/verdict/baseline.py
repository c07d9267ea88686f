"""What the clients measure straight at the backends: the instrument's own share of every figure."""

from collections.abc import Mapping

import attrs

from proxyreload.history.events import BaselineTaken, KindTaken
from proxyreload.system.clock import seconds
from proxyreload.verdict.latency import Latency


@attrs.frozen
class Baseline:
    """What the clients measure where there is no proxy."""

    latency: Latency
    exchanges: int
    failures: Mapping[str, int]
    duration_ns: int
    kinds: "Mapping[str, Baseline]" = attrs.field(factory=dict)  #: of a client of each other kind, in brief settings

    @classmethod
    def of(cls, taken: BaselineTaken) -> "Baseline":
        """Return what was measured."""
        kinds = {kind: cls._of(each, taken.duration_ns, {}) for kind, each in taken.kinds.items()}
        return cls._of(taken, taken.duration_ns, kinds)

    @classmethod
    def _of(cls, taken: BaselineTaken | KindTaken, duration_ns: int, kinds: "Mapping[str, Baseline]") -> "Baseline":
        latency = Latency()
        latency.record_counted(taken.latencies_us)
        return cls(latency, taken.exchanges, taken.failures, duration_ns, kinds)

    @property
    def rate_per_s(self) -> float:
        """Exchanges/s."""
        return self.exchanges / seconds(self.duration_ns) if self.duration_ns else 0.0
