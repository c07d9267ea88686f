"""One pace that was tried, with so many backends, and what it came to."""

from collections.abc import Sequence
from statistics import median

import attrs

from proxyreload.capacity.pacetest import PaceTest, Sign
from proxyreload.comparison.trial import Trial, TrialPrice
from proxyreload.system.clock import NS_PER_MS, NS_PER_S
from proxyreload.verdict.latency import Latency


@attrs.frozen
class Step:
    """All runs at one pace until that was decided, and their figures."""

    rate_per_s: float  #: changes
    backends: int  #: of which all but a few are behind the proxy
    test: PaceTest
    trials: tuple[Trial, ...]
    signs: tuple[Sign, ...]  #: why it is not kept; empty if it is
    why: str = ""  #: in more words

    @property
    def kept(self) -> bool:
        """Whether the mechanism takes changes at that pace."""
        return not self.signs

    @property
    def changes(self) -> int:
        """How many were made."""
        return len(self.test.changes)

    @property
    def lost(self) -> int:
        """Failures in their windows, but those of aimed kinds."""
        return sum(each.lost for each in self.test.changes)

    @property
    def refused(self) -> int:
        """How many the proxy refused."""
        return sum(each.refused for each in self.test.changes)

    @property
    def late(self) -> int:
        """How many were not in effect in time."""
        return sum(each.late for each in self.test.changes)

    @property
    def lag_ms(self) -> float | None:
        """From when a change was due until it was in effect, the median; None if none ever was."""
        lags = self._lags_ns
        return median(lags) / NS_PER_MS if lags else None

    @property
    def worst_lag_ms(self) -> float | None:
        """The longest, likewise."""
        lags = self._lags_ns
        return max(lags) / NS_PER_MS if lags else None

    @property
    def ends_ms(self) -> tuple[float, float] | None:
        """The medians of the first third and of the last, of the run in which they differ most; None: too few."""
        told = max(self.test.thirds, key=lambda each: each.last_ns - each.first_ns, default=None)
        return None if told is None else (told.first_ns / NS_PER_MS, told.last_ns / NS_PER_MS)

    @property
    def p99_us(self) -> int | None:
        """The 99th percentile of the exchanges' latency; None if there were none."""
        latency = Latency()
        for trial in self.trials:
            latency.add_packed(trial.steady)
            latency.add_packed(trial.around)
        return latency.percentile_us(99) if latency.count else None

    @property
    def processes(self) -> int | None:
        """Of the proxy, at most; None: nobody has looked."""
        return max((each.processes for each in self._prices), default=None)

    @property
    def resident_bytes(self) -> int | None:
        """Likewise."""
        return max((each.resident_bytes for each in self._prices), default=None)

    @property
    def cpu_s(self) -> float | None:
        """CPU time of the proxy for each change, the mean in seconds, the traffic's too; None: nobody has looked."""
        prices = self._prices
        total_ns = sum(sum(each.cpu_ns) for each in prices)
        return total_ns / NS_PER_S / self.changes if prices and self.changes else None

    @property
    def _lags_ns(self) -> Sequence[int]:
        return [each.lag_ns for each in self.test.changes if each.lag_ns is not None]

    @property
    def _prices(self) -> Sequence[TrialPrice]:
        return [each.price for each in self.trials if each.price is not None]
