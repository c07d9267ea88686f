"""What all figures of a report have in common."""

from collections.abc import Mapping
from math import pi
from typing import Any

import numpy as np
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    InlineStyleSheet,
    NoOverlap,
    PrintfTickFormatter,
    Range1d,
)
from bokeh.models.annotations import LabelSet
from bokeh.plotting import figure

from proxyreload.report.palette import DASHES, LOST, NEUTRAL, Fill, Key
from proxyreload.report.story import Story

US_PER_S = 1e6
US_PER_MS = 1e3
#: On a touch screen a finger scrolls the page up and down, also where it meets a figure.
_TOUCH = ".bk-events { touch-action: pan-y !important; }"
#: Room for numbers at the left, the same in all figures, so that their times stand below each other.
_LEFT_BORDER = 62
_DECADES_RULED_FINELY = 3
#: Columns of latencies, and how each is drawn.
PERCENTILES = (("p50", "#0072b2", DASHES[0]), ("p99", "#e69f00", DASHES[1]), ("max", LOST, DASHES[2]))
LATENCY_KEYS = tuple(Key(name, colour, dash=dash) for name, colour, dash in PERCENTILES)
#: How the mark of a failure is drawn, but for its shape and colour.
LOSS_MARK: Mapping[str, Any] = {"size": 9, "fill_alpha": 0.25, "line_width": 1.8}


def seconds_range(story: Story) -> Range1d:
    """Return the one range of time that all of a run's figures share."""
    end_s = story.duration_us / US_PER_S
    return Range1d(start=0, end=end_s, bounds=(0, end_s), min_interval=min(end_s, 0.001), name="seconds")


def time_figure(seconds: Range1d, height: int, label: str, **more: Any) -> figure:  # noqa: ANN401  (Bokeh's own)
    """Return an empty figure over time."""
    drawn = plain_figure(height, label, BoxZoomTool(dimensions="width"), x_range=seconds, **more)
    drawn.xaxis.formatter = PrintfTickFormatter(format="%.9g s")
    return drawn


def plain_figure(height: int, label: str, *tools: BoxZoomTool, **more: Any) -> figure:  # noqa: ANN401  (Bokeh's own)
    """Return an empty figure, as wide as the page, that shows through to it."""
    drawn = figure(
        height=height,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools=list(tools),
        y_axis_label=label,
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
        min_border_left=_LEFT_BORDER,
        min_border_right=12,
        output_backend="canvas",
        stylesheets=[InlineStyleSheet(css=_TOUCH)],
        **more,
    )
    drawn.grid.grid_line_alpha = 0.4
    drawn.axis.minor_tick_line_color = None
    drawn.axis.major_label_policy = NoOverlap()
    drawn.axis.axis_label_text_font_style = "normal"
    drawn.yaxis.formatter = PrintfTickFormatter(format="%.4g")
    return drawn


def hover(drawn: figure, renderers: list[Any], tooltips: list[tuple[str, str]]) -> None:
    """Show this of what is below the pointer, the first of several."""
    drawn.add_tools(HoverTool(renderers=renderers, tooltips=tooltips, limit=1))


def windows_of(story: Story) -> ColumnDataSource:
    """Return the changes' windows, each from its request until it was seen: one source for all of a run's figures."""
    requested = np.array([change.requested_us for change in story.changes]) / US_PER_S
    over = np.array([change.over_us for change in story.changes]) / US_PER_S
    return ColumnDataSource({"x": requested, "over": over})


def draw_windows(drawn: figure, windows: ColumnDataSource) -> None:
    """Draw windows from ``x`` to ``over``, each with a line where it begins."""
    window: Mapping[str, Any] = {"fill_color": NEUTRAL, "fill_alpha": 0.3, "line_color": None, "level": "underlay"}
    drawn.vstrip(x0="x", x1="over", source=windows, **window)
    drawn.vspan(x="x", source=windows, line_color=NEUTRAL, line_width=1.5, line_dash="dashed", level="underlay")


def label_windows(drawn: figure, labels: ColumnDataSource) -> None:
    """Write ``text`` beside windows, below ``x`` and ``y``."""
    names = LabelSet(x="x", y="y", text="text", source=labels, x_offset=5, text_font_size="12px", text_baseline="top")
    drawn.add_layout(names)


def draw_rates(drawn: figure, slices: ColumnDataSource, backends: Mapping[str, Fill], when: str) -> None:
    """Draw the backends' answers on top of each other, and tell them.

    The first's are steps from ``to0`` to ``to1``, the next one's from ``to1`` to ``to2``, and so on; ``rate0``,
    ``rate1`` and so on are told, and ``total``.
    """
    for index, fill in enumerate(backends.values()):
        drawn.varea_step(
            x="x",
            y1=f"to{index}",
            y2=f"to{index + 1}",
            source=slices,
            step_mode="after",
            fill_color=fill.colour,
            fill_alpha=0.85,
            hatch_pattern=fill.hatch,
            hatch_alpha=0.5,
        )
    told = [(backend, f"@rate{index}{{0}}/s") for index, backend in enumerate(backends)]
    hover(drawn, [_pointed(drawn, slices)], [("seconds", when), ("all", "@total{0}/s"), *told])


def draw_percentiles(drawn: figure, slices: ColumnDataSource, when: str) -> None:
    """Draw `PERCENTILES` in steps, and tell them."""
    for name, colour, dash in PERCENTILES:
        drawn.step(x="x", y=name, source=slices, mode="after", line_color=colour, line_dash=dash, line_width=2)
    told = [(name, f"@{name}{{0.000}} ms") for name, _colour, _dash in PERCENTILES]
    hover(drawn, [_pointed(drawn, slices)], [("seconds", when), *told])


def draw_changed(drawn: figure, **places: Any) -> None:  # noqa: ANN401  (Bokeh's own)
    """Mark connections that count in ``back changed``."""
    drawn.scatter(**places, marker="triangle", angle=-pi / 2, size=7, fill_color="#ffffff", line_color="#000000")


def _pointed(drawn: figure, slices: ColumnDataSource) -> Any:  # noqa: ANN401  (Bokeh's own)
    """Cover each slice with something invisible to point at."""
    return drawn.vstrip(x0="x", x1="right", source=slices, fill_alpha=0, line_alpha=0)


def rule_latency(drawn: figure, latencies_ms: Any) -> None:  # noqa: ANN401  (an array or a list)
    """Rule a logarithmic axis of latencies at 1, 2, 5 of each decade, or at the decades if there are many."""
    finite = np.asarray(latencies_ms, float)
    finite = finite[np.isfinite(finite) & (finite > 0)]
    decades = np.log10(finite.max() / finite.min()) if len(finite) else 0
    mantissas = (1, 2, 5) if decades < _DECADES_RULED_FINELY else (1,)
    ticks = [mantissa * 10.0**power for power in range(-3, 9) for mantissa in mantissas]
    drawn.yaxis.ticker = FixedTicker(ticks=ticks)
    drawn.ygrid.ticker = FixedTicker(ticks=ticks)


def label_ticks(axis: Any, labels: Mapping[int, str] | Mapping[float, str]) -> None:  # noqa: ANN401  (Bokeh's own)
    """Put these words at these places of an axis, and nothing else."""
    axis.ticker = FixedTicker(ticks=list(labels))
    axis.major_label_overrides = dict(labels)
