"""The timeline: requests, latency and failures over time."""

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, FixedTicker, NumeralTickFormatter, Range1d
from bokeh.models.annotations import Label
from bokeh.plotting import figure

from proxyreload.report.bins import ANOTHER, Bins, bins, coarse_edges, fine_edges
from proxyreload.report.figures import (
    LOSS_MARK,
    PERCENTILES,
    US_PER_MS,
    US_PER_S,
    draw_percentiles,
    draw_rates,
    draw_windows,
    hover,
    label_windows,
    rule_latency,
    time_figure,
)
from proxyreload.report.losses import CLASSES_AT_MOST, OTHERS, Loss
from proxyreload.report.palette import NEUTRAL, Fill, mark
from proxyreload.report.story import Story

#: Shown of the whole, the fine slices take the coarse ones' place.
_FINE_FROM = 0.4
_CLASS_HEIGHT = 34
#: Changes that are named, or only numbered, where they are.
_NAMES_AT_MOST = 6
_NUMBERS_AT_MOST = 30
_SECONDS = "@x{0.000} to @right{0.000}"


def source_of(story: Story, names: list[str], seconds: Range1d, slices: int) -> tuple[ColumnDataSource, Bins]:
    """Return the slices that are shown, finer ones once they are zoomed in on; and the coarse ones."""
    edges, fine = coarse_edges(story), fine_edges(story, slices)
    whole = bins(story, edges, names)
    shown = ColumnDataSource(_columns(whole), name="slices")
    if len(fine) != len(edges):
        levels = {
            "shown": shown,
            "coarse": ColumnDataSource(_columns(whole)),
            "fine": ColumnDataSource(_columns(bins(story, fine, names))),
            "seconds": seconds,
            "limit": story.duration_us / US_PER_S * _FINE_FROM,
        }
        code = (
            "const data = (seconds.end - seconds.start < limit ? fine : coarse).data; "
            "if (shown.data !== data) shown.data = data"
        )
        for end in ("start", "end"):
            seconds.js_on_change(end, CustomJS(args=levels, code=code))
    return shown, whole


def _columns(slices: Bins) -> dict[str, Any]:
    """Return the columns of a source: steps begin at ``x``; the last one is told twice, for its end to be drawn."""
    edges = np.append(slices.left_us, slices.right_us[-1]) / US_PER_S
    height = np.zeros(len(slices.left_us))
    columns = {"x": edges, "right": np.append(edges[1:], edges[-1]), "to0": height}
    for index, rate in enumerate(slices.rates_per_s.values()):
        height = height + rate
        columns |= {f"rate{index}": rate, f"to{index + 1}": height}
    columns["total"] = height
    columns |= {"p50": slices.p50_us / US_PER_MS, "p99": slices.p99_us / US_PER_MS, "max": slices.max_us / US_PER_MS}
    return {
        name: np.append(values, values[-1:]).astype(np.float32) if len(values) < len(edges) else values
        for name, values in columns.items()
    }


def rate_figure(
    story: Story,
    shown: ColumnDataSource,
    whole: Bins,
    fills: dict[str, Fill],
    seconds: Range1d,
    windows: ColumnDataSource,
) -> figure:
    """Draw answers per second, the backends' on top of each other."""
    top = 1.25 * max(1.0, float(whole.total_per_s.max()))
    drawn = time_figure(seconds, 250, "answers/s", y_range=Range1d(start=0, end=top))
    drawn.yaxis.formatter = NumeralTickFormatter(format="0[.]0a")
    draw_windows(drawn, windows)
    draw_rates(drawn, shown, {_backend(name): fills.get(name, Fill(NEUTRAL)) for name in whole.rates_per_s}, _SECONDS)
    _name_changes(drawn, story, top)
    return drawn


def latency_figure(shown: ColumnDataSource, seconds: Range1d, windows: ColumnDataSource) -> figure:
    """Draw p50, p99 and the maximum."""
    drawn = time_figure(seconds, 220, "latency, ms", y_axis_type="log")
    rule_latency(drawn, [shown.data[name] for name, _colour, _dash in PERCENTILES])
    draw_windows(drawn, windows)
    draw_percentiles(drawn, shown, _SECONDS)
    return drawn


def losses_figure(
    marks: list[Loss], classes: list[tuple[str, int]], seconds: Range1d, windows: ColumnDataSource
) -> figure:
    """Draw the failures as marks, a row for each class."""
    rows = [f"{number:,} {name}" for name, number in classes[:CLASSES_AT_MOST]]
    if len(classes) > CLASSES_AT_MOST:
        rows.append(f"{sum(number for _name, number in classes[CLASSES_AT_MOST:]):,} {OTHERS}")
    drawn = time_figure(seconds, 40 + _CLASS_HEIGHT * len(rows), "", y_range=Range1d(start=len(rows) - 0.5, end=-0.75))
    drawn.yaxis.ticker = FixedTicker(ticks=[])
    drawn.ygrid.ticker = FixedTicker(ticks=list(range(len(rows))))
    draw_windows(drawn, windows)
    places = {name: min(index, CLASSES_AT_MOST) for index, (name, _number) in enumerate(classes)}
    for index, text in enumerate(rows):
        mine = [loss for loss in marks if places[loss.named] == index]
        look = mark(index)
        renderer = drawn.scatter(
            x="x",
            y="y",
            source=ColumnDataSource(_marks(mine, index)),
            marker=look.shape,
            line_color=look.colour,
            fill_color=look.colour,
            **LOSS_MARK,
        )
        told = [
            ("seconds", "@x{0.000000}"),
            ("client", "@client, @kind"),
            ("what", "@status"),
            ("backend", "@instance"),
        ]
        told += [("connection", "port @port, @age, @carried requests before"), ("since the change", "@since")]
        hover(drawn, [renderer], told)
        drawn.add_layout(
            Label(x=4, y=index - 0.28, x_units="screen", text=text, text_font_size="12px", text_baseline="middle")
        )
    return drawn


def _marks(marks: list[Loss], row: int) -> dict[str, Any]:
    return {
        "x": np.array([loss.time_us / US_PER_S for loss in marks]),
        "y": np.full(len(marks), row + 0.15, np.float32),
        "client": [f"{loss.client}{' (the probe)' if loss.probe else ''}" for loss in marks],
        "kind": [loss.kind or "-" for loss in marks],
        "status": [loss.status for loss in marks],
        "instance": [loss.instance or "-" for loss in marks],
        "port": [loss.front_port or "-" for loss in marks],
        "age": ["" if loss.age_us is None else f"{loss.age_us / US_PER_MS:.3f} ms old" for loss in marks],
        "carried": ["?" if loss.carried is None else loss.carried for loss in marks],
        "since": [
            "before" if loss.since_us is None else f"{loss.since_us / US_PER_MS:.3f} ms after change {loss.change}"
            for loss in marks
        ],
    }


def _name_changes(drawn: figure, story: Story, top: float) -> None:
    """Name the changes at the top, as far as there is room."""
    if not story.changes or len(story.changes) > _NUMBERS_AT_MOST:
        return
    whole = len(story.changes) <= _NAMES_AT_MOST
    source = ColumnDataSource(
        {
            "x": [change.requested_us / US_PER_S for change in story.changes],
            # Neighbours' names stand below each other, so that they can be read.
            "y": [top * (0.99 - 0.09 * (index % 2)) for index in range(len(story.changes))],
            "text": [f"{change.number}: {change.what}" if whole else f"{change.number}" for change in story.changes],
        }
    )
    label_windows(drawn, source)


def _backend(name: str) -> str:
    return name if name == ANOTHER else f"backend {name}"
