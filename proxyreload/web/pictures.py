"""The pictures of the report, empty, for the page's script to fill while a run goes on."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict
from bokeh.document import Document
from bokeh.embed.util import standalone_docs_json_and_render_items
from bokeh.models import ColumnDataSource, FixedTicker, NumeralTickFormatter, Range1d
from bokeh.models.annotations import LabelSet
from bokeh.plotting import figure

from proxyreload.history.events import CLOSE_FRAME, GOAWAY, RESET
from proxyreload.report.connections import ANNOUNCED, CUT, IDLE
from proxyreload.report.figures import (
    LATENCY_KEYS,
    LOSS_MARK,
    draw_changed,
    draw_percentiles,
    draw_rates,
    draw_windows,
    hover,
    label_ticks,
    label_windows,
    plain_figure,
    rule_latency,
    time_figure,
)
from proxyreload.report.palette import DASHES, LOST, NEUTRAL, Fill, Key, fills, mark
from proxyreload.report.percentiles import COLOURS, TICKS
from proxyreload.report.strips import AROUND, END_MARKS, LANE_HEIGHT, STRIP_HEIGHT
from proxyreload.web.slices import ANOTHER

#: Backends with a colour of their own; the answers of the others are one.
_BACKENDS_AT_MOST = 12
_SECONDS = "@x{0.00}"
#: Classes of failures with a row of their own; the others share the last.
_CLASSES = 6
#: Connections to backends are drawn in so many lanes; the rest are counted.
_LANES_AT_MOST = 60
#: How the end of a connection is marked, as in a report.
_ENDS = {
    **{ending: END_MARKS[ending] for ending in (ANNOUNCED, IDLE, CUT, GOAWAY, CLOSE_FRAME, RESET)},
    "unasked": ("diamond", "closed for bytes that nobody asked for", LOST),
}


def pictures(backends: int, clients: Mapping[int, str]) -> dict[str, Any]:
    """Return what the page's script needs to draw: Bokeh's documents, legends, colours.

    `clients` are those whose connections are drawn, in order, with the names of their strips.
    """
    seconds = Range1d(start=0, end=60, name="seconds")
    names = [str(number) for number in range(min(backends, _BACKENDS_AT_MOST))]
    colours = {**fills(names), ANOTHER: Fill(NEUTRAL)}
    changes = ColumnDataSource({"x": [], "over": [], "text": [], "y": []}, name="changes")
    drawn = {
        "rate": _rate([*names, ANOTHER], colours, seconds),
        "latency": _latency(seconds),
        "losses": _losses(seconds),
        "front": _strips(list(clients.values()), seconds),
        "back": _back(seconds),
    }
    for each in drawn.values():
        draw_windows(each, changes)
    drawn["tail"] = _tail()
    label_windows(drawn["rate"], changes)
    document = Document()
    for each in drawn.values():
        document.add_root(each)
    documents, [item] = standalone_docs_json_and_render_items(list(drawn.values()))
    # Each is drawn into the element that is named after it.
    roots = {figure.ref["id"]: name for name, figure in drawn.items()}
    backend_keys = [Key(_backend(name), colours[name].colour, hatch=colours[name].hatch) for name in names]
    ends = [Key(words, colour, shape=shape) for shape, words, colour in _ENDS.values()]
    return {
        "documents": documents,
        "item": {**item.to_json(), "roots": roots, "root_ids": list(roots)},
        "backends": [*names, ANOTHER],
        "fills": {name: asdict(fill) for name, fill in {**colours, "": Fill(NEUTRAL)}.items()},
        "marks": [asdict(mark(index)) for index in range(_CLASSES)],
        "ends": {ending: {"shape": shape, "colour": colour} for ending, (shape, _words, colour) in _ENDS.items()},
        "strips": {str(client): place for place, client in enumerate(clients)},
        "lanes": {"most": _LANES_AT_MOST, "height": LANE_HEIGHT, "around": AROUND},
        "curves": {"colours": COLOURS, "dashes": DASHES},
        "keys": {
            "rate": _keys(backend_keys),
            "latency": _keys(LATENCY_KEYS),
            "losses": [],
            "tail": [],
            "front": _keys([*backend_keys, *ends]),
            "back": _keys(backend_keys),
        },
    }


def _keys(keys: Sequence[Key]) -> list[dict[str, str]]:
    return [asdict(key) for key in keys]


def _backend(name: str) -> str:
    return name if name == ANOTHER else f"backend {name}"


def _rate(names: Sequence[str], colours: dict[str, Fill], seconds: Range1d) -> figure:
    """Draw answers per second, the backends' on top of each other."""
    columns = ["x", "right", "to0", "p50", "p99", "max", "total"]
    columns += [f"rate{index}" for index in range(len(names))] + [f"to{index + 1}" for index in range(len(names))]
    # Bokeh's script never comes back from an area without a point.
    slices = ColumnDataSource({column: [0.0, 0.0] for column in columns}, name="slices")
    drawn = time_figure(seconds, 250, "answers/s", y_range=Range1d(start=0, end=1, name="rates"))
    drawn.yaxis.formatter = NumeralTickFormatter(format="0[.]0a")
    draw_rates(drawn, slices, {_backend(name): colours[name] for name in names}, _SECONDS)
    return drawn


def _latency(seconds: Range1d) -> figure:
    """Draw p50, p99 and the maximum."""
    slices = ColumnDataSource({name: [] for name in ("x", "right", "p50", "p99", "max")}, name="latencies")
    drawn = time_figure(
        seconds, 220, "latency, ms", y_axis_type="log", y_range=Range1d(start=0.1, end=10, name="latency")
    )
    rule_latency(drawn, [0.1, 1000])
    draw_percentiles(drawn, slices, _SECONDS)
    return drawn


def _losses(seconds: Range1d) -> figure:
    """Draw the failures as marks, a row for each class."""
    columns = ("x", "y", "client", "kind", "failure", "message", "backend", "port", "shape", "colour")
    marks = ColumnDataSource({name: [] for name in columns}, name="losses")
    rows = ColumnDataSource({"y": [], "text": []}, name="classes")
    drawn = time_figure(seconds, 40 + 30 * _CLASSES, "", y_range=Range1d(start=_CLASSES - 0.5, end=-0.75))
    drawn.yaxis.ticker = FixedTicker(ticks=[])
    drawn.ygrid.ticker = FixedTicker(ticks=list(range(_CLASSES)))
    renderer = drawn.scatter(
        x="x",
        y="y",
        source=marks,
        marker="shape",
        line_color="colour",
        fill_color="colour",
        **LOSS_MARK,
    )
    told = [("seconds", "@x{0.000000}"), ("client", "@client, @kind, port @port"), ("what", "@failure @message")]
    hover(drawn, [renderer], [*told, ("backend", "@backend")])
    labels = LabelSet(x=4, y="y", x_units="screen", text="text", source=rows, y_offset=2, text_font_size="12px")
    drawn.add_layout(labels)
    return drawn


def _strips(names: Sequence[str], seconds: Range1d) -> figure:
    """Draw the clients' connections: for each stretch with the same backends a block, or a lane for each of several."""
    drawn = time_figure(
        seconds, AROUND + STRIP_HEIGHT * len(names), "client", y_range=Range1d(start=len(names) - 0.4, end=-0.6)
    )
    label_ticks(drawn.yaxis, dict(enumerate(names)))
    drawn.ygrid.grid_line_color = None
    columns = ("left", "right", "top", "bottom", "client", "number", "port", "label", "colour", "hatch", "line")
    blocks = drawn.quad(
        "left",
        "right",
        "top",
        "bottom",
        source=ColumnDataSource({name: [] for name in columns}, name="segments"),
        fill_color="colour",
        fill_alpha=0.85,
        hatch_pattern="hatch",
        hatch_alpha=0.5,
        line_color="line",
        line_width=1,
    )
    drawn.scatter(
        x="x",
        y="y",
        source=ColumnDataSource({name: [] for name in ("x", "y", "shape", "colour")}, name="ends"),
        marker="shape",
        size=9,
        line_color="colour",
        fill_color="#ffffff",
        line_width=2.5,
    )
    told = [("client", "@client"), ("connection", "@number, port @port"), ("answered by", "@label")]
    hover(drawn, [blocks], [*told, ("seconds", "@left{0.00} to @right{0.00}")])
    return drawn


def _back(seconds: Range1d) -> figure:
    """Draw the connections to the backends, from the first answer to the last; the script sets how many lanes."""
    drawn = time_figure(seconds, 100, "backend", y_range=Range1d(start=8, end=-0.5, name="lanes"), name="back")
    drawn.yaxis.name = "lane_axis"
    drawn.yaxis.ticker = FixedTicker(ticks=[], name="lane_ticks")
    drawn.ygrid.grid_line_color = None
    columns = ("left", "right", "top", "bottom", "port", "instance", "colour", "hatch")
    blocks = drawn.quad(
        "left",
        "right",
        "top",
        "bottom",
        source=ColumnDataSource({name: [] for name in columns}, name="back_blocks"),
        fill_color="colour",
        line_color="colour",
        hatch_pattern="hatch",
        hatch_alpha=0.5,
    )
    draw_changed(drawn, x="x", y="y", source=ColumnDataSource({"x": [], "y": []}, name="back_changed"))
    hover(
        drawn,
        [blocks],
        [("backend", "@instance"), ("port", "@port"), ("seconds", "@left{0.000000} to @right{0.000000}")],
    )
    return drawn


def _tail() -> figure:
    """Draw latency by percentile, a curve for each phase, and the baseline's with its points."""
    drawn = plain_figure(
        340,
        "latency, ms",
        x_axis_type="log",
        y_axis_type="log",
        x_range=Range1d(start=1, end=100, name="tail_range"),
        y_range=Range1d(start=0.1, end=10, name="tail_latency"),
    )
    rule_latency(drawn, [0.1, 1000])
    label_ticks(drawn.xaxis, TICKS)
    drawn.xgrid.ticker = FixedTicker(ticks=list(TICKS))
    curves = ColumnDataSource({name: [] for name in ("xs", "ys", "colour", "dash")}, name="curves")
    drawn.multi_line("xs", "ys", source=curves, line_color="colour", line_dash="dash", line_width=2)
    # What can be pointed at; the baseline's are seen as well.
    columns = ("x", "y", "name", "percentile", "colour", "alpha")
    points = drawn.scatter(
        x="x",
        y="y",
        source=ColumnDataSource({name: [] for name in columns}, name="curve_points"),
        marker="square",
        size=6,
        color="colour",
        alpha="alpha",
    )
    hover(drawn, [points], [("", "@name"), ("percentile", "@percentile"), ("latency", "@y{0.000} ms")])
    return drawn
