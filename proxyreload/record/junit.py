"""JUnit XML: what a run or a comparison came to, for a continuous integration server.

The elements are those that Jenkins and GitLab read:
https://github.com/jenkinsci/xunit-plugin/blob/master/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import attrs

from proxyreload.errors import ExitStatus, UsageError
from proxyreload.system.claim import Claim
from proxyreload.system.clock import seconds
from proxyreload.system.untrusted import WORDS_LIMIT, printable
from proxyreload.verdict.judgement import Judgement, Verdict, detection_limit, judge_change
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.threshold import Decision
from proxyreload.verdict.windows import ObservedChange

#: What a verdict is to whoever reads test results, by the exit status that it stands for; the lossless ones pass.
_OUTCOMES = {ExitStatus.LOST: "failure", ExitStatus.INVALID: "error"}
#: What the file says until it is known better.
UNFINISHED = "proxyreload did not come to its end"


@attrs.frozen
class Case:
    """One test case; ``outcome`` is ``failure``, ``error``, ``skipped`` or empty: passed."""

    name: str
    of: str  #: what is tested: a mechanism or a URL
    time_s: float = 0.0
    outcome: str = ""
    verdict: str = ""  #: the verdict, of what has not passed
    message: str = ""
    output: str = ""


def judged(
    name: str, of: str, time_s: float, judgement: Judgement, output: str = "", status: ExitStatus | None = None
) -> Case:
    """Make a case of a judgement; `status`: what it stands for, where that is not the verdict's own."""
    verdict = judgement.verdict
    outcome = _OUTCOMES.get(verdict.exit_status if status is None else status, "")
    message = "; ".join(judgement.reasons)
    if not outcome:
        said = ": ".join(filter(None, [verdict.value, message]))
        return Case(name, of, time_s, output="\n".join(filter(None, [said, output])))
    return Case(name, of, time_s, outcome, verdict.value, message, output)


def document(suite: str, cases: Sequence[Case]) -> str:
    """Return the cases as one suite. No character is left in it that XML 1.0 has no place for."""
    counts = {f"{outcome}s": 0 for outcome in ("failure", "error")} | {"skipped": 0}
    for case in cases:
        if case.outcome:
            counts[case.outcome if case.outcome == "skipped" else f"{case.outcome}s"] += 1
    totals = {"tests": str(len(cases)), **{name: str(number) for name, number in counts.items()}}
    time = _seconds(sum(case.time_s for case in cases))
    root = ET.Element("testsuites", totals)
    element = ET.SubElement(root, "testsuite", {"name": _text(suite), **totals, "time": time})
    for case in cases:
        _add(element, case)
    ET.indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ET.tostring(root, encoding='unicode')}\n"


def _add(suite: ET.Element, case: Case) -> None:
    named = {"classname": _text(case.of), "name": _text(case.name), "time": _seconds(case.time_s)}
    element = ET.SubElement(suite, "testcase", named)
    if case.outcome:
        verdict = {"type": case.verdict} if case.verdict else {}
        ET.SubElement(element, case.outcome, {"message": _text(case.message), **verdict})
    if case.output:
        ET.SubElement(element, "system-out").text = _text(case.output)


def _seconds(time_s: float) -> str:
    return f"{time_s:.3f}"


def _text(text: str) -> str:
    """Return the lines of a text without control characters, lone surrogates and whatever else cannot stand in XML."""
    return "\n".join(printable(line, WORDS_LIMIT) for line in text.split("\n"))


def excused(judgement: Judgement, decision: Decision) -> ExitStatus:
    """Return what a part stands for: where it was decided that the whole passes, what was lost in it fails nothing."""
    lost = judgement.verdict.exit_status is ExitStatus.LOST
    return ExitStatus.LOSSLESS if lost and not decision.status else judgement.verdict.exit_status


def run_cases(
    observation: Observation, judgement: Judgement, of: str, decision: Decision | None = None
) -> Iterator[Case]:
    """Yield a case for each change, and one for the run as a whole, which fails where it was decided so."""
    if decision is None:
        decision = Decision(judgement.verdict.exit_status)
    for change in observation.changes:
        judged_one = judge_change(change)
        status = excused(judged_one, decision)
        yield judged(f"change {change.number}: {change.name}", of, _change_s(change), judged_one, status=status)
    ran_s = seconds(observation.ended_ns - observation.started_ns) if observation.ended_ns else 0.0
    limit = "" if observation.counts.failure else detection_limit(observation.kinds.rated.exchanges)
    output = "\n".join(filter(None, [limit, decision.words]))
    yield judged("run", of, ran_s, judgement, output, decision.status)


def _change_s(change: ObservedChange) -> float:
    """Return how long the proxy took to apply it."""
    return seconds(change.applied_ns - change.requested_ns) if change.applied_ns else 0.0


@attrs.define(eq=False)
class JUnitFile:
    """Writes the file twice: at the start as an error, for whatever may kill us, and at the end."""

    path: Path
    suite: str  #: what it is called
    unwritten: str = attrs.field(default="", init=False)  #: why it could not be written at the end
    _claim: Claim | None = attrs.field(default=None, init=False)

    def open(self) -> None:
        """Claim it, and write that nothing came of it yet; raises `UsageError` if the file cannot be written."""
        try:
            self._claim = Claim.of(self.path, whole=True)
            self._write([self._broken(UNFINISHED)])
        except OSError as error:
            self.close()
            raise UsageError(self._cannot(error)) from error

    def finish(self, cases: Sequence[Case]) -> None:
        """Write what came of it; where that fails ``unwritten`` says so, and what is there stays."""
        try:
            self._write(cases)
        except OSError as error:
            self.unwritten = self._cannot(error)

    async def record(
        self,
        execute: Callable[[], Awaitable[Judgement]],
        observation: Observation,
        decided: Callable[[], Decision | None] = lambda: None,
    ) -> Judgement:
        """Execute a run and write what came of it, whatever that is; `decided` returns what was decided by it."""
        self.open()
        try:
            judgement = await execute()
            self.finish(list(run_cases(observation, judgement, self.suite, decided())))
        except Exception as error:
            self.finish([self._broken(str(error))])
            raise
        finally:
            self.close()
        return judgement

    def close(self) -> None:
        """Let go of it."""
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def _broken(self, why: str) -> Case:
        return Case("run", self.suite, outcome="error", verdict=Verdict.INVALID.value, message=why)

    def _write(self, cases: Sequence[Case]) -> None:
        assert self._claim is not None  # noqa: S101
        self._claim.replace(document(self.suite, cases))

    def _cannot(self, error: OSError) -> str:
        return f"{self.path} cannot be written: {error.strerror}"
