"""For how long a change kept clients from being served, and how many of them connected again at once."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import sub

import attrs

from proxyreload.history.events import Exchange
from proxyreload.system.clock import NS_PER_MS, NS_PER_S, NS_PER_US

#: Connections are counted in slices of so much, in the first minute of a window; so many slices are 100 ms.
SLICE_NS, SLICES, LOOKED_AT_NS = 10 * NS_PER_MS, 10, 60 * NS_PER_S


@attrs.define
class Outage:
    """Failures one after another: from when the first was sent until the last of them ended, the longest."""

    longest_ns: int = 0
    _since_ns: int = 0

    @property
    def goes_on(self) -> bool:
        """Whether no success has ended it."""
        return bool(self._since_ns)

    def failed(self, exchange: Exchange) -> None:
        """Go on, or begin."""
        if not self._since_ns:
            self._since_ns = exchange.sent_ns
        self.longest_ns = max(self.longest_ns, exchange.ended_ns - self._since_ns)

    def succeeded(self, exchange: Exchange) -> None:
        """End with a success, of what was sent since it began."""
        if self._since_ns and exchange.sent_ns >= self._since_ns:
            self._since_ns = 0


@attrs.define
class KindDisruption:
    """What one kind of traffic met."""

    served_ns: int  #: when the last success ended, or the window began
    silent_ns: int = 0  #: the longest time without a success, as far as something came to an end
    new: Outage = attrs.field(factory=Outage)  #: of what is sent first over a connection, or would be
    reused: Outage = attrs.field(factory=Outage)

    @property
    def disrupted(self) -> bool:
        """Whether something has failed."""
        return bool(self.new.longest_ns or self.reused.longest_ns)

    @property
    def fails(self) -> bool:
        """Whether something has failed, without a success since."""
        return self.new.goes_on or self.reused.goes_on

    def served(self, ended_ns: Sequence[int]) -> None:
        """Note successes, by when each of them ended."""
        longest_ns = max(map(sub, ended_ns[1:], ended_ns), default=0)
        self.silent_ns = max(self.silent_ns, ended_ns[0] - self.served_ns, longest_ns)
        self.served_ns = ended_ns[-1]

    def ended(self, exchange: Exchange) -> None:
        """Note one, whatever it came to; what was turned away says nothing."""
        if exchange.turned_away:
            return
        self.silent_ns = max(self.silent_ns, exchange.ended_ns - self.served_ns)
        outage = self.reused if exchange.carried else self.new
        if exchange.failure:
            outage.failed(exchange)
        else:
            self.served_ns = exchange.ended_ns
            outage.succeeded(exchange)

    def as_run(self) -> dict[str, int]:
        """Return it as it stands in ``run.json``."""
        return {
            "without_success_us": self.silent_ns // NS_PER_US,
            "new_us": self.new.longest_ns // NS_PER_US,
            "reused_us": self.reused.longest_ns // NS_PER_US,
        }


@attrs.define
class Disruption:
    """What the window of a change, or the time before the first, brought to each kind."""

    since_ns: int
    kinds: dict[str, KindDisruption] = attrs.field(factory=dict)
    _opened: Counter[int] = attrs.field(factory=Counter)  # connections, by slice

    @property
    def storm(self) -> int:
        """How many connections were opened in the busiest tenth of a second, to ten milliseconds."""
        opened = self._opened
        return max((sum(opened[first + each] for each in range(SLICES)) for first in tuple(opened)), default=0)

    def ended(self, exchanges: Sequence[Exchange], kinds: Mapping[str, int], failed: Sequence[Exchange]) -> None:
        """Note a batch in the order of its ends; `kinds` and `failed`: how many of each there are, and which failed."""
        most = max(kinds, key=lambda kind: kinds[kind])
        told = self._of(most)
        if failed or told.fails:
            for exchange in exchanges:
                self._of(exchange.kind).ended(exchange)
            return
        # Nearly always there are successes alone, and nearly all of one kind.
        if len(kinds) == 1:
            told.served([each.ended_ns for each in exchanges])
            return
        told.served([each.ended_ns for each in exchanges if each.kind == most])
        for exchange in [each for each in exchanges if each.kind != most]:
            self._of(exchange.kind).ended(exchange)

    def opened(self, opened_ns: Iterable[int]) -> None:
        """Count connections that clients have opened."""
        for at_ns in opened_ns:
            if 0 <= at_ns - self.since_ns < LOOKED_AT_NS:
                self._opened[(at_ns - self.since_ns) // SLICE_NS] += 1

    def as_run(self) -> dict[str, object]:
        """Return it as it stands in ``run.json``."""
        return {
            "kinds": {kind: told.as_run() for kind, told in self.kinds.items()},
            "connections_opened_100ms": self.storm,
        }

    def _of(self, kind: str) -> KindDisruption:
        told = self.kinds.get(kind)
        if told is None:
            told = self.kinds[kind] = KindDisruption(self.since_ns)
        return told
