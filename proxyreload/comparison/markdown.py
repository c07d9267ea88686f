"""The rows as Markdown."""

from collections.abc import Sequence

from proxyreload.comparison.row import Row
from proxyreload.comparison.scoreboard import scoreboard
from proxyreload.comparison.table import LOSSES, TIMES, Column, by_kind
from proxyreload.proxy.interfaces import Cure
from proxyreload.system.untrusted import line_of
from proxyreload.verdict.judgement import by_class

_LOST = Column("failures by class", lambda row: by_class(row.failures), right=False)
_WHO = Column("failures by kind", by_kind, right=False)


def markdown(rows: Sequence[Row], above: Sequence[str]) -> str:
    """Return one wide table, with what was compared `above`; below it why a row is empty, and what is known to help."""
    columns = (*LOSSES, *TIMES[1:], _LOST, _WHO)
    lines = [line for text in above for line in (_escaped(text), "")]
    lines += [_cells([column.title for column in columns])]
    lines.append(_cells(["---:" if column.right else "---" for column in columns]))
    lines += [_cells([column.text(row) for column in columns]) for row in rows]
    below = [f"- {_escaped(f'{row.name}: {row.why}')}" for row in rows if row.why]
    below += [
        f"- {_escaped(f'{row.name}: {kind} cannot: {why}')}" for row in rows for kind, why in row.carries_not.items()
    ]
    cured: dict[Cure, list[str]] = {}
    for row in rows:
        if row.cure is not None:
            cured.setdefault(row.cure, []).append(row.name)
    below += [f"- {_escaped(', '.join(names))}: what helps: {_link(cure)}" for cure, names in cured.items()]
    board = scoreboard(rows)
    over = [] if board is None else ["Over versions, with failures per change:", "", *_table(board.lines()), ""]
    return "\n".join([*lines, "", *over, *below, ""])


def _table(lines: Sequence[Sequence[str]]) -> list[str]:
    head, *others = lines
    return [_cells(head), _cells(["---" for _title in head]), *map(_cells, others)]


def _link(cure: Cure) -> str:
    return f"[{_escaped(cure.advice)}]({cure.link.replace(')', '%29')})"


def _cells(texts: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, texts))} |"


def _escaped(text: str) -> str:
    """Return text in which Markdown finds no table, no link and no HTML."""
    text = line_of(text)
    for each in "\\|[]":
        text = text.replace(each, f"\\{each}")
    return text.replace("<", "&lt;")
