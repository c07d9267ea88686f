"""What a pace comes to: kept, or what it shows in place of that, or that more changes are needed to tell."""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from math import ceil, log

import attrs

from proxyreload.bisection.sequential import Decision, SequentialTest
from proxyreload.capacity.growth import Lag, Thirds, changes_to_tell, thirds
from proxyreload.capacity.pacedchange import PacedChange

#: A pace is asked four questions: does it lose, does it refuse, is it late, and later and later.
QUESTIONS = 4


class Sign(Enum):
    """What is seen where a pace is not kept."""

    LOSES = "loses"
    REFUSES = "refuses"
    FALLS_BEHIND = "falls behind"
    INVALID = "invalid"  #: a run came to no verdict: the proxy died, say
    OURS = "proxyreload falls behind"  #: the instrument could not make changes at that pace
    UNDECIDED = "undecided"  #: so many changes do not tell


@attrs.frozen
class Rule:
    """From when on a pace is not kept."""

    share: float  #: the part of its changes that is hit by one of these, at least
    error: float  #: that any one answer is wrong, at most
    despite_losses: bool = False  #: losses are counted, and decide nothing

    @property
    def changes(self) -> int:
        """How many changes decide that a pace is kept, if none is hit and lags do not grow."""
        test = SequentialTest(self.share, self.error)
        return max(ceil(log(self.error) / test.after(hit=False).evidence), changes_to_tell(self.error))

    def test(self, hits: Iterable[bool]) -> SequentialTest:
        """Return what is known of one question after all of these."""
        told = tuple(hits)
        return SequentialTest(self.share, self.error, len(told), sum(told))

    @property
    def signs(self) -> dict[Sign, Callable[[PacedChange], bool]]:
        """What a change is hit by, and whether one is."""
        loses = {} if self.despite_losses else {Sign.LOSES: lambda change: bool(change.lost)}
        return {
            **loses,
            Sign.REFUSES: lambda change: change.refused,
            Sign.FALLS_BEHIND: lambda change: change.late,
        }


@attrs.define
class PaceTest:
    """What is known of one pace, from the changes of each run at it."""

    rule: Rule
    interval_ns: float  #: between two changes
    runs: list[Sequence[PacedChange]] = attrs.field(factory=list)

    @property
    def changes(self) -> list[PacedChange]:
        """Of all runs."""
        return [change for run in self.runs for change in run]

    @property
    def signs(self) -> tuple[Sign, ...]:
        """What it shows; empty if it is kept, or if that is not known yet."""
        found = [
            sign
            for sign, hit in self.rule.signs.items()
            if self.rule.test(map(hit, self.changes)).decision is Decision.BAD
        ]
        if Sign.FALLS_BEHIND not in found and any(self._grows(each) for each in self.thirds):
            found.append(Sign.FALLS_BEHIND)
        if Sign.FALLS_BEHIND in found and self._own_doing:
            found[found.index(Sign.FALLS_BEHIND)] = Sign.OURS
        return tuple(found)

    @property
    def kept(self) -> bool | None:
        """Whether it is kept; None as long as more changes are needed."""
        if self.signs:
            return False
        every = [self.rule.test(map(hit, self.changes)).decision for hit in self.rule.signs.values()]
        return True if all(each is Decision.GOOD for each in every) and not self._may_grow else None

    @property
    def thirds(self) -> list[Thirds]:
        """How the lags of each run have grown, where there were enough of them."""
        lags = [[Lag(each.due_ns, each.lag_ns) for each in run if each.lag_ns is not None] for run in self.runs]
        return [each for each in map(thirds, lags) if each is not None]

    @property
    def _may_grow(self) -> bool:
        """Whether it looks in the latest run as if lags grew, and may be chance."""
        return bool(self.thirds) and self.thirds[-1].much

    def _grows(self, compared: Thirds) -> bool:
        return compared.much and compared.chance < self.rule.error

    @property
    def _own_doing(self) -> bool:
        """Whether the instrument alone takes more than half of the time there is for a change."""
        changes = self.changes
        return sum(each.own_ns for each in changes) > len(changes) * self.interval_ns / 2
