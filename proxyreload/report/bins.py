"""The run in slices of time: how many requests, how long they took."""

import attrs
import numpy as np
from numpy.typing import NDArray

from proxyreload.report.batches import OTHER, Integers
from proxyreload.report.curves import latency_us, measured
from proxyreload.report.story import Story

Decimals = NDArray[np.float64]

_COARSE_AT_MOST = 300
#: A slice should hold so many requests for its rate to mean something.
_EXCHANGES_AT_LEAST = 20
_NARROWEST_US = 1000
#: How much around a change is shown more finely.
_BEFORE_US, _AFTER_US = 1_000_000, 2_000_000
#: Backends with a colour of their own; what others answered is taken together.
INSTANCES_AT_MOST = 12
ANOTHER = "others"


@attrs.frozen(eq=False)
class Bins:
    """Slices of a run, a value for each; latencies are NaN where nothing was measured."""

    left_us: Integers
    right_us: Integers
    rates_per_s: dict[str, Decimals]  #: answers by backend, the failed ones without
    p50_us: Decimals
    p99_us: Decimals
    max_us: Decimals

    @property
    def total_per_s(self) -> Decimals:
        """Answers of all backends."""
        return np.sum(list(self.rates_per_s.values()), axis=0) if self.rates_per_s else np.zeros(len(self.left_us))


def instances(story: Story) -> list[str]:
    """Return the backends that answered, by name, the numbered ones by number; as many as have a colour."""
    counts = np.bincount(story.rows.instance, minlength=len(story.rows.instances))
    answered = [index for index in np.argsort(-counts[1:], kind="stable") + 1 if counts[index]]
    names = [story.rows.instances[index] for index in answered]
    known = [name for name in names if name != OTHER][:INSTANCES_AT_MOST]
    return sorted(known, key=lambda name: (len(name), name))


def coarse_edges(story: Story) -> Integers:
    """Return where slices of the whole run begin and end."""
    duration_us, total = story.duration_us, len(story.rows)
    width_us = max(duration_us / _COARSE_AT_MOST, duration_us * _EXCHANGES_AT_LEAST / max(1, total), 1)
    return _edges(0, duration_us, _round_up(min(width_us, duration_us)))


def fine_edges(story: Story, most: int) -> Integers:
    """Return the edges with finer ones around each change, about so many at most; the same if none would be."""
    coarse = coarse_edges(story)
    windows: list[tuple[int, int]] = []
    for change in story.changes:
        begin, end = _snapped(coarse, change.requested_us - _BEFORE_US, change.over_us + _AFTER_US)
        if windows and begin <= windows[-1][1]:
            begin, end = windows[-1][0], max(end, windows.pop()[1])
        windows.append((begin, end))
    covered_us = sum(end - begin for begin, end in windows)
    per_us = len(story.rows) / story.duration_us
    width_us = _round_up(max(covered_us / most, _EXCHANGES_AT_LEAST / max(per_us, 1e-12), _NARROWEST_US))
    if not windows or width_us >= coarse[1] - coarse[0]:
        return coarse
    return np.unique(np.concatenate([coarse, *(_edges(begin, end, width_us) for begin, end in windows)]))


def _snapped(edges: Integers, begin_us: int, end_us: int) -> tuple[int, int]:
    """Return the slices' edges before and after."""
    first = int(np.searchsorted(edges, begin_us, side="right")) - 1
    last = int(np.searchsorted(edges, end_us, side="left"))
    return int(edges[max(0, min(first, len(edges) - 2))]), int(edges[min(last, len(edges) - 1)])


def bins(story: Story, edges: Integers, names: list[str]) -> Bins:
    """Return the run in these slices."""
    rows = story.rows
    size = len(edges) - 1
    # Two searches at most: times that are equal to the last edge belong to the last slice.
    slices = np.clip(np.searchsorted(edges, rows.time_us, side="right") - 1, 0, size - 1)
    width_s = np.diff(edges) / 1e6
    answered = (rows.instance > 0) & (rows.failure == 0)
    order = {name: index for index, name in enumerate(names)}
    place = np.array([order.get(name, len(names)) for name in rows.instances], np.int64)
    counts = np.bincount(
        slices[answered] * (len(names) + 1) + place[rows.instance[answered]], minlength=size * (len(names) + 1)
    ).reshape(size, len(names) + 1)
    rates = {name: counts[:, index] / width_s for name, index in order.items()}
    if counts[:, -1].any():
        rates[ANOTHER] = counts[:, -1] / width_s
    chosen = measured(story)
    return Bins(edges[:-1], edges[1:], rates, *_percentiles(slices[chosen], latency_us(story)[chosen], size))


def _percentiles(slices: Integers, latencies_us: Integers, size: int) -> tuple[Decimals, Decimals, Decimals]:
    """Return p50, p99 and the maximum of each slice."""
    ordered = latencies_us[np.lexsort((latencies_us, slices))]
    counts = np.bincount(slices, minlength=size)
    begins = np.cumsum(counts) - counts
    found = []
    for share in (0.5, 0.99, 1.0):
        at = begins + np.maximum(np.ceil(counts * share).astype(np.int64), 1) - 1
        values = np.full(size, np.nan)
        values[counts > 0] = ordered[at[counts > 0]]
        found.append(values)
    return found[0], found[1], found[2]


def _edges(begin: int, end: int, width: int) -> Integers:
    """Return edges in even steps; the rest, if it is less than half a step, belongs to the last."""
    steps = max(1, round((end - begin) / width))
    return np.append(begin + width * np.arange(steps, dtype=np.int64), end)


def _round_up(width_us: float) -> int:
    """Return the next of 1, 2, 5, 10, 20, 50 and so on."""
    decade = 10 ** max(0, int(np.floor(np.log10(max(width_us, 1)))))
    return int(next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= width_us - 1e-9))
