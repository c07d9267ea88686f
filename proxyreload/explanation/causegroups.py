"""The losses of a run by their causes, the most frequent first, with an example of each."""

from collections import Counter
from collections.abc import Collection, Iterable

import attrs

from proxyreload.errors import UsageError
from proxyreload.record.lossrows import LossRow

#: More than there are; a file that has more is none of ours.
_CAUSES_AT_MOST, _SHAPES_AT_MOST, _CHANGES_AT_MOST = 100, 5000, 100_000

#: Kind, fate and failure.
_Shape = tuple[str, str, str]


@attrs.define
class CauseGroup:
    """All that were lost by one cause."""

    cause: str
    number: int = 0
    changes: Counter[int] = attrs.field(factory=Counter)  #: by number, 0: none
    _shapes: Counter[_Shape] = attrs.field(factory=Counter)
    _told: dict[_Shape, LossRow] = attrs.field(factory=dict)

    def add(self, loss: LossRow) -> None:
        """Take one more."""
        self.number += 1
        self.changes[loss.change or 0] += 1
        shape = loss.kind, loss.fate, loss.failure
        self._shapes[shape] += 1
        told = self._told.setdefault(shape, loss)
        if _telling(loss) > _telling(told):
            self._told[shape] = loss

    @property
    def endless(self) -> bool:
        """Whether it is of more sorts than there are."""
        return len(self._shapes) > _SHAPES_AT_MOST or len(self.changes) > _CHANGES_AT_MOST

    @property
    def kinds(self) -> Counter[str]:
        """How many of each kind of traffic."""
        return self._by(0)

    @property
    def fates(self) -> Counter[str]:
        """How many of each fate."""
        return self._by(1)

    def example(self, aimed: Collection[str]) -> LossRow:
        """Return the one, of those that are most alike, that tells most.

        One of what was `aimed` only where there are no others.
        """
        shapes = [shape for shape in self._shapes if shape[0] not in aimed] or list(self._shapes)
        return self._told[max(shapes, key=lambda shape: self._shapes[shape])]

    def _by(self, place: int) -> Counter[str]:
        counts: Counter[str] = Counter()
        for shape, number in self._shapes.items():
            counts[shape[place]] += number
        return counts


def _telling(loss: LossRow) -> tuple[bool, int]:
    """Return how much it tells: of a known process more than of others, and more after a longer rest."""
    return bool(loss.generation), loss.rested_us or 0


@attrs.define
class Losses:
    """All of a run's."""

    groups: list[CauseGroup]
    total: int = 0
    failed: int = 0  #: as their clients saw it; the others were turned away, or carried out other than once


def grouped(losses: Iterable[LossRow], file: str) -> Losses:
    """Group them; raises `UsageError`, in the name of `file`, where they are of more sorts than there are."""
    groups: dict[str, CauseGroup] = {}
    told = Losses([])
    for loss in losses:
        group = groups.setdefault(loss.cause, CauseGroup(loss.cause))
        group.add(loss)
        if len(groups) > _CAUSES_AT_MOST or group.endless:
            msg = f"{file}: more causes, kinds, fates, failures and changes than there are"
            raise UsageError(msg)
        told.total += 1
        told.failed += loss.lost
    told.groups = sorted(groups.values(), key=lambda group: -group.number)
    return told
