"""From what was observed to a verdict that can be believed."""

from collections.abc import Mapping
from enum import Enum

import attrs

from proxyreload.errors import ExitStatus
from proxyreload.history.events import Ending
from proxyreload.history.failures import ABORTED, OWN_LIMIT
from proxyreload.ledger.cause import Cause
from proxyreload.system.clock import seconds
from proxyreload.verdict.counts import Counts
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.tally import Tallies, Tally
from proxyreload.verdict.windows import Closures, ObservedChange

#: A removed backend is believed to be out when the silence since its last answer would otherwise be this unlikely.
CHANCE_OF_SILENCE = 0.001


class Verdict(Enum):
    """What a change, or a whole run, did to the clients; the worse the later."""

    SEAMLESS = "seamless"
    GRACEFUL = "graceful"
    RACY = "racy"
    LOSSY = "lossy"
    INEFFECTIVE = "ineffective"
    INVALID = "invalid"

    @property
    def exit_status(self) -> ExitStatus:
        """Return the command's exit status."""
        if self in (Verdict.SEAMLESS, Verdict.GRACEFUL):
            return ExitStatus.LOSSLESS
        return ExitStatus.LOST if self in (Verdict.RACY, Verdict.LOSSY) else ExitStatus.INVALID


@attrs.frozen
class Judgement:
    """A verdict and what it rests on."""

    verdict: Verdict
    reasons: tuple[str, ...]


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the worst of them; seamless if there are none."""
    order = list(Verdict)
    return max(verdicts, key=order.index, default=Verdict.SEAMLESS)


def counted(number: int, noun: str) -> str:
    """Return ``1 failure`` or ``3 failures``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def by_class(failures: Mapping[str, int]) -> str:
    """Return ``3 timeout, 1 refused``, the most frequent first."""
    return ", ".join(
        f"{number} {name}" for name, number in sorted(failures.items(), key=lambda item: (-item[1], item[0]))
    )


def is_effective(change: ObservedChange) -> tuple[bool, str]:
    """Return whether the traffic shows the change, and what it shows."""
    if change.refused:
        return False, f"the proxy refused it: {change.refused}"
    if not change.applied_ns:
        return False, "it was not applied"
    if change.rotation is not None:
        return not change.rotation.why_not, change.rotation.why_not
    if change.route:
        return _is_edited(change)
    if not change.instance:
        return (True, "") if change.answers else (False, "no connection that was opened after it was answered")
    if change.action == "add":
        if change.answers:
            return True, ""
        return False, f"backend {change.instance} never answered"
    return _is_silent(change)


def _is_silent(change: ObservedChange) -> tuple[bool, str]:
    """Return whether the backend that was removed has fallen silent."""
    if not change.share_before:
        return False, f"backend {change.instance} had not answered before it was removed"
    if (1 - change.share_before) ** change.silence >= CHANCE_OF_SILENCE:
        if not change.silence:
            return False, f"backend {change.instance} still answers"
        return False, (
            f"backend {change.instance} was silent for the last {counted(change.silence, 'answer')} only, "
            f"having given {change.share_before:.1%} of them before"
        )
    return True, ""


def _is_edited(change: ObservedChange) -> tuple[bool, str]:
    """Return whether the edited route was answered as edited."""
    if change.edit is None:
        return False, f"the edited route {change.route} was not asked for"
    return not change.edit.why_not, change.edit.why_not


def proved(observation: Observation, number: int) -> bool:
    """Whether the traffic shows the change with this number by now, or there is nothing to wait for: it was refused."""
    observation.look()
    for change in reversed(observation.changes):
        if change.number == number:
            return bool(change.refused) or is_effective(change)[0]
    return False


def judge_closures(closures: Closures, *, by_change: bool = True) -> Judgement:
    """Tell seamless, graceful and racy by what was closed without a loss; bytes that nobody asked for are one.

    What a proxy closes by itself while it rests, and not `by_change`, is its own time-out's doing.
    """
    reasons = []
    unsolicited = closures.front.get(Ending.UNSOLICITED)
    if unsolicited:
        # No request of ours is lost by it, but whoever reads such a connection reads another request's answer.
        reasons.append(f"{counted(unsolicited, 'idle connection')} had bytes that no request asked for")
    for ending, word in ((Ending.ANNOUNCED, "announced"), (Ending.IDLE, "while idle"), (Ending.CUT, "cut")):
        if closures.front.get(ending):
            how = f" ({by_class(closures.words)})" if ending is Ending.ANNOUNCED and closures.words else ""
            reasons.append(f"{counted(closures.front[ending], 'front connection')} closed, {word}{how}")
    if closures.back:
        reasons.append(f"{counted(closures.back, 'backend connection')} closed that could have stayed")
    if unsolicited:
        return Judgement(Verdict.LOSSY, tuple(reasons))
    if by_change and closures.front.get(Ending.IDLE):
        return Judgement(Verdict.RACY, tuple(reasons))
    return Judgement(Verdict.GRACEFUL if reasons else Verdict.SEAMLESS, tuple(reasons))


def judge_kind(tally: Tally, *, by_change: bool = True) -> Judgement:
    """Judge what became of one kind of traffic; `by_change`: as `judge_closures` has it."""
    closures = judge_closures(Closures(tally.front), by_change=by_change)
    alone = Tallies({"": tally})  # of which it is not said which kind it is
    reasons = [f"{counted(tally.lost, 'failure')}: {by_class(tally.failures)}"] if tally.failures else []
    verdict = Verdict.LOSSY if tally.failures else closures.verdict
    told = (*reasons, *turned_away(alone), *oddly_carried_out(alone), *closures.reasons)
    return Judgement(worst([verdict, by_fates(alone)]), told)


def judge_kinds(observation: Observation) -> dict[str, Judgement]:
    """Judge what became of each kind in the whole run; racy by what its changes closed, and nothing else."""
    racing = {
        kind
        for change in observation.changes
        for kind, tally in change.kinds.by_kind.items()
        if tally.front.get(Ending.IDLE)
    }
    return {kind: judge_kind(tally, by_change=kind in racing) for kind, tally in observation.kinds.by_kind.items()}


def turned_away(tallies: Tallies) -> tuple[str, ...]:
    """Say how many requests were turned away, and of which kinds; empty if none was."""
    numbers = {kind: tally.turned_away for kind, tally in tallies.by_kind.items()}
    return (_of_kinds(numbers, "turned away, which may be repeated"),) if any(numbers.values()) else ()


def oddly_carried_out(tallies: Tallies) -> list[str]:
    """Say what was carried out twice, or though nobody had sent it, and of which kinds it was."""
    kinds = tallies.by_kind.items()
    told = (
        ("carried out twice", {kind: tally.repeated for kind, tally in kinds if tally.unsafe}),
        ("turned away and carried out all the same", {kind: tally.denied for kind, tally in kinds}),
        ("that nobody had sent", {kind: tally.made_up for kind, tally in kinds}),
        (
            "carried out twice by the proxy, which may repeat them",
            {kind: tally.repeated for kind, tally in kinds if not tally.unsafe},
        ),
    )
    return [_of_kinds(numbers, what) for what, numbers in told if any(numbers.values())]


def _of_kinds(numbers: Mapping[str, int], what: str) -> str:
    """Return ``3 requests carried out twice (post, upload)``."""
    kinds = ", ".join(kind for kind, number in numbers.items() if number and kind)
    return f"{counted(sum(numbers.values()), 'request')} {what}{f' ({kinds})' if kinds else ''}"


def who_lost(tallies: Tallies, judgements: Mapping[str, Judgement] | None = None) -> str:
    """Say which kinds lost what, and how the others fared, where there is more than one.

    Empty if nothing was lost and nothing closed unannounced. Without `judgements` each is judged by its tally.
    """
    kinds = tallies.by_kind
    if judgements is None:
        judgements = {kind: judge_kind(tally) for kind, tally in kinds.items()}
    lost = [kind for kind, tally in kinds.items() if tally.lost]
    racy = [kind for kind in kinds if kind not in lost and judgements[kind].verdict is Verdict.RACY]
    if len(kinds) == 1 or not (lost or racy):
        return ""
    parts = []
    for aimed, word in ((False, ""), (True, "for proof: ")):
        those = [kind for kind in lost if (kind in tallies.aimed) is aimed]
        told = [f"{kind} lost {kinds[kind].lost} of {kinds[kind].exchanges}" for kind in those]
        parts += [word + ", ".join(told)] if told else []
    others = [kind for kind in kinds if kind not in lost and kind not in racy]
    parts += [f"{', '.join(racy)} racy, without a loss"] if racy else []
    parts += [f"{', '.join(others)} lost nothing"] if others else []
    return "; ".join(parts)


def outdated(number: int) -> tuple[str, ...]:
    """Say how many failures came from what a change has replaced; empty if none did."""
    if not number:
        return ()
    over = "a connection that was" if number == 1 else "connections that were"
    return (f"{number} answered after the change over {over} open before it: by what the change replaced",)


def judge_change(change: ObservedChange) -> Judgement:
    """Judge one change by its window."""
    effective, why_not = is_effective(change)
    closures = judge_closures(change.closures)
    losses = sum(change.failures.values())
    kinds = who_lost(change.kinds)
    odd = (*turned_away(change.kinds), *oddly_carried_out(change.kinds))
    reasons = (*odd, *([kinds] if kinds else []), *closures.reasons)
    if losses:
        reasons = (f"{counted(losses, 'failure')}: {by_class(change.failures)}", *outdated(change.outdated), *reasons)
    if not effective:
        return Judgement(Verdict.INEFFECTIVE, (why_not, *reasons))
    return Judgement(worst([Verdict.LOSSY if losses else closures.verdict, by_fates(change.kinds)]), reasons)


def by_fates(tallies: Tallies) -> Verdict:
    """Judge what was done with requests, whatever their clients saw of it."""
    if any(tally.wrong for tally in tallies.by_kind.values()):
        return Verdict.LOSSY
    noticed = any(tally.repeated or tally.turned_away for tally in tallies.by_kind.values())
    return Verdict.GRACEFUL if noticed else Verdict.SEAMLESS


def judge(observation: Observation) -> Judgement:
    """Judge the whole run: by the worst of its changes, and every loss, whenever it was."""
    counts, own_trouble = observation.counts, _own_trouble(observation)
    if own_trouble:
        return Judgement(Verdict.INVALID, own_trouble)
    if not counts.success:
        return Judgement(Verdict.INVALID, (f"not one of {counted(counts.total, 'exchange')} succeeded",))
    if observation.skipped:
        return Judgement(Verdict.INEFFECTIVE, (f"the run was ended before: {', '.join(observation.skipped)}",))
    early, schedule = observation.ended_early, observation.schedule
    if early is not None:
        reason = f"the run was ended early, after {seconds(early.after_ns):.1f} of {early.of_s:g} s"
        return Judgement(Verdict.INVALID, (reason, *_losses(counts)))
    if schedule is not None and schedule.missed:
        reason = f"{schedule.never_sent} of {counted(schedule.requests, 'request')} that were due were never sent"
        return Judgement(Verdict.INVALID, (reason, *_losses(counts)))
    verdicts = [by_fates(observation.kinds), *(judge_change(change).verdict for change in observation.changes)]
    kinds = who_lost(observation.kinds, judge_kinds(observation))
    replaced = outdated(sum(change.outdated for change in observation.changes))
    odd = (*turned_away(observation.kinds), *oddly_carried_out(observation.kinds))
    reasons = (*_losses(counts), *replaced, *odd, *([kinds] if kinds else []))
    if not observation.changes:
        closures = judge_closures(observation.before, by_change=False)
        verdicts, reasons = [*verdicts, closures.verdict], (*reasons, *closures.reasons)
    if counts.failure:
        verdicts.append(Verdict.LOSSY)
    return Judgement(worst(verdicts), reasons)


def _own_trouble(observation: Observation) -> tuple[str, ...]:
    """Say what broke, and what was lost, by the instrument's own doing; empty if nothing was."""
    counts = observation.counts
    aborted = counts.by_failure.get(ABORTED)
    if aborted:
        return (f"the run was ended with {counted(aborted, 'exchange')} under way",)
    if observation.broken:
        return tuple(observation.broken)
    own_limit = counts.by_failure.get(OWN_LIMIT)
    if own_limit:
        return (f"proxyreload itself had no descriptor, port or memory left for {counted(own_limit, 'exchange')}",)
    unheard = observation.causes[Cause.OURS]
    if unheard:
        reason = f"proxyreload itself stood still while {counted(unheard, 'exchange')} waited, which failed by that"
        return (reason, *_losses(counts))
    return ()


def _losses(counts: Counts) -> tuple[str, ...]:
    if not counts.failure:
        return ()
    return (f"{counted(counts.failure, 'failure')}: {by_class(counts.by_failure)}",)


def detection_limit(exchanges: int) -> str:
    """Say what 0 failures in so many exchanges can and cannot show (the rule of three)."""
    if not exchanges:
        return "no exchanges, so nothing is known"
    million = 1_000_000
    in_a_million = 3 * million / exchanges
    if in_a_million >= million:
        return f"0 failures in {counted(exchanges, 'exchange')}: too few to say anything"
    limit = f"{in_a_million:,.0f}" if in_a_million >= 100 else f"{in_a_million:.3g}"  # noqa: PLR2004
    return f"0 failures in {exchanges} exchanges: with 95 % confidence fewer than {limit} in a million are lost"
