"""The generations of the proxy's processes: since when, until when, and whose connections lived on with an old one."""

from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from proxyreload.history.events import Held, Holding

#: Of so many connections, of all generations together, it is kept who held them.
CONNECTIONS_KEPT = 5_000
#: As often it is kept who was on an old generation: only what is another than the time before.
LOOKS_KEPT = 100


@attrs.define
class Generation:
    """The proxy's processes between two reloads or upgrades."""

    number: int
    since_ns: int
    change: int = 0  #: the number of the change that began it; 0: they were started
    replaced_ns: int = 0  #: when the next one was there, 0 if there was none
    until_ns: int = 0  #: when it was first seen to be gone, 0 if it lived when the run ended
    on_it: list[tuple[int, Counter[str]]] = attrs.field(factory=list)  #: once replaced: when, and whose of which kind
    connections: list[Holding] = attrs.field(factory=list)  #: that it was seen to hold

    @property
    def lived_on_ns(self) -> int | None:
        """How long it lived beside the next one; None if it was not replaced, or lived when the run ended."""
        return max(0, self.until_ns - self.replaced_ns) if self.replaced_ns and self.until_ns else None

    def still_on_it(self, at_ns: int, kinds: Counter[str]) -> None:
        """Note who is on it, though there is a newer one."""
        if (not self.on_it or self.on_it[-1][1] != kinds) and len(self.on_it) < LOOKS_KEPT:
            self.on_it.append((at_ns, kinds))


@attrs.define
class Generations:
    """All of them, in the order of their beginning."""

    all: list[Generation] = attrs.field(factory=list)
    _known: dict[Holding, int] = attrs.field(factory=dict)

    def held(self, events: Sequence[Held], started_ns: int, change: int, kind_of: Callable[[int], str]) -> None:
        """Note who holds what; `change` is the latest that was requested, `kind_of` tells a client's kind."""
        for event in events:
            while len(self.all) <= event.newest:
                number = len(self.all)
                self.all.append(Generation(number, event.at_ns if number else started_ns, change if number else 0))
                if number:
                    self.all[number - 1].replaced_ns = event.at_ns
            if event.living is not None:
                for generation in self.all[: event.newest + 1]:  # of a later one a look that took long knows nothing
                    if generation.number not in event.living and not generation.until_ns:
                        generation.until_ns = event.at_ns
            self._note_holders(event, kind_of)

    def _note_holders(self, event: Held, kind_of: Callable[[int], str]) -> None:
        kinds: dict[int, Counter[str]] = {}
        for port, number in event.generations.items():
            holding = event.whose.get(port)
            if holding is None or number >= len(self.all):
                continue
            kinds.setdefault(number, Counter())[kind_of(holding.client)] += 1
            if holding not in self._known and len(self._known) < CONNECTIONS_KEPT:
                self._known[holding] = number
                self.all[number].connections.append(holding)
        if not event.whose:
            return
        for generation in self.all:
            if generation.replaced_ns and (generation.number in kinds or generation.on_it):
                generation.still_on_it(event.at_ns, kinds.get(generation.number, Counter()))
