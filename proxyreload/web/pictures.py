"""The pictures of the report, empty, for the page's script to fill while a run goes on."""

from collections.abc import Sequence
from math import pi
from typing import Any

from attrs import asdict
from bokeh.document import Document
from bokeh.embed.util import standalone_docs_json_and_render_items
from bokeh.models import ColumnDataSource, FixedTicker, NumeralTickFormatter, Range1d
from bokeh.models.annotations import LabelSet
from bokeh.plotting import figure

from proxyreload.report.figures import hover, label_ticks, plain_figure, rule_latency, time_figure
from proxyreload.report.palette import DASHES, LOST, NEUTRAL, Fill, Key, fills, mark
from proxyreload.report.tail import COLOURS, TICKS
from proxyreload.web.slices import ANOTHER
from proxyreload.web.strips import CLIENTS_AT_MOST

#: Backends with a colour of their own; the answers of the others are one.
_BACKENDS_AT_MOST = 12
#: Classes of failures with a row of their own; the others share the last.
_CLASSES = 6
_PERCENTILES = (("p50", "#0072b2", DASHES[0]), ("p99", "#e69f00", DASHES[1]), ("max", LOST, DASHES[2]))
_STRIP_HEIGHT, _LANE_HEIGHT, _AROUND = 22, 7, 40
#: Connections to backends are drawn in so many lanes; the rest are counted.
_LANES_AT_MOST = 60
#: How the end of a connection is marked, as in a report.
_ENDS = {
    "announced": ("circle", "announced (Connection: close)", "#009e73"),
    "idle": ("square", "closed while idle", "#0072b2"),
    "cut": ("x", "cut, with a request under way", LOST),
    "unasked": ("diamond", "closed for bytes that nobody asked for", LOST),
}


def pictures(backends: int, clients: int) -> dict[str, Any]:
    """Return what the page's script needs to draw: Bokeh's documents, legends, colours."""
    seconds = Range1d(start=0, end=60, name="seconds")
    names = [str(number) for number in range(min(backends, _BACKENDS_AT_MOST))]
    colours = {**fills(names), ANOTHER: Fill(NEUTRAL)}
    changes = ColumnDataSource({"x": [], "over": [], "text": [], "y": []}, name="changes")
    strips = min(clients, CLIENTS_AT_MOST)
    drawn = {
        "rate": _rate([*names, ANOTHER], colours, seconds),
        "latency": _latency(seconds),
        "losses": _losses(seconds),
        "front": _strips(strips, seconds),
        "back": _back(seconds),
    }
    for each in drawn.values():
        _draw_changes(each, changes)
    drawn["tail"] = _tail()
    _name_changes(drawn["rate"], changes)
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
        "strips": strips,
        "lanes": {"most": _LANES_AT_MOST, "height": _LANE_HEIGHT, "around": _AROUND},
        "curves": {"colours": COLOURS, "dashes": DASHES},
        "keys": {
            "rate": _keys(backend_keys),
            "latency": _keys([Key(name, colour, dash=dash) for name, colour, dash in _PERCENTILES]),
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
    for index, name in enumerate(names):
        drawn.varea_step(
            x="x",
            y1=f"to{index}",
            y2=f"to{index + 1}",
            source=slices,
            step_mode="after",
            fill_color=colours[name].colour,
            fill_alpha=0.85,
            hatch_pattern=colours[name].hatch,
            hatch_alpha=0.5,
        )
    told = [(_backend(name), f"@rate{index}{{0}}/s") for index, name in enumerate(names)]
    hover(drawn, [_pointed(drawn, slices)], [("seconds", "@x{0.00}"), ("all", "@total{0}/s"), *told])
    return drawn


def _latency(seconds: Range1d) -> figure:
    """Draw p50, p99 and the maximum."""
    slices = ColumnDataSource({name: [] for name in ("x", "right", "p50", "p99", "max")}, name="latencies")
    drawn = time_figure(
        seconds, 220, "latency, ms", y_axis_type="log", y_range=Range1d(start=0.1, end=10, name="latency")
    )
    rule_latency(drawn, [0.1, 1000])
    for name, colour, dash in _PERCENTILES:
        drawn.step(x="x", y=name, source=slices, mode="after", line_color=colour, line_dash=dash, line_width=2)
    told = [(name, f"@{name}{{0.000}} ms") for name, _colour, _dash in _PERCENTILES]
    hover(drawn, [_pointed(drawn, slices)], [("seconds", "@x{0.00}"), *told])
    return drawn


def _losses(seconds: Range1d) -> figure:
    """Draw the failures as marks, a row for each class."""
    columns = ("x", "y", "client", "failure", "message", "backend", "port", "shape", "colour")
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
        size=9,
        line_color="colour",
        fill_color="colour",
        fill_alpha=0.25,
        line_width=1.8,
    )
    told = [("seconds", "@x{0.000000}"), ("client", "@client, port @port"), ("what", "@failure @message")]
    hover(drawn, [renderer], [*told, ("backend", "@backend")])
    labels = LabelSet(x=4, y="y", x_units="screen", text="text", source=rows, y_offset=2, text_font_size="12px")
    drawn.add_layout(labels)
    return drawn


def _strips(clients: int, seconds: Range1d) -> figure:
    """Draw the clients' connections: for each stretch with the same backends a block, or a lane for each of several."""
    drawn = time_figure(
        seconds, _AROUND + _STRIP_HEIGHT * clients, "client", y_range=Range1d(start=clients - 0.4, end=-0.6)
    )
    label_ticks(drawn.yaxis, {number: str(number) for number in range(clients)})
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
    drawn.scatter(
        x="x",
        y="y",
        source=ColumnDataSource({"x": [], "y": []}, name="back_changed"),
        marker="triangle",
        angle=-pi / 2,
        size=7,
        fill_color="#ffffff",
        line_color="#000000",
    )
    hover(
        drawn,
        [blocks],
        [("backend", "@instance"), ("port", "@port"), ("seconds", "@left{0.000000} to @right{0.000000}")],
    )
    return drawn


def _tail() -> figure:
    """Draw latency by percentile, a curve for each phase, and the floor's with its points."""
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
    # What can be pointed at; the floor's are seen as well.
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


def _pointed(drawn: figure, slices: ColumnDataSource) -> Any:  # noqa: ANN401  (Bokeh's own)
    """Cover each slice with something invisible to point at."""
    return drawn.vstrip(x0="x", x1="right", source=slices, fill_alpha=0, line_alpha=0)


def _draw_changes(drawn: figure, changes: ColumnDataSource) -> None:
    """Draw each change as a window from its request until it was seen, and a line at its request."""
    drawn.vstrip(
        x0="x", x1="over", source=changes, fill_color=NEUTRAL, fill_alpha=0.3, line_color=None, level="underlay"
    )
    drawn.vspan(x="x", source=changes, line_color=NEUTRAL, line_width=1.5, line_dash="dashed", level="underlay")


def _name_changes(drawn: figure, changes: ColumnDataSource) -> None:
    drawn.add_layout(
        LabelSet(x="x", y="y", text="text", source=changes, x_offset=5, text_font_size="12px", text_baseline="top")
    )
