"""Latency by percentile, on HdrHistogram's axis."""

from collections.abc import Sequence

from bokeh.models import ColumnDataSource, FixedTicker
from bokeh.plotting import figure

from proxyreload.report.curves import Curve
from proxyreload.report.figures import US_PER_MS, hover, label_ticks, plain_figure, rule_latency
from proxyreload.report.palette import DASHES, LOST, NEUTRAL, Key

#: More changes than this share one curve.
CHANGES_AT_MOST = 4
#: By stretch of curve.
COLOURS = {"before": "#0072b2", "around": LOST, "after": "#009e73", "baseline": NEUTRAL}
#: Percentiles by where they are on the axis.
TICKS = {
    1: "0 %",
    2: "50 %",
    10: "90 %",
    100: "99 %",
    1000: "99.9 %",
    10**4: "99.99 %",
    10**5: "99.999 %",
    10**6: "99.9999 %",
    10**7: "99.99999 %",
}


def tail_keys(curves: Sequence[Curve]) -> tuple[Key, ...]:
    """Return the legend."""
    return tuple(Key(curve.name, COLOURS[curve.stretch], dash=_dash(curve)) for curve in curves)


def tail_figure(curves: Sequence[Curve]) -> figure:
    """Draw the curves; the baseline, of which few percentiles are known, with its points."""
    drawn = plain_figure(340, "latency, ms", x_axis_type="log", y_axis_type="log")
    rule_latency(drawn, [us / US_PER_MS for curve in curves for us in curve.latency_us])
    label_ticks(drawn.xaxis, TICKS)
    drawn.xgrid.ticker = FixedTicker(ticks=list(TICKS))
    lines = []
    for curve in curves:
        source = ColumnDataSource(
            {
                "x": curve.one_in,
                "y": [max(us, 1) / US_PER_MS for us in curve.latency_us],
                "percentile": [f"{100 * (1 - 1 / x):.8g} %" for x in curve.one_in],
                "name": [curve.name] * len(curve.one_in),
            }
        )
        colour = COLOURS[curve.stretch]
        lines.append(drawn.line("x", "y", source=source, line_color=colour, line_dash=_dash(curve), line_width=2))
        if curve.stretch == "baseline":
            drawn.scatter("x", "y", source=source, marker="square", size=6, color=colour)
    hover(drawn, lines, [("", "@name"), ("percentile", "@percentile"), ("latency", "@y{0.000} ms")])
    return drawn


def _dash(curve: Curve) -> str:
    """Tell the first change's curves from the second's."""
    return DASHES[max(0, curve.number - 1) % len(DASHES)]
