"""What became of one kind of traffic, in a change's window or in the whole run."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import attrs

from proxyreload.history.events import Ending, Exchange
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate

#: What is always sent: by the clients that are asked for by number, and by the probe.
_ALWAYS = frozenset({"get", "fresh"})


@attrs.define
class Tally:
    """Counts of one kind."""

    exchanges: int = 0
    failures: dict[str, int] = attrs.field(factory=dict)  #: by class
    front: dict[Ending, int] = attrs.field(factory=dict)  #: front connections that the proxy closed
    fates: Counter[Fate] = attrs.field(factory=Counter)  #: of those that were lost, or carried out other than once
    causes: Counter[Cause] = attrs.field(factory=Counter)  #: of those that have a row in ``losses.csv``
    turned_away: int = 0  #: not processed, as the proxy has said
    denied: int = 0  #: of those, how many were carried out all the same
    unsafe: bool = False  #: whether nobody may repeat its requests by himself
    from_before: int = 0  #: carried out again in a change's window, and answered to who had written them before it

    @property
    def lost(self) -> int:
        """All failures."""
        return sum(self.failures.values())

    @property
    def repeated(self) -> int:
        """Requests that were carried out more than once."""
        return sum(number for fate, number in self.fates.items() if fate.twice)

    @property
    def made_up(self) -> int:
        """Requests that came to a backend, and that nobody had sent."""
        return self.fates[Fate.NEVER_SENT]

    @property
    def wrong(self) -> int:
        """What must not be, whatever the clients saw of it."""
        return self.made_up + self.denied + (self.repeated if self.unsafe else 0)

    def ledger(self) -> dict[str, int]:
        """Return how many requests had which fate, by its key in ``run.json``."""
        told = {fate.value: self.fates[fate] for fate in Fate}
        twice = self.fates[Fate.ANSWERED_TWICE] - self.from_before
        # Of one that was settled long ago nobody knows any more when it was written.
        told[Fate.ANSWERED_ONCE.value] = max(0, self.exchanges - self.lost - self.turned_away - twice)
        return told


@attrs.define
class Tallies:
    """One for each kind that was sent.

    What an ``aimed`` kind loses is proof that something can be lost, and makes a change lossy. It says nothing of how
    often that happens: it sends when connections are being closed, and at no other time. So rates are of the others.
    """

    by_kind: dict[str, Tally] = attrs.field(factory=dict)
    aimed: frozenset[str] = frozenset()
    unsafe: frozenset[str] = frozenset()

    @property
    def several(self) -> bool:
        """Whether there is more than what is always sent."""
        return not self.by_kind.keys() <= _ALWAYS

    @property
    def rated(self) -> Tally:
        """All kinds together but the aimed ones."""
        return _sum(tally for kind, tally in self.by_kind.items() if kind not in self.aimed)

    @property
    def proof(self) -> Tally | None:
        """The aimed kinds together; None if there is none."""
        aimed = [tally for kind, tally in self.by_kind.items() if kind in self.aimed]
        return _sum(aimed) if aimed else None

    @property
    def exchanges(self) -> int:
        """Of all kinds."""
        return sum(tally.exchanges for tally in self.by_kind.values())

    @property
    def failures(self) -> dict[str, int]:
        """Of all kinds, by class."""
        return _sum(self.by_kind.values()).failures

    def of(self, kind: str) -> Tally:
        """Return a kind's."""
        tally = self.by_kind.get(kind)
        if tally is None:
            tally = self.by_kind[kind] = Tally(unsafe=kind in self.unsafe)
        return tally

    def add(
        self,
        exchanges: Sequence[Exchange],
        kinds: Mapping[str, int] | None = None,
        failed: Sequence[Exchange] | None = None,
    ) -> None:
        """Count some exchanges; `kinds` and `failed`: how many of each there are, and which failed, if known."""
        for kind, number in (kinds_of(exchanges) if kinds is None else kinds).items():
            self.of(kind).exchanges += number
        for exchange in exchanges if failed is None else failed:
            if exchange.turned_away:
                self.of(exchange.kind).turned_away += 1
            elif exchange.failure:
                failures = self.of(exchange.kind).failures
                failures[exchange.failure] = failures.get(exchange.failure, 0) + 1

    def closed(self, kind: str, ending: Ending) -> None:
        """Count a front connection that the proxy closed."""
        front = self.of(kind).front
        front[ending] = front.get(ending, 0) + 1


def _sum(tallies: Iterable[Tally]) -> Tally:
    """Return what they lost together, and of how many."""
    exchanges = 0
    failures: Counter[str] = Counter()
    for tally in tallies:
        exchanges += tally.exchanges
        failures.update(tally.failures)
    return Tally(exchanges, dict(failures))


def kinds_of(exchanges: Sequence[Exchange]) -> Mapping[str, int]:
    """Return how many exchanges there are of each kind, which nearly always is one."""
    kinds = [exchange.kind for exchange in exchanges]
    number = len(kinds)
    return {kinds[0]: number} if number and kinds.count(kinds[0]) == number else Counter(kinds)
