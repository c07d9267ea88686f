"""The rows as Markdown."""

from collections.abc import Sequence

from proxyreload.comparison.bykind import KindTable
from proxyreload.comparison.row import Row, helped
from proxyreload.comparison.scoreboard import scoreboard
from proxyreload.comparison.table import COSTS, LOSSES, TIMES, Column, by_kind
from proxyreload.system.markdowntext import link_of, table_of, text_of
from proxyreload.system.untrusted import WORDS_LIMIT
from proxyreload.verdict.judgement import by_class

_LOST = Column("failures by class", lambda row: by_class(row.failures), right=False)
_WHO = Column("failures by kind", by_kind, right=False)


def markdown(rows: Sequence[Row], above: Sequence[str]) -> str:
    """Return one wide table, with what was compared `above`; below it why a row is empty, and what is known to help."""
    columns = (*LOSSES, *TIMES[1:], *COSTS[1:], _LOST, _WHO)
    lines = [line for text in above for line in (text_of(text, WORDS_LIMIT), "")]
    cells = [[column.text(row) for column in columns] for row in rows]
    lines += table_of([column.title for column in columns], [column.right for column in columns], cells)
    told = [f"{row.label}: {row.why}" for row in rows if row.why]
    told += [f"{row.name}: {kind} cannot: {why}" for row in rows for kind, why in row.cannot_carry.items()]
    below = [f"- {text_of(each, WORDS_LIMIT)}" for each in dict.fromkeys(told)]
    for cure, names in helped(rows).items():
        below.append(f"- {text_of(', '.join(names), WORDS_LIMIT)}: what helps: {link_of(cure.advice, cure.link)}")
    kinds = KindTable(rows)
    of_kinds = [] if len(kinds.kinds) < 2 else ["By kind of traffic:", "", *_board([*kinds.lines()]), ""]  # noqa: PLR2004
    of_kinds += [line for each in kinds.legend() for line in (text_of(each, WORDS_LIMIT), "")] if of_kinds else []
    board = scoreboard(rows)
    over = [] if board is None else ["Over versions, with failures per change:", "", *_board(board.lines()), ""]
    return "\n".join([*lines, "", *of_kinds, *over, *below, ""])


def _board(lines: Sequence[Sequence[str]]) -> list[str]:
    head, *others = lines
    return table_of(head, [False] * len(head), others)
