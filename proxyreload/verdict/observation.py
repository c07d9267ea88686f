"""What a verdict rests on: a function of the history in the order of time, and of nothing else.

No bus, no clock and no reactor is known here: whoever has a history, of one process or of many hosts, gets the same
observation of it, whenever and in whatever pieces it was delivered.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from proxyreload.history.actions import ROTATE
from proxyreload.history.events import (
    UNCLEAN,
    Arrival,
    BackClosed,
    BackendKilled,
    BackendLeaving,
    BaselineTaken,
    Broken,
    Change,
    ConnectionChanged,
    Drained,
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
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate
from proxyreload.ledger.ledger import Ledger
from proxyreload.ledger.loss import Loss
from proxyreload.verdict.answers import Answers
from proxyreload.verdict.baseline import Baseline
from proxyreload.verdict.certificates import Certificates
from proxyreload.verdict.counts import Counts
from proxyreload.verdict.generations import Generations
from proxyreload.verdict.kept import Kept
from proxyreload.verdict.latency import Latency
from proxyreload.verdict.phases import LatencyPhase, Phases
from proxyreload.verdict.price import Prices
from proxyreload.verdict.proof import Proof
from proxyreload.verdict.repetition import Repetition, repetition
from proxyreload.verdict.tally import Tallies, kinds_of
from proxyreload.verdict.windows import Closures, ObservedChange, Windows

#: What is told of what was taken.
Derived = ConnectionChanged | Loss | Drained


@attrs.define
class Observation:
    """Everything that a verdict rests on."""

    counts: Counts = attrs.field(factory=Counts)
    broken: list[str] = attrs.field(factory=list)
    baseline: Baseline | None = None
    schedule: ScheduleKept | None = None  #: how well an open loop was kept
    far: list[FarKept] = attrs.field(factory=list)  #: how well each distance was kept
    stall_ns: int = 0  #: the longest that the instrument itself stood still
    ended_early: EndedEarly | None = None
    kinds: Tallies = attrs.field(factory=Tallies)  #: what became of each kind of traffic
    skipped: list[str] = attrs.field(factory=list)  #: steps that the run was ended before
    unproved: list[Unproved] = attrs.field(factory=list)
    left_undone: list[LeftUndone] = attrs.field(factory=list)  #: by plugins, of what they go on with after a change
    old_generation: OldGeneration | None = None  #: where it was looked for
    ledger: Ledger = attrs.field(factory=Ledger)  #: what became of each request
    causes: Counter[Cause] = attrs.field(factory=Counter)  #: of the losses
    arrivals_by_instance: dict[str, int] = attrs.field(factory=dict)
    certificates: Certificates = attrs.field(factory=Certificates)  #: by which the clients' connections stood
    rates: list[RateChanged] = attrs.field(factory=list)  #: set while the clients were sending
    started_ns: int = 0
    ended_ns: int = 0
    _stopping_ns: int = 0
    generations: Generations = attrs.field(factory=Generations)  #: of the proxy's processes, where they can be told
    prices: Prices = attrs.field(factory=Prices)  #: what the proxy took of its host, where it is one of ours
    _kinds_of_clients: Mapping[str, str] = attrs.field(factory=dict)  # by what their ids begin with
    _arrivals_by_client: dict[str, int] = attrs.field(factory=dict)  # likewise
    kept: Kept = attrs.field(factory=Kept)  #: for the run's file
    _windows: Windows = attrs.field(factory=Windows)
    _phases: Phases = attrs.field(factory=Phases)
    _answers: Answers = attrs.field(factory=Answers)
    _unshown: list[ObservedChange] = attrs.field(factory=list)  # about no one backend, applied, not seen yet
    _removed: set[str] = attrs.field(factory=set)
    _takes: Mapping[type, Callable[[Any], Sequence[Derived] | None]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Know what is done with each topic of event."""
        self._takes = {
            Exchange: self._exchanged,
            Arrival: self._arrived,
            FrontSecured: self.certificates.secured,
            FrontClosed: self._front_closed,
            WentAway: self._went_away,
            BackClosed: self._back_closed,
            Change: self._changed,
            RateChanged: self.rates.extend,
            BaselineTaken: self._baseline,
            BackendLeaving: self.ledger.surroundings.left,
            BackendKilled: self._killed,
            RecordLost: self._record_lost,
            Edited: self._edited,
            Unproved: self.unproved.extend,
            LeftUndone: self.left_undone.extend,
            OldGeneration: self._outlasted,
            Held: self._held,
            Spent: self._spent,
            Paced: self.kept.paced,
            StoodStill: self.ledger.surroundings.stood,
            Said: self.ledger.surroundings.said,
            Skipped: lambda events: self.skipped.extend(name for event in events for name in event.names),
            EndedEarly: self._ended_early,
            Stopping: self._stopping,
            Stalled: self._stalled,
            ScheduleKept: self._scheduled,
            FarKept: self.far.extend,
            Broken: lambda events: self.broken.extend(event.reason for event in events),
            Started: self._started,
            Ended: self._ended,
        }

    @property
    def topics(self) -> Iterable[type]:
        """The topics of event that matter to it."""
        return self._takes.keys()

    def take(self, topic: type, events: Sequence[Event]) -> Sequence[Derived]:
        """Take the next events of one topic in the order of time.

        Returns what is told of them: whose connection has changed, what has been lost, who has drained.
        """
        derived = self._takes[topic](events) or ()
        losses, drained = self.ledger.taken(), self._answers.drains.taken()
        if not (losses or drained):
            return derived
        for loss in losses:
            self._lost(loss)
        return [*derived, *losses, *drained]

    @property
    def lost_records(self) -> Sequence[RecordLost]:
        """Of which backend it is not known what it saw, from when to when."""
        return self.ledger.lost_records

    @property
    def changes(self) -> list[ObservedChange]:
        """The changes, in the order of their requests."""
        return self._windows.changes

    @property
    def before(self) -> Closures:
        """What was closed before the first change."""
        return self._windows.before

    @property
    def answers_by_instance(self) -> Counter[str]:
        """How often each backend answered, of so many at most."""
        return self._answers.by_instance

    @property
    def phases(self) -> list[LatencyPhase]:
        """Latency by stretches of the run."""
        return self._phases.all

    @property
    def repetition(self) -> Repetition | None:
        """What the changes lost, each and all, of what is not aimed; None if there are too few."""
        rated = [change.kinds.rated for change in self.changes]
        return repetition([each.lost for each in rated], sum(each.exchanges for each in rated))

    @property
    def proof(self) -> Proof | None:
        """What the aimed kinds lost, in the whole run; None if there are none."""
        proof = self.kinds.proof
        if proof is None:
            return None
        lossy = sum(bool(change.kinds.proof and change.kinds.proof.lost) for change in self.changes)
        return Proof(proof.exchanges, proof.lost, len(self.changes), lossy)

    @property
    def arrivals_by_kind(self) -> dict[str, int]:
        """How many requests of each kind of traffic backends of ours have received."""
        by_kind: Counter[str] = Counter()
        for client, number in self._arrivals_by_client.items():
            by_kind[self._kinds_of_clients[client]] += number
        return +by_kind

    def latency_of(self, *stretches: str) -> Latency:
        """Return the latencies of all phases of these stretches: ``before``, ``around``, ``after`` the changes."""
        return self._phases.total(*stretches)

    def steady_and_around(self) -> tuple[Latency, Latency]:
        """Return the latencies away from the changes, and those around them."""
        return self.latency_of("before", "after"), self.latency_of("around")

    def look(self) -> None:
        """Measure how long each instance has been silent until now, for a judgement before the end."""
        self._answers.look()

    def _started(self, events: Sequence[Started]) -> None:
        self.started_ns, self._kinds_of_clients = events[0].at_ns, events[0].kinds
        self._arrivals_by_client = dict.fromkeys(self._kinds_of_clients, 0)
        self.kinds.aimed = self._windows.aimed = events[0].aimed
        self.kinds.unsafe = self._windows.unsafe = events[0].unsafe
        self.ledger.started(events[0])

    def _ended(self, events: Sequence[Ended]) -> None:
        self.ended_ns = events[0].at_ns
        self._answers.drains.stopping(self.ended_ns)
        self.ledger.finish()
        self.look()

    def _lost(self, loss: Loss) -> None:
        """Count why a request was lost, and its fate, also in the window of the change that it is charged to."""
        self.causes[loss.cause] += 1
        change = next((change for change in reversed(self.changes) if change.number == loss.change), None)
        for tally in (self.kinds.of(loss.kind), *([change.kinds.of(loss.kind)] if change is not None else [])):
            tally.causes[loss.cause] += 1
            if loss.fate is None:
                continue
            tally.fates[loss.fate] += 1
            if loss.cause is Cause.TURNED_AWAY and loss.fate in (Fate.LOST_EXECUTED, Fate.LOST_EXECUTED_TWICE):
                tally.denied += 1
            if loss.formerly is not None and tally.fates[loss.formerly]:  # in this very window
                tally.fates[loss.formerly] -= 1
        if change is not None and loss.fate is Fate.ANSWERED_TWICE and loss.charged_ns:
            change.kinds.of(loss.kind).from_before += self._windows.at(loss.charged_ns) is not change

    def _baseline(self, events: Sequence[BaselineTaken]) -> None:
        self.baseline = Baseline.of(events[-1])

    def _ended_early(self, events: Sequence[EndedEarly]) -> None:
        self.ended_early = events[-1]

    def _outlasted(self, events: Sequence[OldGeneration]) -> None:
        self.old_generation = events[-1]

    def _stopping(self, events: Sequence[Stopping]) -> None:
        self._stopping_ns = events[0].at_ns
        self._answers.drains.stopping(self._stopping_ns)

    def _held(self, events: Sequence[Held]) -> None:
        self.ledger.surroundings.held(events)
        change = self.changes[-1].number if self.changes else 0
        self.generations.held(events, self.started_ns, change, self.ledger.kind_of_client)

    def _spent(self, events: Sequence[Spent]) -> None:
        self.prices.spent(events, self.changes[-1].number if self.changes else 0)

    def _killed(self, events: Sequence[BackendKilled]) -> None:
        self.ledger.killed(events)
        self._answers.drains.gone(events)

    def _record_lost(self, events: Sequence[RecordLost]) -> None:
        self.ledger.record_lost(events)
        self._answers.drains.gone(events)

    def _stalled(self, events: Sequence[Stalled]) -> None:
        self.stall_ns = max(self.stall_ns, *(event.peak_ns for event in events))

    def _scheduled(self, events: Sequence[ScheduleKept]) -> None:
        self.schedule = events[-1]

    def _arrived(self, arrivals: Sequence[Arrival]) -> None:
        """Count what the backends saw of the clients; what came before these had started was not theirs."""
        started_ns = self.started_ns
        if not started_ns:
            return
        self.ledger.arrived(arrivals)
        by_instance, by_client = self.arrivals_by_instance, self._arrivals_by_client
        slow = []  # or not answered: nearly all are told of once
        for arrival in arrivals:
            request_id = arrival.request_id
            if arrival.again or not arrival.answered_ns:
                slow.append(arrival)
            if request_id and not arrival.again and arrival.received_ns >= started_ns:
                by_instance[arrival.instance] = by_instance.get(arrival.instance, 0) + 1
                client = request_id.partition("-")[0]
                if client in by_client:  # whoever else there is would have no end
                    by_client[client] += 1
        self._answers.drains.arrived(slow)

    def _exchanged(self, exchanges: Sequence[Exchange]) -> Sequence[ConnectionChanged]:
        changed = self.counts.add(exchanges)
        self.ledger.exchanged(exchanges, self.counts.failed)
        failed = [each for each, _opened_ns in self.counts.failed]
        kinds = kinds_of(exchanges)
        self.kinds.add(exchanges, kinds, failed)
        oldest_ns = min([each.written_ns for each in exchanges]) if self.changes else 0
        self._charge(exchanges, kinds, failed, oldest_ns)
        if self.changes:
            self.changes[-1].disruption.ended(exchanges, kinds, failed)
            self.changes[-1].disruption.opened(self.counts.opened)
        self._answers.drains.failed(failed)
        for exchange, opened_ns in self.counts.failed:
            change = self._windows.at(exchange.charged_ns)
            if change is not None:
                change.failed(exchange, opened_ns)
        self._phases.exchanged(exchanges)
        if self._unshown:
            for exchange in exchanges:
                self._unshown = [change for change in self._unshown if not change.shown_by(exchange)]
        self._answers.add(exchanges, oldest_ns)
        return changed

    def _charge(
        self, exchanges: Sequence[Exchange], kinds: Mapping[str, int], failed: Sequence[Exchange], oldest_ns: int
    ) -> None:
        """Count each exchange in the window in which its request was written, or in which it broke if it is long.

        The first of them was written at `oldest_ns`.
        """
        change = self.changes[-1] if self.changes else None
        if change is None:
            return
        if oldest_ns >= change.requested_ns:  # nearly always
            change.kinds.add(exchanges, kinds, failed)
            return
        for exchange in exchanges:
            change = self._windows.at(exchange.charged_ns)
            if change is not None:
                change.kinds.add([exchange])

    def _changed(self, events: Sequence[Change]) -> None:
        """Open a change's window, or note how far it has come."""
        self.ledger.surroundings.changed(events)
        for event in events:
            if event.phase is Phase.REQUESTED:
                self._request(event)
                continue
            self._phases.over(event.at_ns)
            change = self.changes[-1]
            if event.phase is Phase.FAILED:
                change.refused, change.refused_ns = event.message, event.at_ns
                continue
            change.applied_ns = event.at_ns
            if event.action == "remove":
                self._removed.add(event.instance)
                self._answers.removed(change, self.ledger)
            elif change.rotation is not None:
                change.rotation.applied_ns = event.at_ns
            elif not event.instance and not change.route:
                self._unshown.append(change)

    def _edited(self, events: Sequence[Edited]) -> None:
        """Note how the route of an edit was answered."""
        for event in events:
            change = next(each for each in reversed(self.changes) if each.number == event.number)
            change.edit = event

    def _front_closed(self, events: Sequence[FrontClosed]) -> None:
        """Count closed front connections, but the probe's."""
        for event in events:
            if not event.probe and not self.ended_ns:
                change = self._windows.at(event.closed_ns)
                self._windows.closures_of(change).closed(event)
                self.certificates.unclean += UNCLEAN in event.message
                self.kinds.closed(event.kind, event.ending)
                self.kept.closed(event)
                if change is not None:
                    change.kinds.closed(event.kind, event.ending)

    def _went_away(self, events: Sequence[WentAway]) -> None:
        """Keep each GOAWAY, the first so many."""
        self.ledger.surroundings.went_away(events)
        if not self.ended_ns:
            self.kept.went_away(events)

    def _back_closed(self, events: Sequence[BackClosed]) -> None:
        """Count closed backend connections that nothing explains."""
        if self.ended_ns or self._stopping_ns or not self.started_ns:
            return
        leaving = self._leaving
        for event in events:
            if not event.probe_only and event.instance not in leaving:
                self._windows.closures_of(self._windows.at(event.closed_ns)).back += 1

    @property
    def _leaving(self) -> set[str]:
        """The removed backends, and the one whose removal is under way."""
        if self.changes and self.changes[-1].action == "remove" and not self.changes[-1].refused:
            return self._removed | {self.changes[-1].instance}
        return self._removed

    def _request(self, event: Change) -> None:
        change = self._windows.open(event, self._answers.requested(event.instance), self._answers.total)
        if event.instance:
            self._answers.follow(change)
        self._removed.discard(event.instance)
        if event.action == ROTATE:
            change.rotation = self.certificates.rotated(event.certificate)
        change.route = event.route
        self._phases.requested(event.number)


def observe(history: Iterable[tuple[type, Sequence[Event]]]) -> Observation:
    """Return what a whole history shows, given in the order of time, some events of one topic after another."""
    observation = Observation()
    topics = frozenset(observation.topics)
    for topic, events in history:
        if topic in topics:
            observation.take(topic, events)
    return observation
