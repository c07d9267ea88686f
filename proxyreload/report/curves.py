"""Latencies before, around and after each change, and their percentiles."""

from collections.abc import Iterator

import attrs
import numpy as np

from proxyreload.report.batches import UNKNOWN, Integers
from proxyreload.report.rowfile import Flags
from proxyreload.report.story import Story
from proxyreload.verdict.phases import SETTLE_NS

_SETTLE_US = SETTLE_NS // 1000
#: Points of a curve for each factor of ten.
_POINTS_PER_DECADE = 20


@attrs.frozen(eq=False)
class Curve:
    """Latency by percentile: ``one_in`` is 1 / (1 - percentile), HdrHistogram's axis."""

    name: str
    stretch: str  #: ``before``, ``around``, ``after`` or ``baseline``
    number: int  #: of the change
    count: int
    one_in: list[float]
    latency_us: list[float]


def measured(story: Story) -> Flags:
    """Return which rows' latencies count: successes of plain clients that say when they were due."""
    rows = story.rows
    counting: Flags = (rows.failure == 0) & story.plain(rows.client) & (rows.due_us != UNKNOWN)
    return counting


def latency_us(story: Story) -> Integers:
    """Return every row's latency; it means something only where it was measured."""
    taken_us: Integers = np.maximum(story.rows.time_us - story.rows.due_us, 0)
    return taken_us


def curves(story: Story, changes_at_most: int) -> Iterator[Curve]:
    """Yield a curve for each phase, in order; phases of one stretch are joined if there are more changes than told."""
    chosen = measured(story)
    times, latencies = story.rows.time_us[chosen], latency_us(story)[chosen]
    if not len(times):
        return
    change = story.change_before(times)
    settled = np.array([c.settled_us + _SETTLE_US for c in story.changes], np.int64)
    around = change >= 0
    around[around] = times[around] < settled[change[around]]
    if len(story.changes) > changes_at_most:
        phases = [("before", "before", 0, change < 0), ("around the changes", "around", 1, around)]
        phases.append(("between and after", "after", 1, (change >= 0) & ~around))
    else:
        phases = [("before" if story.changes else "the run", "before", 0, change < 0)]
        for index, told in enumerate(story.changes):
            mine = change == index
            phases.append((f"around {told.number}", "around", index + 1, mine & around))
            phases.append((f"after {told.number}", "after", index + 1, mine & ~around))
    for name, stretch, number, rows in phases:
        if rows.any():
            yield curve(name, stretch, number, np.sort(latencies[rows]))


def curve(name: str, stretch: str, number: int, ordered_us: Integers) -> Curve:
    """Return the curve of latencies in ascending order, up to the highest."""
    count = len(ordered_us)
    one_in = np.unique(np.append(np.geomspace(1, count, max(2, int(np.log10(count) * _POINTS_PER_DECADE))), [1, count]))
    # The rank that HdrHistogram takes: the first value that so many do not exceed.
    ranks = np.clip(np.ceil((1 - 1 / one_in) * count).astype(np.int64), 1, count) - 1
    ranks[-1] = count - 1
    return Curve(name, stretch, number, count, one_in.tolist(), ordered_us[ranks].astype(float).tolist())


def baseline_curve(story: Story) -> Curve | None:
    """Return the baseline's curve, of the percentiles that were recorded."""
    baseline = story.record.baseline if story.record else None
    if baseline is None or not baseline.count:
        return None
    points = {50.0: baseline.p50_us, 99.0: baseline.p99_us, 99.9: baseline.p999_us, **dict(baseline.percentiles)}
    # What fewer than one exchange exceeded is the maximum.
    known = {percentile: us for percentile, us in points.items() if baseline.count * (1 - percentile / 100) > 1}
    one_in = {1 / (1 - percentile / 100): us for percentile, us in known.items()}
    one_in[float(baseline.count)] = baseline.max_us
    at = sorted(one_in)
    return Curve("baseline", "baseline", 0, baseline.count, at, [float(max(1, one_in[x])) for x in at])
