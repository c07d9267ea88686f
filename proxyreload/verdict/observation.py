"""What the traffic shows of each change, gathered while the run goes on."""

from collections import Counter
from collections.abc import Sequence

import attrs

from proxyreload.client.load import Punctuality
from proxyreload.history.bus import EventBus
from proxyreload.history.events import (
    Arrival,
    BackClosed,
    Broken,
    Change,
    Ended,
    Ending,
    Exchange,
    FrontClosed,
    Phase,
    RateChanged,
    Started,
    change_name,
)
from proxyreload.system.clock import NS_PER_S, NS_PER_US
from proxyreload.verdict.baseline import Floor
from proxyreload.verdict.counts import Counts
from proxyreload.verdict.latency import Latency
from proxyreload.verdict.repetition import Repetition, repetition

#: A change's surroundings end so long after it was applied.
SETTLE_NS = 1 * NS_PER_S

#: An instance's share of the answers is told from at least so many, from before the change before if need be.
SHARE_FROM = 100

#: What this subscriber is called, should it fail.
NAME = "verdict"


@attrs.define
class LatencyPhase:
    """The latencies of one stretch of the run."""

    name: str  #: ``before``, ``around 1``, ``after 1``, ``around 2`` …
    latency: Latency = attrs.field(factory=Latency)


@attrs.define
class Closures:
    """Connections that the proxy closed."""

    front: dict[Ending, int] = attrs.field(factory=dict)
    back: int = 0  #: of backends that were not removed, carrying more than the probe's requests

    @property
    def front_total(self) -> int:
        """All front connections."""
        return sum(self.front.values())


@attrs.define
class ObservedChange:
    """One change, and what was seen from its request to the next change's (its window)."""

    number: int
    action: str
    instance: str
    mechanism: str
    requested_ns: int
    applied_ns: int = 0
    refused: str = ""  #: the proxy's own words
    share_before: float = 0.0  #: the instance's part of the answers before the change
    first_answer_ns: int = 0
    last_answer_ns: int = 0
    answers: int = 0  #: from the instance, since the request
    stragglers: int = 0  #: from a removed instance, since applied
    silence: int = 0  #: answers from others since its last one
    exchanges: int = 0
    failures: dict[str, int] = attrs.field(factory=dict)
    closures: Closures = attrs.field(factory=Closures)
    answers_mark: int = 0  #: how many answers the run had had at its last one

    @property
    def name(self) -> str:
        """What it is called."""
        return change_name(self.action, self.instance)

    @property
    def effective_ns(self) -> int:
        """When the traffic first showed it, or last contradicted it; 0 if that was never.

        An added backend's first answer, a removed one's last; after a reload or an upgrade the first answer over a
        connection that was opened when it had been applied.
        """
        return self.last_answer_ns if self.action == "remove" else self.first_answer_ns


@attrs.define
class Observation:
    """Everything that a verdict rests on."""

    bus: EventBus
    counts: Counts = attrs.field(factory=Counts)
    changes: list[ObservedChange] = attrs.field(factory=list)
    phases: list[LatencyPhase] = attrs.field(factory=lambda: [LatencyPhase("before")])
    before: Closures = attrs.field(factory=Closures)  #: before the first change
    broken: list[str] = attrs.field(factory=list)
    floor: Floor | None = None
    punctuality: Punctuality | None = None
    stall_ns: int = 0  #: the longest that the instrument itself stood still
    undone: list[str] = attrs.field(factory=list)  #: steps that the run was ended before
    answers_by_instance: Counter[str] = attrs.field(factory=Counter)
    arrivals_by_instance: dict[str, int] = attrs.field(factory=dict)
    rates: list[RateChanged] = attrs.field(factory=list)  #: set while the clients were sending
    started_ns: int = 0
    ended_ns: int = 0
    _answers: int = 0
    _recent: Counter[str] = attrs.field(factory=Counter)  # answers by instance since the last change
    _earlier: Counter[str] = attrs.field(factory=Counter)  # and before it, as far as shares are told from them
    _open: dict[str, ObservedChange] = attrs.field(factory=dict)  # each instance's latest change
    _removed: set[str] = attrs.field(factory=set)
    _settled_ns: int = 0  # when the surroundings of the last change end, 0 if that is over or not known

    @property
    def repetition(self) -> Repetition | None:
        """What the changes lost, each and all; None if there are too few."""
        losses = [sum(change.failures.values()) for change in self.changes]
        return repetition(losses, sum(change.exchanges for change in self.changes))

    def steady_and_around(self) -> tuple[Latency, Latency]:
        """Return the latencies away from the changes, and those around them."""
        steady, around = Latency(), Latency()
        for phase in self.phases:
            (around if phase.name.startswith("around") else steady).add(phase.latency)
        return steady, around

    def __attrs_post_init__(self) -> None:
        """Watch the bus."""
        bus, name = self.bus, NAME
        bus.subscribe(Exchange, self.exchanged, name)
        bus.subscribe(Arrival, self.arrived, name)
        bus.subscribe(Change, self.changed, name)
        bus.subscribe(FrontClosed, self.front_closed, name)
        bus.subscribe(BackClosed, self.back_closed, name)
        bus.subscribe(Broken, self.broke, name)
        bus.subscribe(RateChanged, self.rates.extend, name)
        bus.subscribe(Started, self.started, name)
        bus.subscribe(Ended, self.ended, name)

    def started(self, events: Sequence[Started]) -> None:
        """Note when the clients started."""
        self.started_ns = events[0].at_ns
        self.arrivals_by_instance.clear()

    def ended(self, events: Sequence[Ended]) -> None:
        """Note the end, and how long each instance has been silent."""
        self.ended_ns = events[0].at_ns
        self.look()

    def look(self) -> None:
        """Measure how long each instance has been silent until now, for a judgement before the end."""
        for change in self._open.values():
            self._measure_silence(change)

    def broke(self, events: Sequence[Broken]) -> None:
        """Note that the run is not valid."""
        self.broken.extend(event.reason for event in events)

    def arrived(self, arrivals: Sequence[Arrival]) -> None:
        """Count what the backends saw of the clients."""
        by_instance = self.arrivals_by_instance
        for arrival in arrivals:
            if arrival.request_id:
                by_instance[arrival.instance] = by_instance.get(arrival.instance, 0) + 1

    def exchanged(self, exchanges: Sequence[Exchange]) -> None:
        """Take a batch of exchanges."""
        for changed in self.counts.add(exchanges):
            self.bus.publish(changed)
        change = self.changes[-1] if self.changes else None
        if change is not None:
            change.exchanges += len(exchanges)
        if self._settled_ns and exchanges[-1].ended_ns > self._settled_ns:
            self._settled_ns = 0
            self.phases.append(LatencyPhase(f"after {len(self.changes)}"))
        self.phases[-1].latency.record(
            [(e.ended_ns - e.due_ns) // NS_PER_US for e in exchanges if not e.failure and not e.probe]
        )
        if change is not None:
            failures = change.failures
            for exchange in exchanges:
                if exchange.failure:
                    failures[exchange.failure] = failures.get(exchange.failure, 0) + 1
            if not change.instance and change.applied_ns and not change.answers:
                _look_for_new_connection(change, exchanges)
        self._answered(exchanges)

    def changed(self, events: Sequence[Change]) -> None:
        """Open a change's window, or note how far it has come."""
        for event in events:
            if event.phase is Phase.REQUESTED:
                self._request(event)
            elif event.phase is Phase.APPLIED:
                self.changes[-1].applied_ns = event.at_ns
                self._settled_ns = event.at_ns + SETTLE_NS
                if event.action == "remove":
                    self._removed.add(event.instance)
            else:
                self.changes[-1].refused = event.message
                self._settled_ns = event.at_ns + SETTLE_NS

    def front_closed(self, events: Sequence[FrontClosed]) -> None:
        """Count closed front connections, but the probe's."""
        for event in events:
            if not event.probe and not self.ended_ns:
                front = self._closures.front
                front[event.ending] = front.get(event.ending, 0) + 1

    def back_closed(self, events: Sequence[BackClosed]) -> None:
        """Count closed backend connections that nothing explains."""
        for event in events:
            if not self.ended_ns and self.started_ns and not event.probe_only and event.instance not in self._leaving:
                self._closures.back += 1

    @property
    def _closures(self) -> Closures:
        return self.changes[-1].closures if self.changes else self.before

    @property
    def _leaving(self) -> set[str]:
        """The removed backends, and the one whose removal is under way."""
        if self.changes and self.changes[-1].action == "remove" and not self.changes[-1].refused:
            return self._removed | {self.changes[-1].instance}
        return self._removed

    def _request(self, event: Change) -> None:
        instance = event.instance
        before = self._open.get(instance)
        if before is not None:
            self._measure_silence(before)
        if self._recent.total() >= SHARE_FROM:
            self._earlier = Counter()
        self._earlier.update(self._recent)
        self._recent = Counter()
        answers = self._earlier.total()
        change = ObservedChange(
            event.number,
            event.action,
            instance,
            event.mechanism,
            event.at_ns,
            share_before=self._earlier[instance] / answers if answers else 0.0,
            answers_mark=self._answers,
        )
        self.changes.append(change)
        if instance:
            self._open[instance] = change
        self._removed.discard(instance)
        self.phases.append(LatencyPhase(f"around {event.number}"))
        self._settled_ns = 0

    def _measure_silence(self, change: ObservedChange) -> None:
        change.silence = self._answers - change.answers_mark

    def _answered(self, exchanges: Sequence[Exchange]) -> None:
        """Note who answered: each instance's total at once, and one by one only for those that were changed."""
        batch = Counter([exchange.instance for exchange in exchanges])
        batch.pop("", None)
        self._recent.update(batch)
        self.answers_by_instance.update(batch)
        if not self._open.keys().isdisjoint(batch):
            answers = self._answers
            for exchange in exchanges:
                if exchange.instance:
                    answers += 1
                    change = self._open.get(exchange.instance)
                    if change is not None:
                        _answer_to(change, exchange, answers)
        self._answers += batch.total()


def _look_for_new_connection(change: ObservedChange, exchanges: Sequence[Exchange]) -> None:
    """Note the first answer over a connection that was opened after the change, which is about no one backend."""
    for exchange in exchanges:
        opened_ns = exchange.written_ns - exchange.connect_ns
        if exchange.connect_ns and opened_ns > change.applied_ns and not exchange.failure:
            change.answers = 1
            change.first_answer_ns = exchange.ended_ns
            return


def _answer_to(change: ObservedChange, exchange: Exchange, answers: int) -> None:
    """Note an answer from a changed instance, the run's `answers`-th."""
    # One that broke off, or stalled until the client's patience ended, counts when it began.
    answered_ns = exchange.first_byte_ns if exchange.failure and exchange.first_byte_ns else exchange.ended_ns
    change.answers += 1
    change.answers_mark = answers
    change.last_answer_ns = max(change.last_answer_ns, answered_ns)
    if not change.first_answer_ns:
        change.first_answer_ns = answered_ns
    if change.action == "remove" and change.applied_ns and answered_ns > change.applied_ns:
        change.stragglers += 1
