"""Latencies in an HdrHistogram, and the figures that are kept of one once it is over."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

import attrs
from hdrh.histogram import HdrHistogram

#: From 1 µs to an hour, three significant digits.
_LOWEST_US, _HIGHEST_US, _DIGITS = 1, 3_600_000_000, 3


#: Where a curve of percentiles has its points; whatever else is told of latencies is told at one of them.
_CURVE = (*range(0, 100, 5), 97.5, 99, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999)


def _histogram() -> HdrHistogram:
    return HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS)


#: Latencies wait to be counted in the histogram, equal ones together. When more different ones than this wait, some
#: are counted with each batch, so that no batch takes long.
_WAITING_AT_MOST = 4096
_COUNTED_AT_ONCE = 256


class Told(Protocol):
    """What is told of latencies, whether some may still be added or not."""

    @property
    def count(self) -> int:
        """How many were recorded."""

    @property
    def max_us(self) -> int:
        """The longest, in µs; 0 if there is none."""

    def percentile_us(self, percentile: float) -> int:
        """Return the latency that `percentile` % of the exchanges did not exceed, in µs; 0 if there are none."""

    def percentiles(self) -> list[tuple[float, int]]:
        """Return the latencies in µs at the percentiles of a curve, as far out as so many exchanges can tell."""


@attrs.frozen
class Figures:
    """What is kept of latencies that are over: half a kilobyte, where a histogram takes two hundred."""

    count: int
    max_us: int
    _at: "array[int]"  # in µs, at each percentile of the curve; empty if there were none

    def percentile_us(self, percentile: float) -> int:
        """Return a latency of the curve in µs; raises `ValueError` where it has no point at this percentile."""
        point = _CURVE.index(percentile)
        return self._at[point] if self._at else 0

    def percentiles(self) -> list[tuple[float, int]]:
        """Return the curve in µs, as far out as so many exchanges can tell."""
        known = _known(self.count)
        return [(percentile, us) for percentile, us in zip(_CURVE, self._at, strict=False) if percentile <= known]


@attrs.frozen
class Packed:
    """Latencies that can still be added to others, in a few kilobytes."""

    encoded: bytes = b""  #: as HdrHistogram's libraries exchange them; empty if there were none


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

    def packed(self) -> Packed:
        """Return what can be kept of it in little room, and added to another."""
        return Packed(self._counted().encode()) if self.count else Packed()

    def add_packed(self, other: Packed) -> None:
        """Add all of another that was packed."""
        if other.encoded:
            self._counted().decode_and_add(other.encoded)

    @property
    def count(self) -> int:
        """How many were recorded."""
        return int(self._counted().get_total_count())

    def percentile_us(self, percentile: float) -> int:
        """Return the latency that `percentile` % of the exchanges did not exceed, in µs."""
        return int(self._counted().get_value_at_percentile(percentile)) if self.count else 0

    def percentiles(self) -> list[tuple[float, int]]:
        """Return the latencies in µs at the percentiles of a curve, as far out as so many exchanges can tell."""
        return self.figures().percentiles()

    def figures(self) -> Figures:
        """Return what is kept once nothing more is added."""
        # All in one pass: it takes the library as long as one of them.
        found = self._counted().get_percentile_to_value_dict(_CURVE) if self.count else {}
        return Figures(self.count, self.max_us, array("Q", [int(us) for _percentile, us in sorted(found.items())]))

    def settled(self) -> Figures:
        """Return what is kept, and give the rest back; it is of no more use."""
        figures = self.figures()
        # It refers to itself through this, and would stay until the collector looks at what is old, which is seldom.
        self._histogram.encoder = None
        del self._histogram
        return figures

    def count_some(self) -> bool:
        """Count some of those that wait for that; returns whether there were any, and so more may be left."""
        waited = bool(self._waiting)
        self._count(min(_COUNTED_AT_ONCE, len(self._waiting)))
        return waited

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


def _known(count: int) -> float:
    """Return up to which percentile so many exchanges can tell."""
    return 100 - 100 / max(1, count)
