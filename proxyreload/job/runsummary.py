"""One run as a job is told of it: its summary as Markdown, and annotations."""

from collections import Counter
from collections.abc import Iterator, Sequence

import attrs

from proxyreload.errors import ExitStatus
from proxyreload.explanation.causewords import cause_words
from proxyreload.explanation.quantity import counted
from proxyreload.job.again import again_section
from proxyreload.job.causetable import causes_section, foremost, foremost_words
from proxyreload.job.workflow import MOST, Annotation
from proxyreload.plan.settings import Settings
from proxyreload.system.clock import seconds
from proxyreload.system.markdowntext import link_of, table_of, text_of
from proxyreload.system.untrusted import WORDS_LIMIT
from proxyreload.verdict.judgement import Judgement, Verdict, by_class, detection_limit, judge_change, judge_kinds
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.tally import Tally
from proxyreload.verdict.threshold import Decision
from proxyreload.verdict.windows import ObservedChange

#: Changes that have a line of their own.
_CHANGES = 50
_KINDS = ("kind", "verdict", "exchanges", "lost", "most frequent cause")
_OF_CHANGES = ("change", "verdict", "exchanges", "lost", "most frequent cause", "why")


@attrs.frozen
class JobRun:
    """A run that is over."""

    settings: Settings
    observation: Observation
    judgement: Judgement
    decision: Decision
    proxy_version: str

    @property
    def name(self) -> str:
        """What was run: a mechanism, or a URL."""
        choice = self.settings.choice
        return choice.name if choice is not None else self.settings.target.url

    def summary(self) -> str:
        """Return it as Markdown: the verdict, what it stands for, by kind, by change, why, what cures it, and again."""
        kinds = self.observation.kinds.by_kind
        helps = [*self._helps()]
        lines = [
            f"### {text_of(self.name)}: {self.judgement.verdict.value}",
            "",
            *self._told(),
            *table_of(_KINDS, (False, False, True, True, False), [*self._kinds()]),
            "",
            *self._changes(),
            *causes_section({kind: tally.causes for kind, tally in kinds.items()}, helps),
            *again_section(self.settings.command),
        ]
        return "\n".join(lines)

    def annotations(self) -> Iterator[Annotation]:
        """Yield what failed, the run first: errors where it fails the job, else warnings; nothing where nothing did."""
        verdict = self.judgement.verdict
        if verdict.exit_status is ExitStatus.LOSSLESS and not self.decision.status:
            return
        error = bool(self.decision.status)
        said = "; ".join(self.judgement.reasons) or verdict.value
        words = f". {self.decision.words}" if self.decision.words else ""
        yield Annotation(error, f"{self.name} is {verdict.value}", said + words)
        tallies = self.observation.kinds.by_kind
        hit = [kind for kind, each in judge_kinds(self.observation).items() if each.verdict is Verdict.LOSSY]
        for kind in sorted(hit, key=lambda kind: -tallies[kind].lost)[: MOST - 1]:
            yield Annotation(error, f"{self.name}: {kind} is lossy", _lost_words(tallies[kind]))

    def _told(self) -> Iterator[str]:
        """Yield the sentences above the tables."""
        observation, verdict = self.observation, self.judgement.verdict
        reasons = "; ".join(self.judgement.reasons)
        yield f"**{verdict.value}**" + (f": {text_of(reasons, WORDS_LIMIT)}" if reasons else "")
        yield ""
        ran_s = seconds(observation.ended_ns - observation.started_ns) if observation.ended_ns else 0.0
        through = f", through {self.proxy_version}" if self.proxy_version else ""
        traffic = f"{self.settings.spoken}; {counted(observation.counts.total, 'exchange')} in {ran_s:.1f} s{through}"
        yield f"Traffic: {text_of(traffic, WORDS_LIMIT)}"
        yield ""
        limit = "" if observation.counts.failure else detection_limit(observation.kinds.rated.exchanges)
        repetition = observation.repetition
        said = [limit, "" if repetition is None else repetition.line(), self.decision.words]
        for each in filter(None, said):
            yield text_of(each, WORDS_LIMIT)
            yield ""

    def _kinds(self) -> Iterator[Sequence[str]]:
        tallies = self.observation.kinds.by_kind
        for kind, judgement in judge_kinds(self.observation).items():
            yield (kind, *_figures(judgement.verdict, tallies[kind]))
        for kind, why in self.settings.left_out.items():
            yield (kind, "cannot", "", "", why)

    def _changes(self) -> list[str]:
        changes = self.observation.changes
        if not changes:
            return []
        judged = [(change, judge_change(change)) for change in changes]
        worst_first = sorted(judged, key=lambda each: -list(Verdict).index(each[1].verdict))  # else by their numbers
        named = sorted(worst_first[:_CHANGES], key=lambda each: each[0].number)
        rows = [_change(change, judgement) for change, judgement in named]
        left = Counter(judgement.verdict.value for _change, judgement in worst_first[_CHANGES:])
        more = [f"And {len(changes) - len(named):,} more: {by_class(left)}.", ""] if left else []
        right = (False, False, True, True, False, False)
        return [*table_of(_OF_CHANGES, right, rows, WORDS_LIMIT), "", *more]

    def _helps(self) -> Iterator[str]:
        choice = self.settings.choice
        cure = choice.mechanism.cure if choice is not None else None
        if cure is not None and self.judgement.verdict is Verdict.LOSSY:
            yield f"what helps with {text_of(self.name)}: {link_of(cure.advice, cure.link)}"


def _change(change: ObservedChange, judgement: Judgement) -> Sequence[str]:
    total = Tally(change.exchanges, change.failures)
    for tally in change.kinds.by_kind.values():
        total.causes.update(tally.causes)
    figures = _figures(judgement.verdict, total)
    return (f"{change.number}: {change.name}", *figures, "; ".join(judgement.reasons))


def _figures(verdict: Verdict, tally: Tally) -> Sequence[str]:
    return verdict.value, f"{tally.exchanges:,}", f"{tally.lost:,}", foremost_words(tally.causes)


def _lost_words(tally: Tally) -> str:
    """Say how many were lost, mostly why, and what cures that."""
    told = f"{tally.lost:,} of {counted(tally.exchanges, 'request')} lost"
    cause = foremost(tally.causes)
    if cause is None:
        return told
    words = cause_words(cause.value)
    return f"{told}, {tally.causes[cause]:,} by {cause.value}: {words.what}. Cure: {words.cure}"
