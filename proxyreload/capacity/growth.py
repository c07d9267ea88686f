"""Whether lags grow: those of the last third beside those of the first.

H. B. Mann, D. R. Whitney, On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other,
1947, https://doi.org/10.1214/aoms/1177730491
"""

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist, median

import attrs

#: Lags grow if this part of the time that passes is added to them, at least.
GROWTH = 0.05
#: In each third; with fewer the test decides nothing.
_ENOUGH = 8


@attrs.frozen
class Lag:
    """How late one change was, and when it was due."""

    due_ns: int
    lag_ns: int


@attrs.frozen
class Thirds:
    """The median lags of the first third and of the last, in ns, and how much time is between them."""

    first_ns: float
    last_ns: float
    between_ns: float
    chance: float  #: that the last are so much longer where nothing grows

    @property
    def much(self) -> bool:
        """Whether more was added than may be."""
        return self.last_ns - self.first_ns > GROWTH * self.between_ns


def thirds(lags: Sequence[Lag]) -> Thirds | None:
    """Compare the last third of some lags, in the order in which they were due, with the first; None: too few."""
    number = len(lags) // 3
    if number < _ENOUGH:
        return None
    first, last = lags[:number], lags[-number:]
    return Thirds(
        median(each.lag_ns for each in first),
        median(each.lag_ns for each in last),
        median(each.due_ns for each in last) - median(each.due_ns for each in first),
        longer_by_chance([each.lag_ns for each in first], [each.lag_ns for each in last]),
    )


def changes_to_tell(error: float) -> int:
    """Return how many changes it takes that lags which grow all the time are not taken for chance."""
    number = _ENOUGH
    while longer_by_chance(range(number), range(number, 2 * number)) >= error:
        number += 1
    return 3 * number


def longer_by_chance(first: Sequence[int], last: Sequence[int]) -> float:
    """Return how likely it is that `last` ranks so high above `first` though both are drawn alike.

    By the normal approximation, with the correction for ties, which is good from eight values each.
    """
    everything = Counter([*first, *last])
    total, rank_of, below = len(first) + len(last), {}, 0
    for value in sorted(everything):
        rank_of[value] = below + (everything[value] + 1) / 2
        below += everything[value]
    pairs = len(first) * len(last)
    higher = sum(rank_of[value] for value in last) - len(last) * (len(last) + 1) / 2
    ties = sum(times**3 - times for times in everything.values()) / (total * (total - 1))
    variance = pairs / 12 * (total + 1 - ties)
    if variance <= 0:  # all are the same
        return 1.0
    return 1 - NormalDist().cdf((higher - pairs / 2 - 0.5) / sqrt(variance))
