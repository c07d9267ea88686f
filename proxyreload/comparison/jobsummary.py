"""A comparison as a job is told of it: its summary as Markdown, and annotations."""

from collections import Counter
from collections.abc import Iterator, Sequence

from proxyreload.comparison.row import Row, helped, summed
from proxyreload.comparison.table import LOSSES, VERDICT, Column, by_kind
from proxyreload.errors import ExitStatus
from proxyreload.job.again import again_section
from proxyreload.job.causetable import causes_section, foremost_words
from proxyreload.job.workflow import MOST, Annotation
from proxyreload.ledger.cause import Cause
from proxyreload.system.markdowntext import link_of, table_of, text_of
from proxyreload.system.untrusted import WORDS_LIMIT
from proxyreload.verdict.judgement import Verdict, by_class
from proxyreload.verdict.threshold import Thresholds

#: Mechanisms that have a line of their own; all of thirteen proxies are fewer than half of that.
_ROWS = 150
_EXCHANGES = Column("exchanges", lambda row: f"{row.exchanges:,}" if row.verdict is not None else "")


def comparison_summary(rows: Sequence[Row], what: Sequence[str], thresholds: Thresholds, words: Sequence[str]) -> str:
    """Return it as Markdown: `what` was compared, each mechanism, each of its kinds, why, what cures it, and again."""
    shown = rows[:_ROWS]
    kinds = list(dict.fromkeys(kind for row in shown for kind in row.kinds))
    columns = (*LOSSES[:2], _EXCHANGES, *LOSSES[2:5])
    head = [*(column.title for column in columns), "most frequent cause"]
    right = [*(column.right for column in columns), False]
    cells = [[*(column.text(row) for column in columns), foremost_words(_causes(row))] for row in shown]
    lines = [f"### compare: {_verdicts(rows)}", ""]
    lines += [line for each in filter(None, what) for line in (text_of(each, WORDS_LIMIT), "")]
    lines += [*table_of(head, right, cells), ""]
    lines += [f"And {len(rows) - _ROWS} more.", ""] if len(rows) > _ROWS else []
    if kinds:
        verdicts = [(row, row.verdicts) for row in shown if row.verdict is not None]
        by_kinds = [[row.label, *(_cell(row, told, kind) for kind in kinds)] for row, told in verdicts]
        lines += [*table_of(["mechanism", *kinds], [False] * (1 + len(kinds)), by_kinds), ""]
    lines += [f"- {text_of(each, WORDS_LIMIT)}" for row in shown for each in _notes(row, thresholds)]
    causes = causes_section(summed(row.causes for row in shown), [*_helps(shown)])
    return "\n".join([*lines, "", *causes, *again_section(words)])


def comparison_annotations(rows: Sequence[Row], thresholds: Thresholds) -> Iterator[Annotation]:
    """Yield each mechanism that failed, or lost something, errors first; what one cannot do is none."""
    found = [(row, row.decision(thresholds)) for row in rows if not row.cannot]
    found.sort(key=lambda each: -each[1].status)
    shown = 0
    for row, decision in found:
        lost = row.verdict is not None and row.verdict.exit_status is ExitStatus.LOST
        if (decision.status or lost) and shown < MOST:
            shown += 1
            told = [row.why, f"lost {by_class(row.failures)}" if row.failures else "", by_kind(row), decision.words]
            yield Annotation(bool(decision.status), f"{row.label}: {VERDICT.text(row)}", "; ".join(filter(None, told)))


def _verdicts(rows: Sequence[Row]) -> str:
    return by_class(Counter(VERDICT.text(row) for row in rows)) or "nothing"


def _causes(row: Row) -> Counter[Cause]:
    return sum(row.causes.values(), Counter())


def _cell(row: Row, verdicts: dict[str, Verdict], kind: str) -> str:
    """Return ``lossy 3 of 200``; empty where a mechanism was sent none."""
    exchanges, failures = row.kinds.get(kind, (0, 0))
    verdict = verdicts.get(kind)
    if verdict is None:
        return ""
    return f"{verdict.value} {failures:,} of {exchanges:,}" if failures else verdict.value


def _notes(row: Row, thresholds: Thresholds) -> Iterator[str]:
    """Yield why a mechanism came to nothing, what it was not sent, and what was decided of it."""
    cannot = [f"{kind} cannot: {why}" for kind, why in row.carries_not.items()]
    told = [row.why, *cannot, row.decision(thresholds).words if row.verdict is not None else ""]
    yield from (f"{row.label}: {each}" for each in told if each)


def _helps(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what is known to help, once for all that it helps."""
    for cure, names in helped(rows).items():
        yield f"what helps with {text_of(', '.join(names), WORDS_LIMIT)}: {link_of(cure.advice, cure.link)}"
