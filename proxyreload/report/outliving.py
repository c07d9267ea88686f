"""What lives long: messages of a session, old processes of the proxy with those who are on them, drains."""

import math
from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np
from bokeh.models import ColumnDataSource, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from proxyreload.record.livedon import PaceTold
from proxyreload.report.batches import UNKNOWN, Integers
from proxyreload.report.connections import FrontConnections
from proxyreload.report.figures import US_PER_S, draw_windows, hover, label_ticks, time_figure
from proxyreload.report.livedwords import drain_words, generation_words, lived_on_us
from proxyreload.report.palette import NEUTRAL, Fill, Key
from proxyreload.report.story import Story

#: Of generations: none of the colours that backends have.
_COLOURS = ("#8c510a", "#01665e", "#762a83", "#666666", "#bf812d", "#35978f", "#9970ab")
#: Below a strip, of the 0.2 that are between two of them.
_BAND = (0.03, 0.17)
#: Slices of messages in one figure, and how light one is in which nothing came.
_SLICES_AT_MOST = 3_000
_LIGHTEST = 0.75
#: A slice holds so many messages on average.
_MESSAGES_AT_LEAST = 5
#: Rows of what lived on, those that did so the longest; a drain is one from here on.
_ROWS_AT_MOST = 24
_WORTH_A_ROW_US = 100_000
_ROW_HEIGHT = 22


def colour_of(generation: int) -> str:
    """Return a generation's colour."""
    return _COLOURS[generation % len(_COLOURS)]


def generation_keys(story: Story) -> list[Key]:
    """Return the legend of the bands below strips; nothing where there was one generation."""
    return [Key(f"held by generation {number}", colour_of(number)) for number in _seen(story)[: len(_COLOURS)]]


def _seen(story: Story) -> list[int]:
    """Return the generations that were seen to hold a connection, if there were several."""
    known = story.record.generations if story.record is not None else ()
    return [each.number for each in known if each.connections] if len(known) > 1 else []


def draw_holders(
    drawn: figure, front: FrontConnections, chosen: Integers, bottom: NDArray[np.float32], story: Story
) -> None:
    """Draw a band below each connection, which tells by its colour which processes of the proxy held it."""
    record = story.record
    if record is None or not _seen(story):
        return
    holder = {which: each.number for each in record.generations for which in each.connections}
    held = np.array(
        [
            holder.get(which, UNKNOWN)
            for which in zip(front.client[chosen].tolist(), front.number[chosen].tolist(), strict=True)
        ],
        np.int64,
    )
    for number in _seen(story):
        mine = held == number
        drawn.quad(
            left=front.opened_us[chosen][mine] / US_PER_S,
            right=front.ended_us[chosen][mine] / US_PER_S,
            top=bottom[mine] + np.float32(_BAND[0]),
            bottom=bottom[mine] + np.float32(_BAND[1]),
            fill_color=colour_of(number),
            line_color=None,
        )


def draw_paces(drawn: figure, story: Story, place: Mapping[int, int], half: float) -> None:
    """Make the strips of long exchanges lighter where few of their messages came."""
    record = story.record
    told = [_widened(pace) for pace in record.paces if pace.client in place] if record is not None else []
    most = max((max(pace.messages, default=0) / pace.slice_us for pace in told), default=0.0)
    columns: dict[str, list[float]] = {name: [] for name in ("left", "right", "top", "bottom", "alpha")}
    for pace in told:
        if not most or len(columns["left"]) + len(pace.messages) > _SLICES_AT_MOST:
            break
        middle = place[pace.client]
        for index, messages in enumerate(pace.messages):
            left_us = pace.since_us + index * pace.slice_us
            columns["left"].append(left_us / US_PER_S)
            columns["right"].append(min(left_us + pace.slice_us, story.duration_us) / US_PER_S)
            columns["top"].append(middle - half)
            columns["bottom"].append(middle + half)
            columns["alpha"].append(_LIGHTEST * (1 - messages / pace.slice_us / most))
    if columns["left"]:
        source = ColumnDataSource(
            {name: np.array(values, np.float32) for name, values in columns.items()}, name="paces"
        )
        drawn.quad(
            "left", "right", "top", "bottom", source=source, fill_color="#ffffff", fill_alpha="alpha", line_color=None
        )


def _widened(pace: PaceTold) -> PaceTold:
    """Return it in slices so wide that their numbers mean something."""
    messages, total = pace.messages, sum(pace.messages)
    wide = max(1, math.ceil(_MESSAGES_AT_LEAST * len(messages) / max(1, total)))
    sums = tuple(sum(messages[begin : begin + wide]) for begin in range(0, len(messages), wide))
    return attrs.evolve(pace, slice_us=pace.slice_us * wide, messages=sums)


def has_paces(story: Story, clients: Sequence[int]) -> bool:
    """Whether it is known of one of these clients when messages came."""
    known = set(clients)
    return story.record is not None and any(pace.client in known for pace in story.record.paces)


@attrs.frozen
class LivedOn:
    """One row: what lived on, in µs."""

    label: str
    words: str
    begins_us: int  #: when it was no longer what is new
    ends_us: int
    fill: Fill


def lived_on(story: Story, fills: Mapping[str, Fill]) -> list[LivedOn]:
    """Return what lived on, in the order of its beginning; those that did so the longest if there are too many."""
    told = [*_generations(story), *_drains(story, fills)]
    longest = sorted(told, key=lambda row: row.begins_us - row.ends_us)[:_ROWS_AT_MOST]
    return sorted(longest, key=lambda row: row.begins_us)


def _generations(story: Story) -> Iterator[LivedOn]:
    known = story.record.generations if story.record is not None else ()
    changes = {each.number: each.change for each in known}
    for each in known:
        if each.replaced_us is not None:
            lasted_us = lived_on_us(each, story.duration_us)
            yield LivedOn(
                f"gen. {each.number}",
                generation_words(each, story.duration_us, changes.get(each.number + 1)),
                each.replaced_us,
                each.replaced_us + lasted_us,
                Fill(colour_of(each.number)),
            )


def _drains(story: Story, fills: Mapping[str, Fill]) -> Iterator[LivedOn]:
    for change in story.changes:
        drain = change.drained
        if drain is not None and drain.under_way:
            ends_us = story.duration_us if drain.at_us is None else drain.at_us
            if ends_us - change.settled_us >= _WORTH_A_ROW_US:
                fill = fills.get(change.instance, Fill(NEUTRAL))
                yield LivedOn(f"drain {change.instance}", drain_words(change, drain), change.settled_us, ends_us, fill)


def lived_figure(rows: Sequence[LivedOn], seconds: Range1d, windows: ColumnDataSource) -> figure:
    """Draw a bar for each."""
    drawn = time_figure(seconds, 40 + _ROW_HEIGHT * len(rows), "", y_range=Range1d(start=len(rows) - 0.4, end=-0.6))
    label_ticks(drawn.yaxis, {index: row.label for index, row in enumerate(rows)})
    drawn.ygrid.grid_line_color = None
    draw_windows(drawn, windows)
    source = ColumnDataSource(
        {
            "y": list(range(len(rows))),
            "left": [row.begins_us / US_PER_S for row in rows],
            "right": [row.ends_us / US_PER_S for row in rows],
            "colour": [row.fill.colour for row in rows],
            "hatch": [row.fill.hatch for row in rows],
            "words": [row.words for row in rows],
        },
        name="lived",
    )
    bars = drawn.hbar(
        y="y",
        left="left",
        right="right",
        height=0.7,
        source=source,
        fill_color="colour",
        line_color="colour",
        hatch_pattern="hatch",
        hatch_alpha=0.5,
    )
    hover(drawn, [bars], [("", "@words"), ("seconds", "@left{0.000} to @right{0.000}")])
    return drawn
