"""The proxy's connections to the backends over time, as their answers show them."""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import attrs

from proxyreload.history.events import ConnectionChanged, Exchange
from proxyreload.system.clock import NS_PER_S, seconds
from proxyreload.verdict.counts import SeenConnections

#: Connections that are kept, those that were silent longest go first, and that are told at once.
KEPT = 600
_TOLD_AT_MOST = 300
#: One that has not answered for so long is drawn to its last answer.
SILENT_NS = NS_PER_S

_Key = tuple[str, int]


@attrs.define(eq=False)
class BackConnection:
    """One connection from its first answer to its last."""

    number: int
    instance: str
    port: int
    first_ns: int
    last_ns: int
    goes_on: bool = True
    carries: bool = False  #: more than the probe's requests
    changed: bool = False  #: counted in ``back changed``


@attrs.define(eq=False)
class BackConnections:
    """The latest connections to the backends."""

    total: int = 0  #: that have carried a client's answer, kept or not
    over: bool = False  #: none will answer any more
    _numbers: "count[int]" = attrs.field(factory=count)
    _kept: dict[_Key, BackConnection] = attrs.field(factory=dict)
    _answered: dict[tuple[str, int, bool], int] = attrs.field(factory=dict)  # when last, since the last slice
    _met: set[tuple[str, int, bool]] = attrs.field(factory=set)  # those kept, by whose answers they carried
    _seen: SeenConnections = attrs.field(factory=SeenConnections)
    _told: dict[int, BackConnection] = attrs.field(factory=dict)  # to be told, by number

    def carried(self, exchanges: Sequence[Exchange]) -> None:
        """Note who answered over which connection."""
        answered = {(each.instance, each.back_port, each.probe): each.ended_ns for each in exchanges if each.back_port}
        self._answered.update(answered)
        if not answered.keys() <= self._met:
            for each in exchanges:
                if each.back_port and each.instance:
                    self._meet(each)

    def changed(self, events: Iterable[ConnectionChanged]) -> None:
        """Mark those that count in ``back changed``."""
        for event in events:
            known = self._kept.get((event.exchange.instance, event.exchange.back_port)) if event.back else None
            if known is not None:
                known.changed = True
                self._told[known.number] = known

    def slice(self, at_ns: int, started_ns: int) -> list[list[Any]]:
        """Return what is new since the last slice; this one ends at `at_ns`."""
        self._settle()
        self._drop()
        for known in self._kept.values():
            goes_on = not self.over and at_ns - known.last_ns < SILENT_NS
            if goes_on is not known.goes_on:
                known.goes_on = goes_on
                self._told[known.number] = known
        told, self._told = self._told, {}
        return [_as_json(known, started_ns) for known in told.values() if known.carries]

    def history(self, started_ns: int) -> list[list[Any]]:
        """Return all that is kept."""
        return [_as_json(known, started_ns) for known in self._kept.values() if known.carries]

    def _meet(self, exchange: Exchange) -> None:
        """Note a connection that is seen for the first time, or for the first time by a client."""
        met = (exchange.instance, exchange.back_port, exchange.probe)
        if met in self._met:
            return
        key = met[:2]
        known = self._kept.get(key)
        if not exchange.probe and self._seen.add(*key):
            self.total += 1
        if known is None:
            if len(self._told) >= _TOLD_AT_MOST:
                return
            known = BackConnection(next(self._numbers), *key, exchange.ended_ns, exchange.ended_ns)
            self._kept[key] = known
        self._met.add(met)
        if not exchange.probe:
            known.carries = True
            self._told[known.number] = known

    def _settle(self) -> None:
        """Note the latest answers."""
        answered, self._answered = self._answered, {}
        for (instance, port, _probe), ended_ns in answered.items():
            known = self._kept.get((instance, port))
            if known is not None and ended_ns > known.last_ns:
                known.last_ns = ended_ns

    def _drop(self) -> None:
        """Forget what there is no room for."""
        excess = len(self._kept) - KEPT
        if excess > 0:
            for key, known in sorted(self._kept.items(), key=lambda item: item[1].last_ns)[:excess]:
                known.goes_on = False
                self._told[known.number] = known
                del self._kept[key]
                self._met -= {(*key, False), (*key, True)}


def _as_json(known: BackConnection, started_ns: int) -> list[Any]:
    """Return number, backend, port, first answer, last answer and whether it counts in ``back changed``."""
    first_s, last_s = (round(seconds(at_ns - started_ns), 6) for at_ns in (known.first_ns, known.last_ns))
    return [known.number, known.instance, known.port, first_s, None if known.goes_on else last_s, known.changed]
