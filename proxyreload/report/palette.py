"""Colours that the colour-blind can tell apart, and shapes and patterns beside them."""

from collections.abc import Sequence

import attrs

#: Okabe and Ito, https://jfly.uni-koeln.de/color/; vermilion is kept for what is lost.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#56b4e9", "#cc79a7", "#f0e442")
LOST = "#d55e00"
NEUTRAL = "#888888"
#: The second round of colours has stripes.
_HATCHES = (" ", "/")

#: Bokeh's markers; none needs to be filled to be told from another.
_MARKS = ("x", "triangle", "square", "diamond", "inverted_triangle", "circle", "cross", "star", "hex", "asterisk")
_MARK_COLOURS = (LOST, "#0072b2", "#cc79a7", "#009e73", "#e69f00", "#56b4e9")

DASHES = ("solid", "dashed", "dotted", "dashdot")


@attrs.frozen
class Fill:
    """How a backend's answers are drawn."""

    colour: str
    hatch: str = " "


@attrs.frozen
class Mark:
    """How a class of failures is drawn."""

    colour: str
    shape: str


@attrs.frozen
class Key:
    """An entry of a legend."""

    label: str
    colour: str
    hatch: str = " "
    shape: str = ""  #: of a mark
    dash: str = ""  #: of a line


def fills(names: Sequence[str]) -> dict[str, Fill]:
    """Give each backend its own, in order; one that has none left is grey."""
    rounds = [Fill(colour, hatch) for hatch in _HATCHES for colour in _COLOURS]
    return {name: rounds[index] if index < len(rounds) else Fill(NEUTRAL) for index, name in enumerate(names)}


def mark(index: int) -> Mark:
    """Return the mark of the class with this index."""
    return Mark(_MARK_COLOURS[index % len(_MARK_COLOURS)], _MARKS[index % len(_MARKS)])
