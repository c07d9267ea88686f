"""The rows as JUnit XML: a test case for each trial."""

from collections.abc import Iterator, Sequence

from proxyreload.comparison.row import Row
from proxyreload.comparison.trial import Trial
from proxyreload.record.junit import UNFINISHED, Case, document, excused, judged
from proxyreload.verdict.judgement import Verdict
from proxyreload.verdict.threshold import OPTION, Decision, Outcome, Thresholds

_SUITE = "compare"


#: What a decision is to whoever reads test results.
_OUTCOMES = {Outcome.PASSES: "", Outcome.FAILS: "failure", Outcome.NOT_JUDGED: "error"}


def as_junit(rows: Sequence[Row], thresholds: Thresholds = ()) -> str:
    """Return the document; without rows, that it did not come to any."""
    cases = [case for row in rows for case in _cases(row, row.decision(thresholds))]
    return document(_SUITE, cases or [_error(_SUITE, _SUITE, UNFINISHED)])


def _cases(row: Row, decision: Decision) -> Iterator[Case]:
    if not row.trials:
        yield _error("not run", row.label, row.why)
    for trial in row.trials:
        yield _case(row, trial, decision)
    if decision.outcome is not None and row.verdict is not None:
        outcome, words = _OUTCOMES[decision.outcome], decision.words
        yield Case(OPTION, row.label, 0.0, outcome, row.verdict.value, words, "" if outcome else words)


def _case(row: Row, trial: Trial, decision: Decision) -> Case:
    name = f"round {trial.round}"
    if trial.judgement is not None:
        cure = f"what helps: {row.cure.advice}, {row.cure.link}" if row.cure is not None else ""
        return judged(name, row.label, 0.0, trial.judgement, cure, excused(trial.judgement, decision))
    if trial.cannot:
        return Case(name, row.label, outcome="skipped", message=trial.why)
    return _error(name, row.label, trial.why)


def _error(name: str, of: str, why: str) -> Case:
    return Case(name, of, outcome="error", verdict=Verdict.INVALID.value, message=why)
