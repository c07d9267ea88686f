"""Searches the limit of something that is kept below it and not above: doubling, halving, and narrowing down."""

from collections import Counter
from math import sqrt

import attrs

#: Of a limit so many digits are told.
_DIGITS = 3
#: So many trials of a value are enough if they are alike.
_ENOUGH = 2


@attrs.frozen
class Search:
    """What was tried, and what is to be tried next.

    From `first` a value that is kept is doubled, and one that is not halved, until one is kept and another is not; then
    it is narrowed down, in equal ratios, until the ratio of these two is `precision` at most. At last each of the two
    is tried a second time, and where that contradicts the first, a third time: the majority counts, and the search goes
    on from there.
    """

    first: float
    lowest: float
    highest: float
    precision: float
    whole: bool = False  #: there are whole numbers only
    tried: tuple[tuple[float, bool], ...] = ()  #: each trial: the value, and whether it was kept

    def after(self, value: float, *, kept: bool) -> "Search":
        """Return what is known after one more trial."""
        return attrs.evolve(self, tried=(*self.tried, (value, kept)))

    @property
    def next(self) -> float | None:
        """What is to be tried next; None: the limit is known."""
        if not self.tried:
            return self.first
        undecided = [value for value, balance in self._balances.items() if not balance]
        if undecided:
            return undecided[0]
        kept, failed = self.kept, self.failed
        if failed is None:
            assert kept is not None  # noqa: S101  (what was tried is the one or the other)
            return None if kept >= self.highest else self._rounded(min(2 * kept, self.highest))
        if kept is None:
            return self._unsure(failed) if failed <= self.lowest else self._rounded(max(failed / 2, self.lowest))
        between = self._rounded(sqrt(kept * failed))
        if failed / kept > self.precision and kept < between < failed:
            return between
        return self._unsure(kept, failed)

    @property
    def kept(self) -> float | None:
        """The highest that is kept, below all that are not; None if there is none."""
        failed = self.failed
        kept = [value for value, balance in self._balances.items() if balance > 0]
        return max((value for value in kept if failed is None or value < failed), default=None)

    @property
    def failed(self) -> float | None:
        """The lowest that is not kept; None if there is none."""
        return min((value for value, balance in self._balances.items() if balance < 0), default=None)

    @property
    def _balances(self) -> Counter[float]:
        """How much more often each value was kept than not."""
        balances: Counter[float] = Counter()
        for value, kept in self.tried:
            balances[value] += 1 if kept else -1
        return balances

    def _unsure(self, *values: float) -> float | None:
        """Return one of these that was tried once only."""
        times = Counter(value for value, _kept in self.tried)
        return next((value for value in values if times[value] < _ENOUGH), None)

    def _rounded(self, value: float) -> float:
        return float(round(value)) if self.whole else float(f"{value:.{_DIGITS}g}")
