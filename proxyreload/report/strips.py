"""Connections over time: a strip for each client, and the backends' own below."""

from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush

import attrs
import numpy as np
from bokeh.models import ColumnDataSource, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from proxyreload.history.events import CLOSE_FRAME, GOAWAY, RESET
from proxyreload.report.batches import Integers
from proxyreload.report.bins import ANOTHER
from proxyreload.report.connections import (
    ANNOUNCED,
    CLOSED,
    CUT,
    ENDINGS,
    IDLE,
    OPEN,
    BackConnections,
    FrontConnections,
    Segments,
    segments,
)
from proxyreload.report.figures import US_PER_S, draw_changed, draw_windows, hover, label_ticks, time_figure
from proxyreload.report.groups import Group, Volley
from proxyreload.report.losses import thinned
from proxyreload.report.outliving import draw_holders, draw_paces
from proxyreload.report.palette import LOST, NEUTRAL, Fill, Key
from proxyreload.report.rowfile import Flags
from proxyreload.report.story import Story

#: Clients that are shown of all, or of each of several groups.
CLIENTS_AT_MOST, OF_A_GROUP = 60, 20
_BACK_LANES_AT_MOST = 150
#: A stretch is wide from such a part of the run.
_WIDE = 1 / 200
#: Coloured stretches for each connection, on average at most.
_SEGMENTS = 4
#: Half of a strip's height, of the 1 between two clients.
_HALF = 0.4
STRIP_HEIGHT, LANE_HEIGHT, AROUND = 22, 7, 40

#: The line of a volley.
VOLLEY = "#cc79a7"
#: How each end is marked; a connection that is open at the end of the run has no mark.
END_MARKS = {
    ANNOUNCED: ("circle", "announced (Connection: close)", "#009e73"),
    IDLE: ("square", "closed while idle", "#0072b2"),
    CUT: ("x", "cut, with a request under way", LOST),
    CLOSED: ("diamond", "closed", "#0072b2"),
    GOAWAY: ("triangle", "GOAWAY", "#56b4e9"),
    CLOSE_FRAME: ("inverted_triangle", "close frame", "#e69f00"),
    RESET: ("asterisk", "reset", "#aa3377"),
}
#: With a request under way.
_BROKEN = (CUT, RESET)
_ENDED = {ending: words for ending, (_shape, words, _colour) in END_MARKS.items()} | {OPEN: "open at the end"}


@attrs.frozen
class Drawn:
    """How many connections a figure shows, of how many."""

    shown: int
    total: int
    clients: int = 0  #: whose they are


def end_keys(story: Story, front: FrontConnections) -> tuple[Key, ...]:
    """Return the legend of the ends; rows of the ancestor do not tell an announced end from an idle one.

    How connections end in some protocols alone is told where one did.
    """
    endings: tuple[str, ...] = (ANNOUNCED, IDLE, CUT) if story.rows.detailed else (CLOSED, CUT)
    told = {GOAWAY} if story.record is not None and story.record.goaways else set()
    told |= {how for how in (GOAWAY, CLOSE_FRAME, RESET) if (front.ending == ENDINGS.index(how)).any()}
    endings += tuple(how for how in (GOAWAY, CLOSE_FRAME, RESET) if how in told)
    return tuple(Key(END_MARKS[name][1], END_MARKS[name][2], shape=END_MARKS[name][0]) for name in endings)


@attrs.frozen(eq=False)
class Strips:
    """Whose connections one figure shows, and within what."""

    story: Story
    front: FrontConnections
    groups: Sequence[Group]  #: of clients
    clients: int  #: of each group at most
    connections: int  #: at most

    @property
    def mine(self) -> Flags:
        """Which connections are these groups'."""
        mine = np.zeros(len(self.front), np.bool_)
        for group in self.groups:
            mine |= group.has(self.front.client)
        return mine

    @property
    def fresh(self) -> Flags:
        """Which connections their clients close themselves, after one request."""
        fresh = np.zeros(len(self.front), np.bool_)
        for group in self.groups:
            if group.fresh:
                fresh |= group.has(self.front.client)
        return fresh

    def shown(self) -> list[int]:
        """Return the clients that are shown, those first whose connections were cut; the probe is the last."""
        told: list[int] = []
        for group in self.groups:
            mine = self.front.client[group.has(self.front.client)]
            cut = self.front.client[group.has(self.front.client) & self.front.broke_off]
            clients = np.unique(mine)
            cuts = np.array([np.count_nonzero(cut == client) for client in clients])
            told += sorted(clients[np.argsort(-cuts, kind="stable")][: self.clients].tolist())
        return told


def front_figure(
    strips: Strips, fills: dict[str, Fill], seconds: Range1d, windows: ColumnDataSource, volleys: Sequence[Volley] = ()
) -> tuple[figure, Drawn]:
    """Draw the clients' connections, a block for each in its client's strip, and a line for each volley."""
    story, front = strips.story, strips.front
    clients = strips.shown()
    chosen = _chosen(story, front, clients, strips.connections)
    place = {client: index for index, client in enumerate(clients)}
    drawn = time_figure(
        seconds, AROUND + STRIP_HEIGHT * len(clients), "client", y_range=Range1d(start=len(clients) - 0.4, end=-0.6)
    )
    label_ticks(
        drawn.yaxis,
        {index: "probe" if client == story.probe else str(client) for client, index in place.items()},
    )
    drawn.ygrid.grid_line_color = None
    draw_windows(drawn, windows)
    middle = np.array([place[int(client)] for client in front.client[chosen]], np.float32)
    blocks = ColumnDataSource(
        {
            "left": front.opened_us[chosen] / US_PER_S,
            "right": front.ended_us[chosen] / US_PER_S,
            "top": middle - _HALF,
            "bottom": middle + _HALF,
            "client": front.client[chosen].astype(np.int32),
            "number": front.number[chosen].astype(np.int32),
            "port": front.port[chosen].astype(np.int32),
            "requests": front.requests[chosen].astype(np.int32),
            "ended": [_ENDED[ENDINGS[ending]] for ending in front.ending[chosen]],
        },
        name="connections",
    )
    told_segments = segments(story, front, chosen, strips.connections * _SEGMENTS)
    _draw_segments(drawn, story, told_segments, chosen, middle, fills)
    draw_paces(drawn, story, place, _HALF)
    draw_holders(drawn, front, chosen, middle + _HALF, story)
    outline = drawn.quad(
        "left", "right", "top", "bottom", source=blocks, fill_alpha=0, line_color=NEUTRAL, line_width=0.8
    )
    _draw_goaways(drawn, story, place)
    kept = ~strips.fresh[chosen]
    for name, (shape, _words, colour) in END_MARKS.items():
        mine = (front.ending[chosen] == ENDINGS.index(name)) & (kept | (name in _BROKEN))
        drawn.scatter(
            x=front.ended_us[chosen][mine] / US_PER_S,
            y=middle[mine],
            marker=shape,
            size=11 if name in _BROKEN else 8,
            line_color=colour,
            fill_color="#ffffff",
            line_width=2.5,
        )
    told = [("client", "@client"), ("connection", "@number, port @port"), ("requests", "@requests")]
    hover(drawn, [outline], [*told, ("seconds", "@left{0.000000} to @right{0.000000}"), ("end", "@ended")])
    _draw_volleys(drawn, volleys)
    return drawn, Drawn(len(chosen), int(strips.mine.sum()), len(clients))


def _draw_goaways(drawn: figure, story: Story, place: Mapping[int, int]) -> None:
    """Mark when clients were told that nothing more is taken; the connection may live on, and be told so once more."""
    told = [each for each in story.record.goaways if each[0] in place] if story.record is not None else []
    if told:
        shape, _words, colour = END_MARKS[GOAWAY]
        source = ColumnDataSource(
            {"x": [at_us / US_PER_S for _client, at_us in told], "y": [place[client] for client, _at_us in told]},
            name="goaways",
        )
        drawn.scatter("x", "y", source=source, marker=shape, size=8, line_color=colour, fill_color=colour)


def _draw_volleys(drawn: figure, volleys: Sequence[Volley]) -> None:
    """Draw a line where the clients sent together."""
    if volleys:
        at_s = np.array([volley.at_us for volley in volleys]) / US_PER_S
        drawn.vspan(x=at_s, line_color=VOLLEY, line_width=2, line_alpha=0.8)


def _chosen(story: Story, front: FrontConnections, clients: list[int], most: int) -> Integers:
    """Return the connections that are drawn: if there are too many, cut ones first, then the nearest to a change."""
    mine = np.flatnonzero(np.isin(front.client, clients))
    if len(mine) <= most:
        return mine
    times = np.array([change.requested_us for change in story.changes] or [0], np.int64)
    ended_us = front.ended_us[mine]
    after = np.clip(np.searchsorted(times, ended_us), 1, len(times)) - 1
    nearest_us = np.minimum(
        np.abs(ended_us - times[after]), np.abs(ended_us - times[np.minimum(after + 1, len(times) - 1)])
    )
    order = np.lexsort((nearest_us, ~front.broke_off[mine]))
    return np.sort(mine[order[:most]])


def _draw_segments(
    drawn: figure,
    story: Story,
    told: Segments,
    chosen: Integers,
    middle: NDArray[np.float32],
    fills: dict[str, Fill],
) -> None:
    """Colour the blocks; over a connection on which several backends answered, each has a lane."""
    places = {name: index for index, name in enumerate(fills)}
    lane_height = 2 * _HALF / max(1, len(places))
    at = np.searchsorted(chosen, told.connection)
    left, right, seconds = told.begin_us / US_PER_S, told.end_us / US_PER_S, story.duration_us / US_PER_S
    for name, mine in _by_backend(story, told.instance, fills):
        fill = fills.get(name, Fill(NEUTRAL))
        top = middle[at[mine]] - _HALF + np.where(told.alone[mine], 0, places.get(name, 0) * lane_height)
        # Exchanges that take long are told apart by their edges, those that do not are all edge.
        edges = np.where(right[mine] - left[mine] > seconds * _WIDE, "#ffffff", fill.colour)
        drawn.quad(
            left=left[mine],
            right=right[mine],
            top=top.astype(np.float32),
            bottom=(top + np.where(told.alone[mine], 2 * _HALF, lane_height)).astype(np.float32),
            fill_color=fill.colour,
            line_color=edges.tolist(),
            line_width=0.8,
            hatch_pattern=fill.hatch,
            hatch_alpha=0.5,
        )


def _by_backend(story: Story, instance: Integers, fills: dict[str, Fill]) -> Iterator[tuple[str, Flags]]:
    """Yield which of these are of each backend that has a colour, and which of all others together."""
    place = _places(story, fills)[instance]
    for index, name in enumerate([*fills, ANOTHER]):
        mine = place == index
        if mine.any():
            yield name, mine


def _places(story: Story, fills: dict[str, Fill]) -> Integers:
    """Return for each name in the rows which of the backends with a colour it is, for all others the next."""
    order = {name: index for index, name in enumerate(fills)}
    return np.array([order.get(name, len(order)) for name in story.rows.instances], np.int64)


def back_figure(
    story: Story,
    back: BackConnections,
    fills: dict[str, Fill],
    seconds: Range1d,
    windows: ColumnDataSource,
    most: int,
) -> tuple[figure, Drawn]:
    """Draw the proxy's connections to the backends, but those that carried only the probe's requests."""
    carrying = np.flatnonzero(~back.probe_only)
    chosen, lane, groups = _packed(story, back, thinned(carrying, most), fills)
    lanes = max(1, sum(groups.values()))
    drawn = time_figure(
        seconds, AROUND + max(60, LANE_HEIGHT * lanes), "backend", y_range=Range1d(start=lanes, end=-0.5)
    )
    begins = 0
    middle: dict[float, str] = {}
    for name, size in groups.items():
        middle[begins + size / 2 - 0.5] = name
        begins += size
    label_ticks(drawn.yaxis, middle)
    drawn.ygrid.grid_line_color = None
    draw_windows(drawn, windows)
    blocks = []
    for name, mine in _by_backend(story, back.instance[chosen], fills):
        these, fill = chosen[mine], fills.get(name, Fill(NEUTRAL))
        source = ColumnDataSource(
            {
                "left": back.first_us[these] / US_PER_S,
                "right": back.last_us[these] / US_PER_S,
                "top": (lane[mine] - 0.35).astype(np.float32),
                "bottom": (lane[mine] + 0.35).astype(np.float32),
                "port": back.port[these].astype(np.int32),
                "answers": back.answers[these].astype(np.int32),
                "instance": [story.rows.instances[index] for index in back.instance[these]],
            }
        )
        block = drawn.quad(
            "left",
            "right",
            "top",
            "bottom",
            source=source,
            fill_color=fill.colour,
            line_color=fill.colour,
            hatch_pattern=fill.hatch,
            hatch_alpha=0.5,
        )
        blocks.append(block)
    changed = back.changed[chosen]
    draw_changed(drawn, x=back.first_us[chosen][changed] / US_PER_S, y=lane[changed].astype(np.float32))
    told = [("backend", "@instance"), ("port", "@port"), ("answers", "@answers")]
    hover(drawn, blocks, [*told, ("seconds", "@left{0.000000} to @right{0.000000}")])
    return drawn, Drawn(len(chosen), len(carrying))


def _packed(
    story: Story, back: BackConnections, chosen: Integers, fills: dict[str, Fill]
) -> tuple[Integers, Integers, dict[str, int]]:
    """Give each connection a lane, below those of the same backend that were open with it; all others are as one."""
    shown: list[int] = []
    lanes: list[int] = []
    groups: dict[str, int] = {}
    begins = 0
    for name, mine in _by_backend(story, back.instance[chosen], fills):
        these = chosen[mine]
        busy: list[tuple[int, int]] = []
        used = 0
        for index in these[np.argsort(back.first_us[these], kind="stable")].tolist():
            if busy and busy[0][0] < back.first_us[index]:
                _until, lane = heappop(busy)
            elif begins + used < _BACK_LANES_AT_MOST:
                lane, used = used, used + 1
            else:
                continue
            heappush(busy, (int(back.last_us[index]), lane))
            shown.append(index)
            lanes.append(begins + lane)
        if used:
            groups[name] = used + 1  # and one free, before the next backend's
            begins += used + 1
    return np.array(shown, np.int64), np.array(lanes, np.int64), groups
