"""Mechanisms by kinds of traffic: a mark for each condition."""

from collections.abc import Iterator, Sequence

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxyreload.comparison.condition import Condition
from proxyreload.comparison.row import Row
from proxyreload.system.untrusted import line_of
from proxyreload.verdict.judgement import Verdict

#: Marks that differ in shape, for whoever sees no colours, or prints.
MARKS = {
    Verdict.SEAMLESS.value: "●",
    Verdict.GRACEFUL.value: "○",
    Verdict.RACY.value: "△",
    Verdict.LOSSY.value: "✗",
    Verdict.INEFFECTIVE.value: "◇",
    Verdict.INVALID.value: "◆",
    "cannot": "\N{EN DASH}",
}
#: Of what was not run.
_NOTHING = "·"


@attrs.frozen
class KindTable:
    """The rows of a comparison, by mechanism and condition."""

    rows: Sequence[Row]

    @property
    def names(self) -> list[str]:
        """The mechanisms, in the order they were named."""
        return list(dict.fromkeys(row.name for row in self.rows))

    @property
    def conditions(self) -> list[Condition]:
        """What they were run under, likewise."""
        return list(dict.fromkeys(row.condition for row in self.rows))

    @property
    def kinds(self) -> list[str]:
        """Every kind of traffic that any of them was sent, or could not be."""
        return sorted({kind for row in self.rows for kind in (*row.kinds, *row.cannot_carry)})

    def cell(self, name: str, kind: str) -> str:
        """Return ``✗3 ●``: for each condition its mark, with how many were lost."""
        by_condition = {row.condition: row for row in self.rows if row.name == name}
        return " ".join(told(by_condition[each], kind) for each in self.conditions if each in by_condition)

    def lines(self) -> Iterator[list[str]]:
        """Yield the head, and a line for each mechanism."""
        yield ["mechanism", *self.kinds]
        yield from ([name, *(self.cell(name, kind) for kind in self.kinds)] for name in self.names)

    def legend(self) -> list[str]:
        """Return what the marks mean, and which condition each of a cell's stands for."""
        marks = ", ".join(f"{mark} {verdict}" for verdict, mark in MARKS.items())
        conditions = [each.name for each in self.conditions]
        order = [f"in each cell: {'; '.join(conditions)}"] if len(conditions) > 1 else []
        return [f"{marks}; a number: requests lost", *order]


def told(row: Row, kind: str) -> str:
    """Return what became of a kind of traffic: its verdict's mark, with how many were lost."""
    verdict, lost = verdict_of(row, kind), row.kinds.get(kind, (0, 0))[1]
    return f"{MARKS.get(verdict, _NOTHING)}{lost or ''}"


def verdict_of(row: Row, kind: str) -> str:
    """Return the verdict on a kind of traffic, or ``cannot``; empty if none was sent."""
    verdict = row.verdicts.get(kind)
    if verdict is not None:
        return verdict.value
    return "cannot" if kind in row.cannot_carry or row.cannot else ""


def print_by_kind(console: Console, rows: Sequence[Row]) -> None:
    """Print it, if there is more than one kind of traffic."""
    table = KindTable(rows)
    if len(table.kinds) < 2:  # noqa: PLR2004
        return
    head, *lines = table.lines()
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in head:
        shown.add_column(Text(line_of(title)), overflow="fold", vertical="bottom")
    for line in lines:
        shown.add_row(*(Text(line_of(text)) for text in line))
    console.print(shown)
    for words in table.legend():
        console.print(Text(line_of(words)), soft_wrap=True)
    console.print()
