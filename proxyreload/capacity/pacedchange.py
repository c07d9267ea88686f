"""What became of changes that were due at certain times."""

from collections.abc import Sequence
from math import log

import attrs

from proxyreload.verdict.judgement import CHANCE_OF_SILENCE
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.windows import ObservedChange


@attrs.frozen
class PacedChange:
    """One change, by when it was due; in ns."""

    due_ns: int
    #: From then until it was applied, and in effect as far as the traffic shows it, less what an added backend waits
    #: for its turn on average; None: never.
    lag_ns: int | None
    late: bool  #: not in effect within the time there is for that
    lost: int  #: failures in its window, but those of aimed kinds
    refused: bool
    own_ns: int  #: what passed in the instrument since it was due, and the one before it was over


@attrs.frozen
class Due:
    """When changes are due, and what they may take."""

    within_ns: int  #: each is to be in effect so long after it was due
    behind: int  #: how many backends are behind the proxy
    takes_turns: bool = False  #: the proxy says when another change can begin, and what passes until then is its own

    def met(self, observation: Observation, due_ns: Sequence[int]) -> list[PacedChange]:
        """Return what became of those that were requested, in their order; the n-th was due at ``due_ns[n]``."""
        turn_ns = self._turn_ns(observation)
        made, over_ns = [], 0
        for change, due in zip(observation.changes, due_ns, strict=False):
            own_ns = 0 if self.takes_turns else max(0, change.requested_ns - max(due, over_ns))
            # Of one that was refused it is not known when that was: what follows it is taken for its doing.
            over_ns = _over_ns(change) or change.requested_ns + self.within_ns
            made.append(self._of(change, due, own_ns, turn_ns))
        return made

    def _of(self, change: ObservedChange, due_ns: int, own_ns: int, turn_ns: float) -> PacedChange:
        lost = change.kinds.rated.lost
        if change.refused or not change.applied_ns:
            late = not change.refused
            return PacedChange(due_ns, None, late, lost, bool(change.refused), own_ns)
        applied_ns = change.applied_ns - due_ns
        effective_ns = change.effective_ns - due_ns
        unseen = self._unseen(change)
        # An added backend may be in its place for a while before anybody asks it, by chance.
        slack_ns = -log(CHANCE_OF_SILENCE) * turn_ns
        late = unseen or applied_ns > self.within_ns or effective_ns > self.within_ns + slack_ns
        usual_ns = turn_ns if change.action == "add" else 0.0
        lag_ns = max(applied_ns, round(effective_ns - usual_ns))
        return PacedChange(due_ns, None if unseen else lag_ns, late, lost, refused=False, own_ns=own_ns)

    def _unseen(self, change: ObservedChange) -> bool:
        """Whether the traffic had the chance to show it before the next change of the same, and did not."""
        if change.rotation is not None:
            return not change.rotation.shown and bool(change.rotation.old_shown)
        if change.route:
            return change.edit is not None and bool(change.edit.why_not)
        if not change.instance:
            return False
        silent = (1 - 1 / self.behind) ** change.silence < CHANCE_OF_SILENCE
        if change.action == "add":
            return not change.answers and silent
        return bool(change.stragglers) and not silent

    def _turn_ns(self, observation: Observation) -> float:
        """Return how long it takes on average until a backend is asked."""
        lasted_ns = observation.ended_ns - observation.started_ns
        answers = observation.counts.success
        return self.behind * lasted_ns / answers if answers else 0.0


def _over_ns(change: ObservedChange) -> int:
    """Return when another change could be made, 0 if that is not known."""
    return max(change.applied_ns, change.edit.at_ns if change.edit is not None else 0)
