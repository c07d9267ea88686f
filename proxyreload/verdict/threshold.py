"""What decides the exit status in place of the default: thresholds that somebody has asked for.

The default is that racy and lossy fail. Whatever is asked for, the verdict stays what it is, and what is invalid or
ineffective passes nothing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

import attrs

from proxyreload.errors import ExitStatus, UsageError
from proxyreload.system.bounds import Bound
from proxyreload.system.untrusted import printable
from proxyreload.verdict.judgement import Judgement, Verdict, counted, judge_kinds, worst
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.repetition import short

#: The option that takes them.
OPTION = "--fail-on"
_PER_CHANGE = "failures-per-change"
_MOST = Bound(0, 1_000_000)
#: Verdicts that may be asked to fail.
_BY_WORD = {verdict.value: verdict for verdict in (Verdict.LOSSY, Verdict.RACY)}
_OF_A_KIND = re.compile(r"kind=([a-z][a-z0-9_-]{0,59}):(lossy|racy)")
_TAKES = f"lossy, racy, kind=KIND:lossy, kind=KIND:racy or {_PER_CHANGE}>NUMBER"
_SHOWN = 60


class Outcome(Enum):
    """What a threshold, or all of them, came to; the worse the later."""

    PASSES = "passes"
    FAILS = "fails"
    NOT_JUDGED = "not judged"

    @property
    def exit_status(self) -> ExitStatus:
        """Return what it makes of the exit status."""
        return _STATUSES[self]


_STATUSES = {
    Outcome.PASSES: ExitStatus.LOSSLESS,
    Outcome.FAILS: ExitStatus.LOST,
    Outcome.NOT_JUDGED: ExitStatus.INVALID,
}


@attrs.frozen
class Measured:
    """What thresholds are held against: a run, or all runs of one mechanism."""

    verdict: Verdict
    kinds: Mapping[str, Verdict]  #: of those of which something was sent
    failures: int  #: of kinds that are not aimed
    changes: int
    aimed: int = 0  #: failures of the others

    @classmethod
    def of(cls, observation: Observation, judgement: Judgement) -> "Measured":
        """Return what one run came to."""
        proof = observation.kinds.proof
        return cls(
            judgement.verdict,
            verdicts_by_kind(observation),
            observation.kinds.rated.lost,
            len(observation.changes),
            0 if proof is None else proof.lost,
        )


def verdicts_by_kind(observation: Observation) -> dict[str, Verdict]:
    """Return the verdict of each kind of which something was sent."""
    tallies = observation.kinds.by_kind
    return {kind: each.verdict for kind, each in judge_kinds(observation).items() if tallies[kind].exchanges}


@attrs.frozen
class Decided:
    """What one threshold came to, and by what."""

    threshold: str
    outcome: Outcome
    why: str


@attrs.frozen
class Threshold:
    """This verdict, or a worse one, fails; that of one kind of traffic, or of all."""

    verdict: Verdict
    kind: str = ""

    def __str__(self) -> str:
        """Return it as it is asked for."""
        return f"kind={self.kind}:{self.verdict.value}" if self.kind else self.verdict.value

    def decide(self, measured: Measured) -> Decided:
        """Hold a run against it."""
        verdict = measured.kinds.get(self.kind) if self.kind else measured.verdict
        if verdict is None:
            return Decided(str(self), Outcome.NOT_JUDGED, f"not one {self.kind} was sent")
        fails = worst([verdict, self.verdict]) is verdict
        why = f"{self.kind or 'the run'} is {verdict.value}"
        return Decided(str(self), Outcome.FAILS if fails else Outcome.PASSES, why)


@attrs.frozen
class PerChange:
    """More failures than this in a change, in the mean, fail; those of aimed kinds are left out, as of all rates."""

    most: float

    @property
    def kind(self) -> str:
        """It is of no one kind."""
        return ""

    def __str__(self) -> str:
        """Return it as it is asked for."""
        short_one = f"{self.most:g}"
        return f"{_PER_CHANGE}>{short_one if float(short_one) == self.most else repr(self.most)}"

    def decide(self, measured: Measured) -> Decided:
        """Hold a run against it."""
        if not measured.changes:
            return Decided(str(self), Outcome.NOT_JUDGED, "no change was made")
        mean = measured.failures / measured.changes
        why = f"{counted(measured.failures, 'failure')} in {counted(measured.changes, 'change')}, {short(mean)} in each"
        if measured.aimed:
            why += f", besides {measured.aimed} of aimed kinds"
        return Decided(str(self), Outcome.FAILS if mean > self.most else Outcome.PASSES, why)


Thresholds = Sequence[Threshold | PerChange]


@attrs.frozen
class Decision:
    """The exit status, and which thresholds it comes of; none were asked for where there is no `outcome`."""

    status: ExitStatus
    outcome: Outcome | None = None
    decided: tuple[Decided, ...] = ()
    why: str = ""  #: no threshold was held against it

    @property
    def words(self) -> str:
        """Say what was decided, and why; empty where no threshold was asked for."""
        if self.outcome is None:
            return ""
        by_outcome = {
            outcome: [f"{each.threshold} ({each.why})" for each in self.decided if each.outcome is outcome]
            for outcome in reversed(Outcome)
        }
        told = [f"{outcome.value}: {', '.join(which)}" for outcome, which in by_outcome.items() if which]
        return f"decided by {OPTION}: {'; '.join(told) or f'{self.outcome.value}: {self.why}'}"

    def as_run(self) -> dict[str, object] | None:
        """Return it as it stands in ``run.json``; None where no threshold was asked for."""
        if self.outcome is None:
            return None
        thresholds = [
            {"threshold": each.threshold, "outcome": each.outcome.value, "why": each.why} for each in self.decided
        ]
        return {"outcome": self.outcome.value, "why": self.why or None, "thresholds": thresholds}


def decide(thresholds: Thresholds, measured: Measured) -> Decision:
    """Decide the exit status by thresholds, or where there are none, by the verdict alone."""
    status = measured.verdict.exit_status
    if not thresholds:
        return Decision(status)
    if status is ExitStatus.INVALID:
        return Decision(status, Outcome.NOT_JUDGED, why=f"a run that is {measured.verdict.value} never passes")
    decided = tuple(each.decide(measured) for each in thresholds)
    order = list(Outcome)
    outcome = max((each.outcome for each in decided), key=order.index)
    return Decision(outcome.exit_status, outcome, decided)


def parsed(texts: Iterable[str]) -> tuple[Threshold | PerChange, ...]:
    """Return the thresholds in texts, each once, a comma between two; raises `UsageError`."""
    words = [word.strip() for text in texts for word in text.split(",")]
    return tuple(dict.fromkeys(map(_threshold, words)))


def _threshold(word: str) -> Threshold | PerChange:
    if word in _BY_WORD:
        return Threshold(_BY_WORD[word])
    of_a_kind = _OF_A_KIND.fullmatch(word)
    if of_a_kind is not None:
        return Threshold(_BY_WORD[of_a_kind[2]], of_a_kind[1])
    name, more, number = word.partition(">")
    if name == _PER_CHANGE and more:
        return PerChange(_MOST.parse(f"{OPTION} {_PER_CHANGE}>", number))
    msg = f"{OPTION} takes {_TAKES}, not {printable(repr(word[: 2 * _SHOWN]), _SHOWN)}"
    raise UsageError(msg)
