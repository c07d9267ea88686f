"""What else was going on when a request was lost: changes, backends that are gone, what the proxy said."""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

import attrs

from proxyreload.history.events import (
    BackendKilled,
    BackendLeaving,
    Change,
    Held,
    Phase,
    Said,
    StoodStill,
    WentAway,
)
from proxyreload.ledger.cause import Gone, Setting
from proxyreload.system.clock import NS_PER_S

#: Each says of all connections that there are: of what is not settled yet, the latest is enough.
_LOOKS_KEPT = 16
#: Likewise: of the longest exchange there are none older, unless this host is of no use at all.
_STALLS_KEPT = 1000
#: As many lines as a proxy says in many times as long as a loss waits to be settled: a hundred a second at most.
_LINES_KEPT = 2000
#: Of all HTTP/2 connections there are, each tells two in a reload.
_PARTINGS_KEPT = 1000
#: Thousands may be lost in a second: of the lines before, and after, no more are looked at for each.
_LINES_NEAR = 20
#: What it said so long before a request was sent, or after it was lost, may be about that.
_NEAR_NS = NS_PER_S


@attrs.define
class _Window:
    """One change."""

    number: int
    requested_ns: int
    applied_ns: int = 0


@attrs.define(eq=False)
class Surroundings:
    """The changes in the order of their requests, and who is gone at each moment."""

    _windows: list[_Window] = attrs.field(factory=list)
    _removed_ns: dict[str, int] = attrs.field(factory=dict)
    _gone: dict[str, list[Gone]] = attrs.field(factory=dict)
    _held: deque[Held] = attrs.field(factory=lambda: deque(maxlen=_LOOKS_KEPT))
    _stood: deque[StoodStill] = attrs.field(factory=lambda: deque(maxlen=_STALLS_KEPT))
    _said: list[Said] = attrs.field(factory=list)  # in their order
    _partings: deque[WentAway] = attrs.field(factory=lambda: deque(maxlen=_PARTINGS_KEPT))
    _back_ns: dict[str, list[int]] = attrs.field(factory=dict)  # when one was added again

    def changed(self, events: Sequence[Change]) -> None:
        """Note how far a change has come."""
        for event in events:
            if event.phase is Phase.REQUESTED:
                self._windows.append(_Window(event.number, event.at_ns))
                if event.action == "add":
                    self._removed_ns.pop(event.instance, None)
                    self._back_ns.setdefault(event.instance, []).append(event.at_ns)
            elif event.phase is Phase.APPLIED and self._windows:
                self._windows[-1].applied_ns = event.at_ns
                if event.action == "remove":
                    self._removed_ns[event.instance] = event.at_ns

    def held(self, events: Sequence[Held]) -> None:
        """Note who holds the clients' connections."""
        self._held += events

    def stood(self, events: Sequence[StoodStill]) -> None:
        """Note when the instrument itself stood still."""
        self._stood += events

    def stood_ns(self, since_ns: int, until_ns: int) -> int:
        """Return for how long of a stretch the instrument itself stood still."""
        stood_ns = 0
        for each in reversed(self._stood):
            if each.at_ns <= since_ns:
                break
            stood_ns += max(0, min(each.at_ns, until_ns) - max(each.since_ns, since_ns))
        return stood_ns

    def generation(self, front_port: int, opened_ns: int, ended_ns: int) -> tuple[int, int] | None:
        """Return the generation that held a connection when that was last looked at, and the newest by its end.

        None where nobody has looked since it was opened.
        """
        looks = [held for held in self._held if opened_ns <= held.at_ns <= ended_ns]
        seen = [held.generations[front_port] for held in looks if front_port in held.generations]
        return (seen[-1], looks[-1].newest) if seen and opened_ns else None

    def said(self, events: Sequence[Said]) -> None:
        """Note what the proxy has said."""
        self._said += events
        if len(self._said) > 2 * _LINES_KEPT:
            del self._said[:-_LINES_KEPT]

    def said_around(self, sent_ns: int, ended_ns: int) -> list[Said]:
        """Return what it said from a second before one moment to a second after the other, the nearest to that one."""
        first, ended, last = (
            bisect_right(self._said, at_ns, key=lambda said: said.at_ns)
            for at_ns in (sent_ns - _NEAR_NS - 1, ended_ns, ended_ns + _NEAR_NS)
        )
        return self._said[max(first, ended - _LINES_NEAR) : min(last, ended + _LINES_NEAR)]

    def went_away(self, events: Sequence[WentAway]) -> None:
        """Note each GOAWAY, of the latest so many."""
        self._partings += events

    def partings(self, client: int, connection: int, ended_ns: int) -> list[WentAway]:
        """Return those on a connection of a client's by a moment, in the order of time."""
        return [
            each
            for each in self._partings
            if each.client == client and each.connection == connection and each.at_ns <= ended_ns
        ]

    def left(self, events: Sequence[BackendLeaving | BackendKilled]) -> None:
        """Note that a backend is gone."""
        for event in events:
            removed_ns = self._removed_ns.get(event.instance, 0)
            gone = Gone(event.instance, removed_ns, event.at_ns, killed=isinstance(event, BackendKilled))
            self._gone.setdefault(event.instance, []).append(gone)

    def at(self, charged_ns: int, ended_ns: int) -> tuple[int, int, Setting]:
        """Return the change that a moment is charged to, its number and when it was requested, and what was going on.

        Both are 0 before the first; who was gone is told of the end.
        """
        index = bisect_right(self._windows, charged_ns, key=lambda window: window.requested_ns)
        gone = {instance: there for instance in self._gone if (there := self._gone_at(instance, ended_ns)) is not None}
        if not index:
            return 0, 0, Setting(gone=gone)
        window = self._windows[index - 1]
        return window.number, window.requested_ns, Setting(window.requested_ns, window.applied_ns, gone)

    def _gone_at(self, instance: str, at_ns: int) -> Gone | None:
        """Return since when it was gone then, None if it was there."""
        before = [gone for gone in self._gone[instance] if gone.gone_ns <= at_ns]
        if not before:
            return None
        back_ns = self._back_ns.get(instance, ())
        return None if any(before[-1].gone_ns < each <= at_ns for each in back_ns) else before[-1]
