"""Latencies in an HdrHistogram."""

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs
from hdrh.histogram import HdrHistogram

#: From 1 µs to an hour, three significant digits.
_LOWEST_US, _HIGHEST_US, _DIGITS = 1, 3_600_000_000, 3


#: Where a curve of percentiles has its points.
_CURVE = (*range(0, 100, 5), 97.5, 99, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999)


def _histogram() -> HdrHistogram:
    return HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS)


#: Latencies wait to be counted in the histogram, equal ones together. When more different ones than this wait, some
#: are counted with each batch, so that no batch takes long.
_WAITING_AT_MOST = 4096
_COUNTED_AT_ONCE = 256


@attrs.define
class Latency:
    """How long exchanges took, in µs."""

    _histogram: HdrHistogram = attrs.field(factory=_histogram)
    _waiting: Counter[int] = attrs.field(factory=Counter)

    def record(self, latencies_us: Iterable[int]) -> None:
        """Add some."""
        self._waiting.update(latencies_us)
        if len(self._waiting) > _WAITING_AT_MOST:
            self._count(_COUNTED_AT_ONCE)

    def record_counted(self, latencies_us: Mapping[int, int]) -> None:
        """Add some that were counted already: how many took so long."""
        self._waiting.update(latencies_us)

    def add(self, other: "Latency") -> None:
        """Add all of another."""
        self._histogram.add(other._counted())  # noqa: SLF001  (another of its own)

    def plus(self, other: "Latency") -> "Latency":
        """Return both together."""
        both = Latency()
        both.add(self)
        both.add(other)
        return both

    @property
    def count(self) -> int:
        """How many were recorded."""
        return int(self._counted().get_total_count())

    def percentile_us(self, percentile: float) -> int:
        """Return the latency that `percentile` % of the exchanges did not exceed, in µs."""
        return int(self._counted().get_value_at_percentile(percentile)) if self.count else 0

    def percentiles(self) -> list[tuple[float, int]]:
        """Return the latencies in µs at the percentiles of a curve, as far out as so many exchanges can tell."""
        known = 100 - 100 / max(1, self.count)
        # All in one pass: it takes the library as long as one of them.
        found = self._counted().get_percentile_to_value_dict([each for each in _CURVE if each <= known])
        return [(percentile, int(us)) for percentile, us in sorted(found.items())] if self.count else []

    @property
    def max_us(self) -> int:
        """The longest, in µs."""
        return int(self._counted().get_max_value()) if self.count else 0

    def _counted(self) -> HdrHistogram:
        self._count(len(self._waiting))
        return self._histogram

    def _count(self, values: int) -> None:
        for _value in range(values):
            latency_us, times = self._waiting.popitem()
            self._histogram.record_value(min(max(latency_us, _LOWEST_US), _HIGHEST_US), times)
