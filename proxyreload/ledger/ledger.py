"""Joins what clients and backends tell of each request, in bounded memory: a function of the history alone.

Nearly every request is settled as soon as both sides have told of it: answered, carried out once, and forgotten. What
is open or odd is kept until nothing more is to be expected of it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush

import attrs

from proxyreload.history.events import Arrival, BackendKilled, Exchange, RecordLost, Started
from proxyreload.ledger.cause import Cause, Evidence, cause_of
from proxyreload.ledger.evidencewords import told
from proxyreload.ledger.fate import Fate, fate_of
from proxyreload.ledger.loss import Loss
from proxyreload.ledger.requestid import PROBE_PREFIX, id_of
from proxyreload.ledger.surroundings import Surroundings
from proxyreload.ledger.unsettled import SETTLES_NS, Unsettled

#: Odd requests that are remembered after they are settled; and requests that nobody has sent.
KEPT = 50_000
#: What has arrived and has no outcome after so long is looked at: it may be settled already.
_LOOKED_AT_NS = 1_000_000_000


@attrs.frozen
class _Settled:
    """An odd request that is settled: more may be told of it all the same."""

    fate: Fate
    executed: int


@attrs.define(eq=False)
class _Progress:
    """How far a client has come that has several requests under way: its outcomes are in no order."""

    streams: int  #: so many at most
    next: int = 0  #: the first number without an outcome
    ahead: set[int] = attrs.field(factory=set)  #: numbers beyond it that have theirs

    def ended(self, number: int) -> None:
        """Note an outcome."""
        self.ahead.add(number)
        while self.next in self.ahead:
            self.ahead.remove(self.next)
            self.next += 1

    @property
    def last(self) -> int:
        """The highest number that can have been begun by now."""
        return max(self.ahead, default=self.next - 1) + self.streams


@attrs.define(eq=False)
class Ledger:
    """What became of each request; ``counts`` by kind of traffic and fate.

    Most clients have one request under way, so that their numbers are settled in their order; those that have several
    at once are followed number by number.
    """

    counts: dict[str, Counter[Fate]] = attrs.field(factory=dict)
    surroundings: Surroundings = attrs.field(factory=Surroundings)
    lost_records: list[RecordLost] = attrs.field(factory=list)
    hosted: bool = True  #: whether the backends are ours, and tell
    _kinds: Mapping[str, str] = attrs.field(factory=dict)  # by what a client's ids begin with
    _clients: dict[str, int] = attrs.field(factory=dict)  # likewise
    _started_ns: int = 0
    _until_ns: int = 0  # when the latest outcome was
    _last: dict[int, Exchange] = attrs.field(factory=dict)  # each client's latest outcome
    _many: dict[int, _Progress] = attrs.field(factory=dict)  # of the clients that have several requests under way
    _arrived: dict[str, Arrival] = attrs.field(factory=dict)  # carried out and answered, no outcome yet
    _ended: dict[str, Exchange] = attrs.field(factory=dict)  # successes that no backend has told of
    _open: dict[str, Unsettled] = attrs.field(factory=dict)  # whatever is not as simple as that
    _due: list[tuple[int, str]] = attrs.field(factory=list)  # a heap: when these are settled, as they will be then
    _settled: dict[str, _Settled] = attrs.field(factory=dict)
    _silent_ns: dict[str, int] = attrs.field(factory=dict)  # until when backends have told all that they will
    _losses: list[Loss] = attrs.field(factory=list)

    def started(self, event: Started) -> None:
        """Know whose requests these are."""
        self._started_ns, self._kinds, self.hosted = event.at_ns, event.kinds, event.hosted
        self._many = {client: _Progress(streams) for client, streams in event.many.items()}
        self._clients = {prefix: int(prefix.removeprefix(PROBE_PREFIX)) for prefix in event.kinds}
        self.counts = {kind: Counter() for kind in event.kinds.values()}

    @property
    def total(self) -> Counter[Fate]:
        """How many requests of all kinds had which fate."""
        return sum(self.counts.values(), Counter())

    def killed(self, events: Sequence[BackendKilled]) -> None:
        """Expect nothing more of a backend."""
        self.surroundings.left(events)
        self._silent_ns.update({event.instance: event.at_ns for event in events})

    def record_lost(self, events: Sequence[RecordLost]) -> None:
        """Know that a backend has died before it had told all."""
        self.lost_records += events
        self._silent_ns.update({event.instance: event.at_ns for event in events})

    def taken(self) -> list[Loss]:
        """Return the losses that have been found since this was last asked."""
        losses, self._losses = self._losses, []
        return losses

    def exchanged(self, exchanges: Sequence[Exchange], failed: Iterable[tuple[Exchange, int]]) -> None:
        """Take outcomes, and the failures among them with when their connections were opened."""
        opened_ns = dict(failed)
        if not self.hosted:
            self._failed_unseen(exchanges, opened_ns)
            return
        self._advance(self._until_ns)  # what backends saw until then has all been told by now
        arrived, ended, open_, last = self._arrived, self._ended, self._open, self._last
        once = []
        for e in exchanges:
            client = e.client
            request_id = f"p{client}-{e.number}" if e.probe else f"{client}-{e.number}"
            if e.failure or (open_ and request_id in open_):
                self._ended_oddly(request_id, e, opened_ns.get(e, 0))
            elif arrived.pop(request_id, None) is not None:
                once.append(e.kind)
            else:
                ended[request_id] = e
            last[client] = e
        self._count_once(once)
        if self._many:
            for e in exchanges:
                if e.client in self._many:
                    self._many[e.client].ended(e.number)
        self._until_ns = exchanges[-1].ended_ns

    def arrived(self, arrivals: Sequence[Arrival]) -> None:
        """Take what backends tell."""
        arrived, ended, open_, started_ns = self._arrived, self._ended, self._open, self._started_ns
        if not (started_ns and self.hosted and arrivals):
            return
        once = []
        for a in arrivals:
            request_id = a.request_id
            if a.received_ns < started_ns or not request_id:
                continue
            if a.answered_ns and not a.again:  # nearly all
                e = ended.pop(request_id, None)
                if e is not None:
                    once.append(e.kind)
                    continue
                if request_id not in arrived and request_id not in open_:
                    arrived[request_id] = a
                    continue
            self._came_oddly(request_id, a)
        self._count_once(once)
        self._advance(arrivals[-1].told_ns)

    def finish(self) -> None:
        """Settle all: nothing more will be told."""
        self._look_at_arrived(None)
        while self._due or self._ended:
            self._expire(None)
        for request_id, request in self._open.items():
            if request.exchange is None and self._is_made_up(request_id):
                self._settle_made_up(request)
        self._open.clear()

    # What is not as simple as nearly all.

    def _ended_oddly(self, request_id: str, exchange: Exchange, opened_ns: int) -> None:
        request = self._request(request_id)
        self._note_outcome(request, exchange, opened_ns)
        self._conclude(request)

    def _note_outcome(self, request: Unsettled, exchange: Exchange, opened_ns: int) -> None:
        """Note what its client tells, and how long the connection had rested."""
        before = self._last.get(exchange.client)
        request.exchange, request.opened_ns = exchange, opened_ns
        if exchange.carried and before is not None:
            request.rested_ns = max(0, exchange.written_ns - before.ended_ns)

    def _came_oddly(self, request_id: str, arrival: Arrival) -> None:
        self._advance(arrival.told_ns)
        request = self._request(request_id)
        request.came(arrival)
        self._conclude(request)

    def _request(self, request_id: str) -> Unsettled:
        """Return what is known of a request, from now on in one place."""
        request = self._open.get(request_id)
        if request is None:
            request = self._open[request_id] = Unsettled(request_id, self._ended.pop(request_id, None))
            before = self._arrived.pop(request_id, None)
            if before is not None:
                request.came(before)
        return request

    def _conclude(self, request: Unsettled) -> None:
        """Settle a request that is as it should be after all; the others when their time has come."""
        settled_before = request.exchange is None and self.is_over(request.request_id)
        if request.answered and request.executed == 1 and not request.under_way(self._silent_ns):
            assert request.exchange is not None  # noqa: S101
            self._count_once([request.exchange.kind])
            del self._open[request.request_id]
        elif request.exchange is not None or settled_before:
            heappush(self._due, (request.told_ns + SETTLES_NS, request.request_id))

    def _advance(self, now_ns: int) -> None:
        """Settle whatever has had its time by now."""
        if self._arrived:
            self._look_at_arrived(now_ns - _LOOKED_AT_NS)
        self._expire(now_ns)
        if len(self._arrived) + len(self._open) > KEPT:
            self._make_room()

    def _look_at_arrived(self, until_ns: int | None) -> None:
        """Find requests that have come again after they were settled; at the end, whatever has no outcome."""
        again = []
        for request_id, arrival in self._arrived.items():
            if until_ns is not None and arrival.told_ns > until_ns:
                break
            if until_ns is None or self.is_over(request_id):
                again.append(request_id)
        for request_id in again:
            self._conclude(self._request(request_id))

    def _make_room(self) -> None:
        """Settle as it is whatever somebody who makes requests up, or loses them all, would have grow without end."""
        for request_id in [*self._arrived, *self._open]:
            if len(self._arrived) + len(self._open) <= KEPT:
                break
            request = self._request(request_id)
            if request.exchange is not None or self.is_over(request_id):
                self._settle(request)
            elif self._is_made_up(request_id):
                del self._open[request_id]
                self._settle_made_up(request)

    def _expire(self, now_ns: int | None) -> None:
        """Settle what has had its time by now, or all."""
        while self._ended:  # successes that no backend has told of
            request_id = next(iter(self._ended))
            if now_ns is not None and self._ended[request_id].ended_ns + SETTLES_NS > now_ns:
                break
            self._settle(self._request(request_id))
        while self._due and (now_ns is None or self._due[0][0] <= now_ns):
            _due_ns, request_id = heappop(self._due)
            request = self._open.get(request_id)
            if request is None:
                continue
            if now_ns is not None and request.told_ns + SETTLES_NS > now_ns:  # it has been told of meanwhile
                continue
            if now_ns is not None and request.under_way(self._silent_ns):
                heappush(self._due, (now_ns + SETTLES_NS, request_id))
                continue
            self._settle(request)

    def _settle(self, request: Unsettled) -> None:
        """Say what became of a request, or has become of it since that was last said."""
        request_id, exchange = request.request_id, request.exchange
        del self._open[request_id]
        before = self._settled.get(request_id)
        if exchange is None and before is None:
            before = _Settled(Fate.ANSWERED_ONCE, 1)
        kind = exchange.kind if exchange is not None else self.kind_of(request_id)
        executed = request.executed + (before.executed if before is not None else 0)
        fate = fate_of(
            answered=before.fate.answered if before is not None else request.answered,
            received=bool(request.visits) or (before is not None and before.fate is Fate.LOST_UNEXECUTED),
            executed=executed,
            unknown=self._might_be_unknown(exchange, before),
        )
        if before is not None:
            self._count(kind, before.fate, -1)
        self._count(kind, fate, 1)
        if len(self._settled) >= KEPT:
            del self._settled[next(iter(self._settled))]
        self._settled[request_id] = _Settled(fate, executed)
        if exchange is not None and exchange.failure:
            self._lose(request, exchange, fate)
        elif fate.twice and (before is None or before.fate is not fate):
            self._repeated(request, kind, fate, before)

    def _might_be_unknown(self, exchange: Exchange | None, before: _Settled | None) -> bool:
        """Whether a backend has died that might have had a request which failed, before it had told of it."""
        if exchange is None:
            return before is not None and before.fate is Fate.LOST_UNKNOWN
        return bool(exchange.written_ns) and any(
            exchange.written_ns <= lost.at_ns and lost.since_ns <= exchange.ended_ns for lost in self.lost_records
        )

    # What is told of it.

    def _failed_unseen(self, exchanges: Sequence[Exchange], opened_ns: Mapping[Exchange, int]) -> None:
        """Tell of failures where no backend is ours."""
        for e in exchanges:
            if e.failure:
                request = Unsettled(id_of(e))
                self._note_outcome(request, e, opened_ns.get(e, 0))
                self._lose(request, e, None)
            self._last[e.client] = e

    def _lose(self, request: Unsettled, exchange: Exchange, fate: Fate | None) -> None:
        change, change_ns, setting = self.surroundings.at(exchange.charged_ns, exchange.ended_ns)
        held = self.surroundings.generation(exchange.front_port, request.opened_ns, exchange.ended_ns)
        stood_ns = self.surroundings.stood_ns(exchange.sent_ns, exchange.ended_ns)
        said = self.surroundings.said_around(exchange.sent_ns, exchange.ended_ns)
        partings = self.surroundings.partings(exchange.client, exchange.connection, exchange.ended_ns)
        evidence = Evidence(exchange, request, fate, setting, held, stood_ns, said, partings)
        self._losses.append(
            Loss(
                request.request_id,
                exchange.kind,
                fate,
                cause_of(evidence),
                told(evidence),
                exchange.ended_ns,
                change,
                change_ns,
                exchange=exchange,
                rested_ns=request.rested_ns,
                generation=held[0] if held is not None else None,
            )
        )

    def _repeated(self, request: Unsettled, kind: str, fate: Fate, before: _Settled | None) -> None:
        """Tell of one that was carried out again: of that alone, for the rest may have been forgotten by then."""
        again = request.latest_executed
        evidence, formerly = f"carried out again, at backend {again.instance}", before.fate if before else None
        self._unwanted(request, kind, fate, Cause.REPEATED, evidence, again.received_ns, formerly)

    def _settle_made_up(self, request: Unsettled) -> None:
        kind, evidence = self.kind_of(request.request_id), "it came to a backend, and no client had sent it"
        self._count(kind, Fate.NEVER_SENT, 1)
        self._unwanted(request, kind, Fate.NEVER_SENT, Cause.MADE_UP, evidence, request.told_ns)

    def _unwanted(
        self,
        request: Unsettled,
        kind: str,
        fate: Fate,
        cause: Cause,
        evidence: str,
        at_ns: int,
        formerly: Fate | None = None,
    ) -> None:
        """Tell of what a backend was asked for and no client, by when that was."""
        change, change_ns, _setting = self.surroundings.at(at_ns, at_ns)
        charged_ns = request.exchange.charged_ns if request.exchange is not None else 0
        self._losses.append(
            Loss(
                request.request_id,
                kind,
                fate,
                cause,
                evidence,
                at_ns,
                change,
                change_ns,
                formerly=formerly,
                charged_ns=charged_ns,
            )
        )

    def _count_once(self, kinds: list[str]) -> None:
        """Count requests that are as they should be, nearly always of one kind."""
        if kinds:
            number = len(kinds)
            if kinds.count(kinds[0]) == number:
                self._count(kinds[0], Fate.ANSWERED_ONCE, number)
            else:
                for kind, times in Counter(kinds).items():
                    self._count(kind, Fate.ANSWERED_ONCE, times)

    def _count(self, kind: str, fate: Fate, number: int) -> None:
        counts = self.counts.get(kind)
        if counts is None:
            counts = self.counts[kind] = Counter()
        counts[fate] += number

    # Whose request it is.

    def kind_of(self, request_id: str) -> str:
        """Return the kind of traffic of the request with this id, empty if it is nobody's."""
        return self._kinds.get(request_id.partition("-")[0], "")

    def kind_of_client(self, client: int) -> str:
        """Return the kind of traffic of the client with this number, the probe's too; empty if it is none of ours."""
        return self._kinds.get(str(client)) or self._kinds.get(f"{PROBE_PREFIX}{client}", "")

    def is_over(self, request_id: str) -> bool:
        """Whether the request with this id has had its outcome."""
        number = self._number_of(request_id)
        if number is None:
            return False
        many = self._progress_of(request_id)
        if many is not None:
            return number < many.next or number in many.ahead
        return number < self._next_number(request_id)

    def _is_made_up(self, request_id: str) -> bool:
        """Whether no client had got so far: one of them may have been at the number behind its last, at the end."""
        number = self._number_of(request_id)
        if number is None:
            return True
        many = self._progress_of(request_id)
        return number > (many.last if many is not None else self._next_number(request_id))

    def _progress_of(self, request_id: str) -> _Progress | None:
        """Return how far its client, which is one of ours, has come; None if that has one request at a time."""
        return self._many.get(self._clients[request_id.partition("-")[0]]) if self._many else None

    def _number_of(self, request_id: str) -> int | None:
        """Return a request's number among its client's; None if it is none of theirs."""
        prefix, _dash, number = request_id.partition("-")
        return int(number) if prefix in self._clients and number.isdecimal() else None

    def _next_number(self, request_id: str) -> int:
        """Return the number of the request that its client, which is one of ours, has no outcome of yet."""
        last = self._last.get(self._clients[request_id.partition("-")[0]])
        return last.number + 1 if last is not None else 0
