"""Latencies in an HdrHistogram."""

import attrs
from hdrh.histogram import HdrHistogram

from proxyreload.clock import NS_PER_US

#: From 1 µs to an hour, three significant digits.
_LOWEST_US, _HIGHEST_US, _DIGITS = 1, 3_600_000_000, 3


def _histogram() -> HdrHistogram:
    return HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS)


@attrs.define
class Latency:
    """How long exchanges took, in µs."""

    _histogram: HdrHistogram = attrs.field(factory=_histogram)

    def record(self, latency_ns: int) -> None:
        """Add one."""
        self._histogram.record_value(min(max(latency_ns // NS_PER_US, _LOWEST_US), _HIGHEST_US))

    def add(self, other: "Latency") -> None:
        """Add all of another."""
        self._histogram.add(other._histogram)  # noqa: SLF001  (one of its own kind)

    @property
    def count(self) -> int:
        """How many were recorded."""
        return int(self._histogram.get_total_count())

    def percentile_us(self, percentile: float) -> int:
        """Return the latency that `percentile` % of the exchanges did not exceed, in µs."""
        return int(self._histogram.get_value_at_percentile(percentile)) if self.count else 0

    @property
    def max_us(self) -> int:
        """The longest, in µs."""
        return int(self._histogram.get_max_value()) if self.count else 0
