"""The rows as JUnit XML: a test case for each trial."""

from collections.abc import Iterator, Sequence

from proxyreload.comparison.row import Row
from proxyreload.comparison.trial import Trial
from proxyreload.record.junit import UNFINISHED, Case, document, judged
from proxyreload.verdict.judgement import Verdict

_SUITE = "compare"


def as_junit(rows: Sequence[Row]) -> str:
    """Return the document; without rows, that it did not come to any."""
    cases = [case for row in rows for case in _cases(row)]
    return document(_SUITE, cases or [_error(_SUITE, _SUITE, UNFINISHED)])


def _cases(row: Row) -> Iterator[Case]:
    if not row.trials:
        yield _error("not run", row.name, row.why)
    for trial in row.trials:
        yield _case(row, trial)


def _case(row: Row, trial: Trial) -> Case:
    name = f"round {trial.round}"
    if trial.judgement is not None:
        cure = f"what helps: {row.cure.advice}, {row.cure.link}" if row.cure is not None else ""
        return judged(name, row.name, 0.0, trial.judgement, cure)
    if trial.cannot:
        return Case(name, row.name, outcome="skipped", message=trial.why)
    return _error(name, row.name, trial.why)


def _error(name: str, of: str, why: str) -> Case:
    return Case(name, of, outcome="error", verdict=Verdict.INVALID.value, message=why)
