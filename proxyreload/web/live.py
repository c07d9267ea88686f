"""What the page shows of a run, gathered on the bus and cut into slices of time."""

import json
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from proxyreload.history.bus import EventBus
from proxyreload.history.events import (
    BackendKilled,
    BackendLeaving,
    Broken,
    Change,
    ConnectionChanged,
    Drained,
    Ended,
    Exchange,
    FrontClosed,
    LeftUndone,
    Phase,
    RateChanged,
    ReporterFailed,
    Started,
)
from proxyreload.system.clock import NS_PER_US, ClockNs, seconds
from proxyreload.system.untrusted import printable
from proxyreload.verdict.counts import Counts
from proxyreload.verdict.judgement import by_class
from proxyreload.verdict.tally import kinds_of
from proxyreload.web.back import BackConnections
from proxyreload.web.lanes import STRIPS_AT_MOST
from proxyreload.web.slices import SLICE_S, Slice
from proxyreload.web.stretches import Strips

#: Ten minutes.
_SLICES_KEPT = 2400
_LOSSES_KEPT = 200
_CHANGES_KEPT = 500
_ENDS_AT_MOST, _ENDS_KEPT = 100, 1000


def encode(value: object) -> bytes:
    """Return JSON in one line."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


@attrs.define(eq=False)
class Live:
    """One run as the page shows it, in bounded memory."""

    clock_ns: ClockNs
    counts: Counts
    sliced: Callable[[Slice, bytes], None]  #: takes each slice that is over, and how it is sent
    changed: Callable[[], None]  #: called when something happened that is no matter of slices
    behind: set[str] = attrs.field(factory=set)  #: the backends behind the proxy, as far as was told
    rate_per_s: float | None = None
    notes: deque[str] = attrs.field(factory=lambda: deque(maxlen=20))  #: what broke
    started_ns: int = 0
    aimed: frozenset[str] = frozenset()  #: kinds that send when connections are being closed
    over: bool = False  #: every exchange has been recorded
    _slice: Slice = attrs.field(factory=Slice)
    drawn: Collection[int] = range(STRIPS_AT_MOST)  #: the clients whose connections are told
    _strips: Strips = attrs.field(init=False)
    _back: BackConnections = attrs.field(factory=BackConnections)
    _history: deque[bytes] = attrs.field(factory=lambda: deque(maxlen=_SLICES_KEPT))
    _losses: deque[dict[str, Any]] = attrs.field(factory=lambda: deque(maxlen=_LOSSES_KEPT))
    _ends: deque[list[Any]] = attrs.field(factory=lambda: deque(maxlen=_ENDS_KEPT))
    _changes: deque[dict[str, Any]] = attrs.field(factory=lambda: deque(maxlen=_CHANGES_KEPT))
    _instances: set[str] = attrs.field(factory=set)
    _last_s: float = 0.0
    _ticking: LoopingCall | None = None

    def __attrs_post_init__(self) -> None:
        """Know whose connections are told."""
        self._strips = Strips(self.drawn)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the clients started."""
        return seconds(self.clock_ns() - self.started_ns) if self.started_ns else 0.0

    @property
    def connections(self) -> int:
        """How many connections the clients have."""
        return self._strips.connections

    @property
    def losses(self) -> list[dict[str, Any]]:
        """The last failures."""
        return list(self._losses)

    def subscribe(self, bus: EventBus) -> None:
        """Gather what `bus` brings."""
        name = "live page"
        bus.subscribe(Exchange, self.exchanged, name)
        bus.subscribe(ConnectionChanged, self.connection_changed, name)
        bus.subscribe(FrontClosed, self.front_closed, name)
        bus.subscribe(Change, self.change, name)
        bus.subscribe(Drained, self.drained, name)
        bus.subscribe(LeftUndone, self.undone, name)
        bus.subscribe(BackendKilled, self.killed, name)
        bus.subscribe(BackendLeaving, self.leaving, name)
        bus.subscribe(RateChanged, self.rate_changed, name)
        bus.subscribe(Broken, self.broke, name)
        bus.subscribe(ReporterFailed, self.broke, name)
        bus.subscribe(Started, self.started, name)
        bus.subscribe(Ended, self.ended, name)

    def start(self, reactor: IReactorTime) -> None:
        """Cut a slice now and then."""
        self._ticking = LoopingCall(self.cut)
        self._ticking.clock = reactor
        self._ticking.start(SLICE_S, now=False)

    def stop(self) -> None:
        """Cut the last slice; more often than once is no matter."""
        if self._ticking is not None and self._ticking.running:
            self._ticking.stop()
        self.cut()

    def history(self) -> bytes:
        """Return all that is kept, as it is sent."""
        rest = {
            "segments": self._strips.history(),
            "back": self._back.history(self.started_ns),
            "ends": list(self._ends),
            "losses": self.losses,
            "changes": list(self._changes),
        }
        return b'{"slices":[' + b",".join(self._history) + b"]," + encode(rest)[1:]

    # The bus.

    def started(self, events: Sequence[Started]) -> None:
        """Note the zero of all times."""
        self.started_ns, self.aimed = events[0].at_ns, events[0].aimed
        self.changed()

    def ended(self, events: Sequence[Ended]) -> None:  # noqa: ARG002
        """Cut the last slice: what closes from here on is the run's own doing."""
        self._back.over = True
        self.stop()
        self.over = True
        self.changed()

    def exchanged(self, exchanges: Sequence[Exchange]) -> None:
        """Take a batch."""
        current = self._slice
        current.answers.update([each.instance for each in exchanges])
        current.sent.update(kinds_of(exchanges))
        current.latencies_us += [
            (each.ended_ns - each.due_ns) // NS_PER_US
            for each in exchanges
            if each.plain and not each.failure and not each.probe
        ]
        self._strips.carried(exchanges)
        self._back.carried(exchanges)
        for each in exchanges:
            if each.lost:
                self._lost(each)

    def connection_changed(self, events: Sequence[ConnectionChanged]) -> None:
        """Count changed connections."""
        for event in events:
            self._slice.front_changed += event.front
            self._slice.back_changed += event.back
        self._back.changed(events)

    def front_closed(self, events: Sequence[FrontClosed]) -> None:
        """Note the end of a client's connection."""
        for event in events:
            if not event.probe:
                at_s = self._since_start(event.closed_ns)
                self._slice.closed[event.kind, event.ending.value] += 1
                self._strips.lost(event.client, event.connection, at_s)
                if event.client in self._strips.drawn and len(self._slice.ends) < _ENDS_AT_MOST:
                    self._slice.ends.append([event.client, at_s, event.how])

    def change(self, events: Sequence[Change]) -> None:
        """Note how far a change has come."""
        for event in events:
            at_s = self._since_start(event.at_ns)
            told = {"number": event.number, "name": event.name, "phase": event.phase.value, "at_s": at_s}
            self._changes.append(told)
            self._slice.changes.append(told)
            if event.phase is Phase.APPLIED:
                self._strips.restart(at_s)
                if event.action == "add":
                    self.behind.add(event.instance)
                elif event.action == "remove":
                    self.behind.discard(event.instance)
        self.changed()

    def drained(self, events: Sequence[Drained]) -> None:
        """Note at which removed backend nothing is left."""
        self.notes.extend(f"change {event.number}, {event.name}: drained ({by_class(event.kinds)})" for event in events)
        self.changed()

    def undone(self, events: Sequence[LeftUndone]) -> None:
        """Note what could not be done after a change."""
        self.notes.extend(f"left undone: {event.what}: {event.reason}" for event in events)
        self.changed()

    def killed(self, events: Sequence[BackendKilled]) -> None:
        """Note which backend is gone."""
        self.notes.extend(f"backend {event.instance} killed" for event in events)
        self.changed()

    def leaving(self, events: Sequence[BackendLeaving]) -> None:
        """Note which backend leaves."""
        self.notes.extend(f"backend {event.instance} leaves" for event in events)
        self.changed()

    def rate_changed(self, events: Sequence[RateChanged]) -> None:
        """Note the new rate."""
        self.rate_per_s = events[-1].rate_per_s
        self.changed()

    def broke(self, events: Sequence[Broken] | Sequence[ReporterFailed]) -> None:
        """Note why the run is not valid, or which reporter is gone."""
        self.notes.extend(event.reason for event in events)
        self.changed()

    def cut(self) -> None:
        """End the slice, and begin the next."""
        if not self.started_ns or self.over:
            return
        over, self._slice = self._slice, Slice()
        over.close(self._instances)
        self._last_s = round(self.elapsed_s, 6)
        over.segments = self._strips.slice(self._last_s)
        over.back = self._back.slice(self.clock_ns(), self.started_ns)
        counts = self.counts
        counted = [counts.total, counts.success, counts.failure, counts.front_changed, counts.back_changed]
        figures = {
            "at_s": self._last_s,
            "counts": counted,
            **over.figures(),
            "back_connections": self._back.total,
        }
        self._history.append(encode(figures))
        self._ends.extend(over.ends)
        self.sliced(over, encode({**figures, **over.lists()}))

    def _lost(self, lost: Exchange) -> None:
        current = self._slice
        current.lost[lost.kind, lost.failure] += 1
        aimed = lost.kind in self.aimed
        # A volley leaves room for what others lose with it.
        if current.room_for(aimed=aimed):
            told = {
                "at_s": self._since_start(lost.ended_ns),
                "client": lost.client,
                "kind": lost.kind,
                "aimed": aimed,
                "failure": lost.failure,
                "message": printable(lost.message),
                "backend": lost.instance,
                "front_port": lost.front_port,
            }
            current.losses.append(told)
            self._losses.append(told)

    def _since_start(self, at_ns: int) -> float:
        return round(seconds(at_ns - self.started_ns), 6) if self.started_ns else 0.0
