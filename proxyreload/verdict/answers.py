"""Who answered how often, as far as changes are judged by that: who has come, who is silent, who drains."""

from collections import Counter
from collections.abc import Sequence

import attrs

from proxyreload.history.events import Exchange
from proxyreload.ledger.ledger import Ledger
from proxyreload.verdict.backends import bounded
from proxyreload.verdict.draining import Drains
from proxyreload.verdict.windows import ObservedChange

#: An instance's share of the answers is told from at least so many, from before the change before if need be.
SHARE_FROM = 100


@attrs.define
class Answers:
    """The answers by backend, of so many at most (`bounded`), and the latest change of each."""

    by_instance: Counter[str] = attrs.field(factory=Counter)
    total: int = 0
    drains: Drains = attrs.field(factory=Drains)
    _recent: Counter[str] = attrs.field(factory=Counter)  # since the last change
    _earlier: Counter[str] = attrs.field(factory=Counter)  # and before it, as far as shares are told from them
    _open: dict[str, ObservedChange] = attrs.field(factory=dict)  # each instance's latest change

    def requested(self, instance: str) -> float:
        """Begin to count anew, for a change is requested; returns the share that `instance` had."""
        before = self._open.get(instance)
        if before is not None:
            self._measure_silence(before)
        if self._recent.total() >= SHARE_FROM:
            self._earlier = Counter()
        self._earlier.update(self._recent)
        self._recent = Counter()
        answers = self._earlier.total()
        return self._earlier[instance] / answers if answers else 0.0

    def follow(self, change: ObservedChange) -> None:
        """Judge by this change what its instance answers from now on."""
        self._open[change.instance] = change

    def removed(self, change: ObservedChange, ledger: Ledger) -> None:
        """Take a removal for applied: it is shown by what is sent from here on, and the rest is a drain."""
        change.answers_mark = self.total
        change.drain = self.drains.applied(
            change.number, change.name, change.instance, change.applied_ns, ledger.kind_of, ledger.is_over
        )

    def look(self) -> None:
        """Measure how long each instance has been silent until now."""
        for change in self._open.values():
            self._measure_silence(change)

    def add(self, exchanges: Sequence[Exchange], oldest_ns: int) -> None:
        """Count a batch: each instance's total at once, and one by one only for those that were changed.

        Likewise where one of them had begun before a removal was applied: the first was written at `oldest_ns`.
        """
        batch = Counter([exchange.instance for exchange in exchanges])
        batch.pop("", None)
        batch = bounded(batch, self.by_instance.keys(), self._open.keys())
        self._recent.update(batch)
        self.by_instance.update(batch)
        removals = [change for change in self._open.values() if change.is_removed_after(oldest_ns)]
        if removals or not self._open.keys().isdisjoint(batch):
            answers, watched = self.total, self.drains.watched
            for exchange in exchanges:
                instance = exchange.instance
                if instance:
                    answers += 1
                    for change in removals:
                        change.passed(exchange)
                    if instance in watched and exchange.sent_ns <= watched[instance]:
                        self.drains.outcome(exchange)
                    if instance in self._open:
                        self._open[instance].answered(exchange, answers)
        self.total += batch.total()

    def _measure_silence(self, change: ObservedChange) -> None:
        change.silence = self.total - change.answers_mark - change.begun_before
