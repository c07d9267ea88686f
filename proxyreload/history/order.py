"""Puts what happened in the order of time, whoever tells it and when.

Every source (the clients here, a backend's process) delivers what it has seen, in any order, and says up to when it
has told everything: its watermark. What happened before the least watermark of all is complete, and is handed on in
the order of time; so an event is judged by when it happened, never by when it was delivered.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter, ge
from typing import Any, Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from proxyreload.history.events import (
    Arrival,
    BackClosed,
    BackendKilled,
    BackendLeaving,
    BaselineTaken,
    Broken,
    Change,
    Edited,
    Ended,
    EndedEarly,
    Event,
    Exchange,
    FarKept,
    FrontClosed,
    FrontSecured,
    Held,
    LeftUndone,
    OldGeneration,
    Paced,
    Phase,
    RateChanged,
    RecordLost,
    ReporterFailed,
    Said,
    ScheduleKept,
    Skipped,
    Spent,
    Stalled,
    Started,
    StoodStill,
    Stopping,
    Unproved,
    WentAway,
)
from proxyreload.system.clock import NS_PER_S, ClockNs

#: Nothing waits longer than this for what else happened meanwhile.
SETTLE_INTERVAL_S = 0.01
#: A source that has told nothing for so long is waited for no more; what it then tells of before that comes late.
LAG_LIMIT_NS = 5 * NS_PER_S
#: Later than anything that happens.
FOREVER_NS: Final = 1 << 62

#: The frequent topics, with when each happened, and what tells those of one moment apart. They are handed on in bulk:
#: as much at once as lies between two of the others.
_BULK: dict[type, tuple[Callable[[Any], int], Callable[[Any], Any]]] = {
    Exchange: (attrgetter("ended_ns"), attrgetter("ended_ns", "client", "number")),
    Arrival: (attrgetter("told_ns"), attrgetter("told_ns", "instance", "back_port", "carried", "request_id")),
    FrontSecured: (attrgetter("at_ns"), attrgetter("at_ns", "client", "connection")),
    FrontClosed: (attrgetter("closed_ns"), attrgetter("closed_ns", "client", "connection")),
    BackClosed: (attrgetter("closed_ns"), attrgetter("closed_ns", "instance", "back_port", "carried")),
    WentAway: (attrgetter("at_ns"), attrgetter("at_ns", "client", "connection", "last_stream")),
}
#: Stands for all other topics, which come one by one.
RARE: Final = object
#: They, of one moment in this order.
_SINGLE: tuple[type, ...] = (
    *(
        BaselineTaken,
        Started,
        RateChanged,
        StoodStill,
        Held,
        Spent,
        Paced,
        Said,
        Change,
        Edited,
        Unproved,
        LeftUndone,
        BackendKilled,
        BackendLeaving,
        RecordLost,
        Broken,
        ReporterFailed,
    ),
    *(OldGeneration, Skipped, EndedEarly, Stopping, Stalled, ScheduleKept, FarKept, Ended),
)
#: What is told of each request, and what is not.
_TRAFFIC = (Exchange, Arrival)
_RARER = (FrontSecured, FrontClosed, WentAway, BackClosed, RARE)
_RANK = {topic: rank for rank, topic in enumerate(_SINGLE)}
_PHASES = {phase: rank for rank, phase in enumerate(Phase)}


def when(event: Event) -> int:
    """Return when an event happened."""
    bulk = _BULK.get(type(event))
    happened_ns: int = bulk[0](event) if bulk is not None else event.at_ns  # type: ignore[union-attr]
    return happened_ns


def _order(event: Event) -> tuple[object, ...]:
    """Return by what events that come one by one are sorted: never by the order in which they were delivered."""
    change = (event.number, _PHASES[event.phase]) if isinstance(event, Change) else (0, 0)
    return (when(event), _RANK[type(event)], *change, repr(event))


@attrs.define(eq=False)
class Source:
    """One of those who tell. What it has told until ``until_ns`` is all that happened there before that."""

    name: str
    until_ns: int = 0
    _waiting: dict[type, list[Any]] = attrs.field(factory=lambda: {topic: [] for topic in (*_BULK, RARE)})
    exchanged: Callable[[Exchange], None] = attrs.field(init=False)  #: takes one exchange
    arrived: Callable[[Arrival], None] = attrs.field(init=False)  #: takes one arrival

    def __attrs_post_init__(self) -> None:
        """Take the most frequent events the shortest way."""
        self.exchanged = self._waiting[Exchange].append
        self.arrived = self._waiting[Arrival].append

    def publish(self, event: Event) -> None:
        """Take any other event."""
        self._waiting[type(event) if type(event) in _BULK else RARE].append(event)

    def waiting(self, topic: type) -> list[Any]:
        """Return those events of a topic that have not been handed on."""
        return self._waiting[topic]


@attrs.define(eq=False)
class History:
    """Collects what its sources tell and hands it on in order, as far as it is complete.

    ``late`` counts events that came when what happened after them had been handed on already: the order, and whatever
    is concluded from it, cannot be relied on then.
    """

    deliver: Callable[[type, Sequence[Any]], None]  #: takes the next events of one topic
    clock_ns: ClockNs
    late: int = attrs.field(default=0, init=False)
    here: Source = attrs.field(init=False)  #: this process, whose watermark is its clock
    _sources: list[Source] = attrs.field(factory=list, init=False)
    _settled_ns: int = attrs.field(default=0, init=False)
    _ticking: LoopingCall | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with this process."""
        self.here = self.source("here")

    def source(self, name: str, until_ns: int = 0) -> Source:
        """Add a source, which has nothing to tell of the time before `until_ns`."""
        source = Source(name, until_ns or self._settled_ns)
        self._sources.append(source)
        return source

    def remove(self, source: Source) -> None:
        """Wait for a source no more: it has told all."""
        self._sources.remove(source)
        for topic in (*_BULK, RARE):
            self.here.waiting(topic).extend(source.waiting(topic))

    def start(self, reactor: IReactorTime) -> None:
        """Hand on what is complete, at least every `SETTLE_INTERVAL_S`."""
        self._ticking = LoopingCall(self.settle)
        self._ticking.clock = reactor
        self._ticking.start(SETTLE_INTERVAL_S, now=False)

    def stop(self) -> None:
        """Hand on everything, and tick no more."""
        if self._ticking is not None and self._ticking.running:
            self._ticking.stop()
        self.hand_on(FOREVER_NS)

    def settle(self) -> None:
        """Hand on what is complete."""
        now_ns = self.here.until_ns = self.clock_ns()
        if len(self._sources) > 1:
            self.hand_on(max(now_ns - LAG_LIMIT_NS, min(source.until_ns for source in self._sources)))
        elif any(map(self.here.waiting, _RARER)):
            self.hand_on(now_ns)
        else:  # nearly always: nothing happened but traffic
            self._settled_ns, settled_ns = max(self._settled_ns, now_ns), self._settled_ns
            for topic in _TRAFFIC:
                events = self._taken(topic, now_ns, settled_ns)
                if events:
                    self.deliver(topic, events)

    def hand_on(self, until_ns: int) -> None:
        """Hand on all that happened before `until_ns`, in the order of time."""
        settled_ns = self._settled_ns
        bulk = [(topic, self._taken(topic, until_ns, settled_ns)) for topic in _BULK]
        single = self._taken(RARE, until_ns, settled_ns)
        self._settled_ns = max(self._settled_ns, until_ns if until_ns != FOREVER_NS else 0)
        begins = dict.fromkeys(_BULK, 0)
        for event in single:
            # What else happened at the very moment comes after it; but before the end, for that is the last of all.
            cut = bisect_right if isinstance(event, Ended) else bisect_left
            for topic, events in bulk:
                begin = begins[topic]
                end = begins[topic] = cut(events, when(event), begin, key=_BULK[topic][0]) if events else 0
                if end > begin:
                    self.deliver(topic, events[begin:end])
            self.deliver(type(event), [event])
        for topic, events in bulk:
            rest = events[begins[topic] :] if begins[topic] else events
            if rest:
                self.deliver(topic, rest)

    def _taken(self, topic: type, until_ns: int, settled_ns: int) -> list[Any]:
        """Take from all sources the events of a topic that happened before `until_ns`, sorted."""
        moment, order = _BULK.get(topic, (when, _order))
        taken: list[Any] = []
        for source in self._sources:
            waiting = source.waiting(topic)
            if waiting:
                taken += waiting
                waiting.clear()
        if not taken:
            return taken
        # Traffic by far outnumbers the rest: an attribute is read faster than a function, or a property, is called.
        if topic is Exchange:
            moments = [e.ended_ns for e in taken]
        elif topic is Arrival:
            moments = [a.given_up_ns or a.answered_ns or a.executed_ns or a.received_ns for a in taken]
        else:
            moments = [moment(event) for event in taken]
        if topic is RARE or any(map(ge, moments, moments[1:])):  # not in order, or two of one moment
            taken.sort(key=order)
            moments.sort()
        if moments[0] < settled_ns:
            self.late += bisect_left(moments, settled_ns)
        if moments[-1] >= until_ns:
            complete = bisect_left(moments, until_ns)
            self.here.waiting(topic).extend(taken[complete:])
            del taken[complete:]
        return taken
