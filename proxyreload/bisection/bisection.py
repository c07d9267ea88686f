"""Halves a range of versions until two that are side by side differ."""

from collections.abc import Callable, Sequence
from math import ceil, log2

import attrs

from proxyreload.bisection.interfaces import ITrier
from proxyreload.bisection.sequential import Decision, SequentialTest
from proxyreload.errors import ProxyreloadError, RefusedError, StartError

#: That any decision of a whole bisection is wrong.
ERROR = 0.01
#: A version of which so many changes decide nothing is passed over.
MOST = 2000


@attrs.frozen
class Step:
    """One version that was tried."""

    version: str
    test: SequentialTest
    why: str = ""  #: it came to no decision
    cannot: bool = False  #: for that version does not know what the mechanism is run from

    @property
    def decision(self) -> Decision | None:
        """What it came to."""
        return None if self.why else self.test.decision


@attrs.frozen
class Found:
    """Two versions, one good and one bad, and what is between them and could not be judged."""

    good: str
    bad: str
    between: Sequence[str] = ()


@attrs.define
class Bisection:
    """Versions from one that is said to be good to one that is said to be bad, whichever is older.

    Both are tried first. ``steps`` has each version that was tried, in that order.
    """

    versions: Sequence[str]
    trier: ITrier
    bad: float  #: the part of the changes that is hit in a bad version, at least
    most: int = MOST
    tell: Callable[[Step], None] = lambda _step: None
    steps: list[Step] = attrs.field(factory=list, init=False)
    trying: SequentialTest | None = attrs.field(default=None, init=False)  #: how far the step under way is

    @property
    def steps_at_most(self) -> int:
        """How many versions are tried, if each can be judged."""
        return 2 + ceil(log2(max(len(self.versions) - 1, 1)))

    async def execute(self) -> Found:
        """Find them; raises `StartError` if an end is not what it is said to be, or cannot be judged."""
        await self._require(0, Decision.GOOD)
        await self._require(len(self.versions) - 1, Decision.BAD)
        good, bad = 0, len(self.versions) - 1
        passed_over: set[int] = set()
        while there := [place for place in range(good + 1, bad) if place not in passed_over]:
            place = min(there, key=lambda each: abs(2 * each - good - bad))
            step = await self._step(place)
            if step.decision is Decision.GOOD:
                good = place
            elif step.decision is Decision.BAD:
                bad = place
            else:
                passed_over.add(place)
        return Found(self.versions[good], self.versions[bad], tuple(self.versions[good + 1 : bad]))

    async def _require(self, place: int, expected: Decision) -> None:
        step = await self._step(place)
        if step.decision is not expected:
            told = step.why or f"{step.test.hits} of {step.test.changes} changes were hit"
            msg = f"{step.version} is said to be {expected.value}, and is not found so: {told}"
            raise StartError(msg)

    async def _step(self, place: int) -> Step:
        version = self.versions[place]
        self.trying = SequentialTest(self.bad, ERROR / self.steps_at_most)
        why, cannot = "", False
        try:
            while self.trying.decision is None and not why:
                for hit in await self.trier.hits(version):
                    if self.trying.decision is None:
                        self.trying = self.trying.after(hit=hit)
                if self.trying.decision is None and self.trying.changes >= self.most:
                    why = f"undecided after {self.trying.changes} changes, of which {self.trying.hits} were hit"
        except RefusedError as error:
            why, cannot = error.reason, True
        except ProxyreloadError as error:
            why = str(error)
        step = Step(version, self.trying, why, cannot)
        self.steps.append(step)
        self.tell(step)
        return step
