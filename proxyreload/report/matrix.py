"""The page of a comparison: a table of its mechanisms, each verdict leading to its run's own page."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import attrs

from proxyreload.comparison.bykind import MARKS
from proxyreload.comparison.table import FORMAT
from proxyreload.record.jsonfile import WORDS_AT_MOST, Table, read_table
from proxyreload.report.template import filled
from proxyreload.system.untrusted import printable


@attrs.frozen
class Cell:
    """One run, and where its page is if it has one."""

    round: int
    verdict: str
    page: str  #: a relative URL


@attrs.frozen
class KindCell:
    """What became of one kind of traffic."""

    verdict: str  #: ``cannot`` where none was sent; empty where nothing is known
    exchanges: int
    failures: int
    why: str  #: none was sent

    @property
    def mark(self) -> str:
        """A mark that differs in shape from those of other verdicts."""
        return MARKS.get(self.verdict, "")


@attrs.frozen
class Line:
    """One mechanism, under one condition."""

    mechanism: str
    condition: str  #: empty: whatever the options said
    verdict: str
    why: str
    advice: str  #: what is known to help
    link: str
    exchanges: int
    changes: int
    failures: Mapping[str, int]
    aimed: int | None  #: of them at the closing of connections; None where nothing was aimed
    lost_by: str  #: which kinds of traffic lost how many of how many
    per_change: float | None
    low: float
    high: float
    per_million: float
    announced: int
    closed: int
    replaced: int
    stragglers: int
    times: Mapping[str, float | None]
    cells: tuple[Cell, ...]
    kinds: Mapping[str, KindCell]

    @property
    def label(self) -> str:
        """Its name, and the condition that it was run under."""
        return f"{self.mechanism} ({self.condition})" if self.condition else self.mechanism


@attrs.frozen
class Standing:
    """What a mechanism came to in one version."""

    verdict: str  #: empty if it was not run
    per_change: float


@attrs.frozen
class Board:
    """Mechanisms over versions."""

    mechanisms: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Standing, ...]], ...]  #: each version, with the mechanisms in their order

    @property
    def most(self) -> float:
        """The most failures per change of any."""
        return max((each.per_change for _version, standings in self.lines for each in standings), default=0.0)


@attrs.frozen
class Matrix:
    """A comparison."""

    what: str
    lines: tuple[Line, ...]
    board: Board = Board((), ())

    @property
    def rounds(self) -> int:
        """How many runs each mechanism had at most."""
        return max((len(line.cells) for line in self.lines), default=0)

    @property
    def kinds(self) -> list[str]:
        """Every kind of traffic."""
        return sorted({kind for line in self.lines for kind in line.kinds})

    @property
    def mechanisms(self) -> int:
        """How many there are."""
        return len({line.mechanism for line in self.lines})


#: Keys of a row that may be null, with the headings they are shown under.
TIMES = {
    "applied_ms": "applied after, ms",
    "effective_ms": "seen after, ms",
    "drained_ms": "drained after, ms",
    "p99_steady_us": "p99 steady, µs",
    "p99_around_us": "p99 around, µs",
    "p99_floor_us": "p99 baseline, µs",
}


def read_matrix(path: Path) -> Matrix:
    """Read what ``compare`` wrote; raises `UsageError` with file and key where it is not that."""
    table = read_table(path)
    if table.content.get("format") != FORMAT:
        raise table.wrong(key="format", message=f"is not {FORMAT}")
    lines = tuple(_line(row, path.parent) for row in table.tables("rows"))
    what = "; ".join(filter(None, [table.text("what"), *table.texts("versions", WORDS_AT_MOST)]))
    return Matrix(what, lines, _board(table.tables("scoreboard")))


def matrix_page(matrix: Matrix) -> str:
    """Return the page."""
    return filled("matrix.html", matrix=matrix, times=TIMES)


def _line(row: Table, folder: Path) -> Line:
    per_change = row.table("per_change")
    closed = row.counts("front_closed")
    cure = row.table("cure")
    link = cure.text("link")
    return Line(
        mechanism=row.text("mechanism"),
        condition=row.text("condition"),
        verdict=row.text("verdict"),
        why=row.text("why"),
        advice=cure.text("advice"),
        link=link if link.startswith(("https://", "http://")) else "",
        exchanges=row.number("exchanges"),
        changes=row.number("changes"),
        failures=row.counts("failures"),
        aimed=row.table("proof").number("failures") if row.content.get("proof") is not None else None,
        lost_by=_lost_by(row.table("kinds")),
        per_change=per_change.decimal("failures") if per_change.content else None,
        low=per_change.decimal("low"),
        high=per_change.decimal("high"),
        per_million=per_change.decimal("failures_per_million"),
        announced=closed.get("announced", 0),
        closed=sum(closed.values()),
        replaced=row.number("back_closed"),
        stragglers=row.number("stragglers"),
        times={key: row.decimal(key) if row.content.get(key) is not None else None for key in TIMES},
        cells=tuple(_cell(trial, folder) for trial in row.tables("trials")),
        kinds={printable(kind): _kind(row.table("kinds").table(kind)) for kind in row.table("kinds").content},
    )


def _kind(told: Table) -> KindCell:
    return KindCell(told.text("verdict"), told.number("exchanges"), told.number("failures"), told.text("why"))


def _board(versions: Sequence[Table]) -> Board:
    names = tuple(dict.fromkeys(name for each in versions for name in each.table("verdicts").content))
    lines = []
    for each in versions:
        verdicts = each.table("verdicts")
        lines.append((each.text("version"), tuple(_standing(verdicts.table(name)) for name in names)))
    return Board(tuple(map(printable, names)), tuple(lines))


def _standing(told: Table) -> Standing:
    per_change = told.table("per_change")
    return Standing(told.text("verdict"), per_change.decimal("failures") if per_change.content else 0.0)


def _lost_by(kinds: Table) -> str:
    """Say which kinds of traffic lost something, where there is more than one."""
    told = []
    for name in kinds.content:
        kind = kinds.table(name)
        exchanges, failures = kind.number("exchanges"), kind.number("failures")
        if failures:
            told.append(f"{printable(name)} {failures:,} of {exchanges:,}")
    return ", ".join(told) if len(kinds.content) > 1 else ""


def _cell(trial: Table, folder: Path) -> Cell:
    run = trial.path_at("run")
    page = Path(run).with_name("report.html") if run else None
    # os.path raises nothing, however long the name is.
    shown = page is not None and not page.is_absolute() and os.path.isfile(folder / page)  # noqa: PTH113
    return Cell(
        trial.number("round"),
        trial.text("verdict") or printable("not run"),
        quote(page.as_posix()) if shown and page is not None else "",
    )
