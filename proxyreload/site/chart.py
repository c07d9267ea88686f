"""A mechanism's losses over its versions and dates, drawn as SVG of ours: a line for each condition."""

from collections.abc import Sequence

import attrs

from proxyreload.report.palette import DASHES
from proxyreload.site.edition import RowTold

WIDTH, HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 14, 46
#: States that are drawn; of more, the newest.
_STATES_AT_MOST = 24
_LABELS_AT_MOST = 8
#: Shapes around a point, told apart without colours.
_SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
    "M-4 -4H4V4H-4Z",
    "M0 -5 5 4H-5Z",
    "M0 -5 5 0 0 5 -5 0Z",
    "M-4 -4 4 4M4 -4 -4 4",
)
_DASHES = {"solid": "none", "dashed": "7 4", "dotted": "2 4", "dashdot": "2 4 7 4"}


@attrs.frozen
class Point:
    """One state under one condition, where it is drawn."""

    x: float
    y: float
    row: RowTold
    share: float  #: of the requests that are not aimed, in per cent


@attrs.frozen
class Line:
    """One condition."""

    condition: str
    points: tuple[Point, ...]
    shape: str
    dash: str
    tone: int  #: which of the page's colours

    @property
    def path(self) -> str:
        """Its path in SVG."""
        return "M" + "L".join(f"{point.x:.1f} {point.y:.1f}" for point in self.points)


@attrs.frozen
class Chart:
    """All conditions over all states."""

    lines: tuple[Line, ...]
    labels: tuple[tuple[float, str, str], ...]  #: where, which version, which day
    ticks: tuple[tuple[float, str], ...]  #: where, how many per cent


def chart_of(states: Sequence[Sequence[RowTold]], days: Sequence[str]) -> Chart | None:
    """Draw the states of a mechanism, the newest first, each with its day; None if there are not two to be compared."""
    shown = [(rows, day) for rows, day in zip(states, days, strict=True) if any(row.judged for row in rows)]
    shown = shown[:_STATES_AT_MOST][::-1]
    if len(shown) < 2:  # noqa: PLR2004
        return None
    most = max(_share(row) for rows, _day in shown for row in rows if row.judged) or 1.0
    step = (WIDTH - _LEFT - _RIGHT) / (len(shown) - 1)
    places = [_LEFT + step * index for index in range(len(shown))]
    lines: dict[str, list[Point]] = {}
    for x, (rows, _day) in zip(places, shown, strict=True):
        for row in rows:
            if row.judged:
                share = _share(row)
                lines.setdefault(row.condition, []).append(Point(x, _height(share, most), row, share))
    every = -(-len(shown) // _LABELS_AT_MOST)
    labels = [(x, rows[0].version, day) for x, (rows, day) in zip(places, shown, strict=True)]
    return Chart(
        tuple(
            Line(
                condition,
                tuple(points),
                _SHAPES[number % len(_SHAPES)],
                _DASHES[DASHES[number % len(DASHES)]],
                number % len(_SHAPES),
            )
            for number, (condition, points) in enumerate(lines.items())
        ),
        tuple(labels[::-1][::every][::-1]),  # the newest has one
        tuple((_height(most * part, most), f"{most * part:.3g} %") for part in (0, 0.5, 1)),
    )


def _share(row: RowTold) -> float:
    lost, exchanges = row.lost_steadily
    return 100 * lost / exchanges if exchanges else 0.0


def _height(share: float, most: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * share / most
