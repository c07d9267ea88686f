"""Verdicts over versions: a line a version, a column a mechanism."""

from collections.abc import Mapping, Sequence

import attrs
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxyreload.comparison.cell import label
from proxyreload.comparison.row import Row
from proxyreload.comparison.table import VERDICT
from proxyreload.sources.version import Version
from proxyreload.system.untrusted import line_of
from proxyreload.verdict.repetition import short


@attrs.frozen
class Scoreboard:
    """The rows of those mechanisms that were run in several versions, by mechanism and version."""

    mechanisms: Sequence[str]
    versions: Sequence[str]  #: the oldest first
    rows: Mapping[tuple[str, str], Row]

    def cell(self, mechanism: str, version: str) -> str:
        """Return the verdict, with the failures per change where there were any; empty if that was not run."""
        row = self.rows.get((mechanism, version))
        if row is None:
            return ""
        repetition = row.repetition
        lost = f" {short(repetition.per_change)}" if repetition is not None and repetition.per_change else ""
        return f"{VERDICT.text(row)}{lost}"

    def lines(self) -> list[list[str]]:
        """Return the head, and a line for each version."""
        head = ["version", *self.mechanisms]
        return [head, *([each, *(self.cell(name, each) for name in self.mechanisms)] for each in self.versions)]

    def as_plain(self) -> list[dict[str, object]]:
        """Return it as it stands in ``compare.json``."""
        return [
            {"version": version, "verdicts": {name: self._plain(name, version) for name in self.mechanisms}}
            for version in self.versions
        ]

    def _plain(self, mechanism: str, version: str) -> dict[str, object] | None:
        row = self.rows.get((mechanism, version))
        if row is None:
            return None
        repetition = row.repetition
        return {"verdict": VERDICT.text(row), "per_change": None if repetition is None else repetition.as_run()}


def scoreboard(rows: Sequence[Row]) -> Scoreboard | None:
    """Return the scoreboard of a comparison, if a mechanism of it was run in several versions."""
    by_place = {(label(row.mechanism, row.condition), row.version): row for row in rows if row.version}
    times = [mechanism for mechanism, _version in by_place]
    mechanisms = [name for name in dict.fromkeys(times) if times.count(name) > 1]
    kept = {place: row for place, row in by_place.items() if place[0] in mechanisms}
    versions = sorted({version for _mechanism, version in kept}, key=Version.of)
    return Scoreboard(mechanisms, versions, kept) if kept else None


def print_scoreboard(console: Console, board: Scoreboard) -> None:
    """Print it; numbers are failures per change."""
    head, *lines = board.lines()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in head:
        table.add_column(Text(line_of(title)), overflow="fold")
    for line in lines:
        table.add_row(*(Text(line_of(text)) for text in line))
    console.print(Text("\nover versions, with failures per change"))
    console.print(table)
