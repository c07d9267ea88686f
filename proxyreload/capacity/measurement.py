"""Searches the pace that a mechanism keeps, and then how many backends."""

from collections.abc import Callable

import attrs

from proxyreload.bisection.interfaces import Stopped
from proxyreload.capacity.interfaces import IPacer
from proxyreload.capacity.pacetest import Sign
from proxyreload.capacity.search import Search
from proxyreload.capacity.step import Step
from proxyreload.errors import CannotError, ProxyreloadError

#: That any answer in the search of one mechanism is wrong, at most.
ERROR = 0.05
ENDED = "it was ended before"


@attrs.define
class Capacity:
    """What is known of one mechanism."""

    name: str
    search: Search
    steps: list[Step] = attrs.field(factory=list)  #: in the order in which they were made
    grown: list[Step] = attrs.field(factory=list)  #: likewise, of those with more and more backends
    proxy_version: str = ""
    why: str = ""  #: it did not come to an end
    cannot: bool = False  #: for the mechanism cannot do what is asked

    @property
    def kept(self) -> Step | None:
        """The highest pace that is kept; None if there is none."""
        return self._latest(self.search.kept)

    @property
    def beyond(self) -> Step | None:
        """The lowest pace that is not kept; None if there is none."""
        return self._latest(self.search.failed)

    @property
    def known(self) -> bool:
        """Whether it came to a figure: what it keeps, or that it keeps nothing."""
        return not self.why and self.search.next is None

    @property
    def at_least(self) -> bool:
        """Whether it might take more: no higher pace was tried, or the instrument could not make changes at it."""
        return self.beyond is None or Sign.OURS in self.beyond.signs

    def _latest(self, rate_per_s: float | None) -> Step | None:
        """Return the latest step at a pace that came to what the majority of them did."""
        kept = rate_per_s == self.search.kept
        for step in reversed(self.steps):
            if step.rate_per_s == rate_per_s and step.kept is kept:
                return step
        return None


@attrs.define(eq=False)
class Measurement:
    """One mechanism's search, with so many steps at most for the pace, and as many for the backends."""

    pacer: IPacer
    capacity: Capacity
    backends: int
    steps_at_most: int
    grow_to: int = 0  #: search how many backends it keeps half of that pace with, up to so many; 0: do not
    precision: float = 2.0  #: in which that number is told
    tell: Callable[[Step], None] = lambda _step: None

    async def execute(self) -> None:
        """Search; what is found is in `capacity`, however it ends. Raises `Stopped` if no more is to be tried."""
        capacity = self.capacity
        try:
            await self._paces()
            if self.grow_to and capacity.kept is not None and not capacity.why:
                await self._grow(capacity.kept.rate_per_s / 2)
        except Stopped:
            capacity.why = ENDED
            raise
        except CannotError as error:
            capacity.why, capacity.cannot = str(error), True
        except ProxyreloadError as error:
            capacity.why = str(error)

    async def _paces(self) -> None:
        capacity = self.capacity
        while (rate_per_s := capacity.search.next) is not None:
            if len(capacity.steps) >= self.steps_at_most:
                capacity.why = f"its limit is not known after {self.steps_at_most} steps"
                return
            step = await self._step(rate_per_s, self.backends)
            capacity.steps.append(step)
            capacity.search = capacity.search.after(rate_per_s, kept=step.kept)

    async def _grow(self, rate_per_s: float) -> None:
        search = Search(self.backends, self.backends, max(self.grow_to, self.backends), self.precision, whole=True)
        grown = self.capacity.grown
        while (backends := search.next) is not None and len(grown) < self.steps_at_most:
            step = await self._step(rate_per_s, int(backends))
            grown.append(step)
            search = search.after(backends, kept=step.kept)

    async def _step(self, rate_per_s: float, backends: int) -> Step:
        step = await self.pacer.step(rate_per_s, backends)
        self.capacity.proxy_version = step.trials[-1].proxy_version if step.trials else ""
        self.tell(step)
        return step
