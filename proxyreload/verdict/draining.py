"""What had begun at a removed backend before its removal was applied, and until when it goes on there.

A session, a stream or a request that lives on there is no sign that the proxy still sends anything to that backend. It
is over when both sides say so: the backend has given its last byte, or has been left; and its client has its outcome.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from proxyreload.history.events import Arrival, BackendKilled, Drained, Exchange, RecordLost
from proxyreload.ledger.requestid import id_of

#: Of so many requests it is known that they are under way at backends: our clients have fewer, and whoever makes them
#: up has no end of them.
KEPT = 50_000

#: The kind of what none of our clients has sent.
_NOBODYS = "unknown"
#: A request at a backend: its id, and over which connection.
_Visit = tuple[str, int]


@attrs.define(eq=False)
class Drain:
    """What had begun at one backend, and was under way when its removal was applied."""

    applied_ns: int
    number: int = 0  #: of the removal
    name: str = ""
    failed: int = 0  #: of those requests, as their clients have it
    last_ns: int = 0  #: when the last that ended so far has ended, 0 if nothing has
    _kinds: dict[str, str] = attrs.field(factory=dict)  # of traffic, by request
    _visits: set[_Visit] = attrs.field(factory=set)  # that the backend has not told the end of
    _asking: set[str] = attrs.field(factory=set)  # requests whose clients have no outcome yet
    _left: set[str] = attrs.field(factory=set)  # under way when the clients stopped

    @property
    def kinds(self) -> Counter[str]:
        """How many requests of which kind of traffic were under way."""
        return Counter(self._kinds.values())

    @property
    def left(self) -> Counter[str]:
        """How many of them still were when the clients stopped."""
        return Counter(self._kinds[each] for each in self._left)

    @property
    def drained_ns(self) -> int:
        """When the last of it had ended; when the removal was applied if nothing was under way; 0 if some is left."""
        return 0 if self._left else max(self.applied_ns, self.last_ns)

    @property
    def over(self) -> bool:
        """Whether all that is known of has ended."""
        return not self._visits and not self._asking

    def begin(self, visits: Mapping[_Visit, str], asking: Callable[[str], bool]) -> None:
        """Take what is under way at the backend, with its kinds; `asking` says whose client has no outcome yet."""
        self._visits = set(visits)
        told = {request_id: kind for (request_id, _port), kind in visits.items()}
        self._asking = {request_id for request_id, kind in told.items() if kind and asking(request_id)}
        self._kinds = {request_id: kind or _NOBODYS for request_id, kind in told.items()}

    def is_asked(self, request_id: str) -> bool:
        """Whether this request is one of them."""
        return request_id in self._asking

    def visit_ended(self, visit: _Visit, at_ns: int) -> None:
        """Note that the backend is done with a request."""
        if visit in self._visits:
            self._visits.discard(visit)
            self.last_ns = max(self.last_ns, at_ns)

    def gone(self, at_ns: int) -> None:
        """Note that the backend is: what it had ended then, whatever it can tell no more."""
        if self._visits:
            self._visits.clear()
            self.last_ns = max(self.last_ns, at_ns)

    def outcome(self, exchange: Exchange, stopping_ns: int) -> None:
        """Note what a client has come to."""
        request_id = id_of(exchange)
        self._kinds[request_id] = exchange.kind
        self._asking.discard(request_id)
        self.failed += bool(exchange.failure)
        self.last_ns = max(self.last_ns, exchange.ended_ns)
        if stopping_ns:
            self._left.add(request_id)

    def stop(self) -> None:
        """Note what is under way still, for the clients end it by themselves now."""
        self._left |= {request_id for request_id, _port in self._visits} | self._asking


@attrs.define(eq=False)
class Drains:
    """What is under way at each backend, and the drains of those that were removed."""

    #: Until when what was sent to a removed backend had begun before its latest removal was applied.
    watched: dict[str, int] = attrs.field(factory=dict)
    _under_way: dict[str, dict[_Visit, Arrival]] = attrs.field(factory=dict)  # by backend
    _number: int = 0
    _drains: dict[str, list[Drain]] = attrs.field(factory=dict)  # by backend, in their order
    _untold: list[Drain] = attrs.field(factory=list)  # that are not over
    _stopping_ns: int = 0

    def arrived(self, arrivals: Iterable[Arrival]) -> None:
        """Take what backends tell of requests that take a while, or that they did not answer."""
        for arrival in arrivals:
            visit = (arrival.request_id, arrival.back_port)
            under_way = self._under_way.setdefault(arrival.instance, {})
            if not (arrival.answered_ns or arrival.given_up_ns):
                if visit not in under_way and self._number < KEPT:
                    under_way[visit] = arrival
                    self._number += 1
            elif under_way.pop(visit, None) is not None:
                self._number -= 1
                for drain in self._drains.get(arrival.instance, ()):
                    drain.visit_ended(visit, arrival.told_ns)

    def applied(
        self,
        number: int,
        name: str,
        instance: str,
        at_ns: int,
        kind_of: Callable[[str], str],
        over: Callable[[str], bool],
    ) -> Drain:
        """Begin the drain of a backend; `kind_of` and `over` tell of a request by its id, the second of its client."""
        since_ns = self.watched.get(instance, 0)  # what was under way at an earlier removal drains for that
        visits = {
            visit: kind_of(visit[0])
            for visit, arrival in self._under_way.get(instance, {}).items()
            if arrival.received_ns > since_ns
        }
        drain = Drain(at_ns, number, name)
        drain.begin(visits, lambda request_id: not over(request_id))
        self.watched[instance] = at_ns
        self._drains.setdefault(instance, []).append(drain)
        if not drain.over:
            self._untold.append(drain)
        return drain

    def outcome(self, exchange: Exchange) -> None:
        """Take what a client has come to at a removed backend, of what it had sent before that."""
        for drain in self._drains[exchange.instance]:
            if exchange.sent_ns <= drain.applied_ns:
                drain.outcome(exchange, self._stopping_ns)
                return

    def failed(self, exchanges: Sequence[Exchange]) -> None:
        """Take failures of which the client does not know whose they are."""
        if self._untold:
            for exchange in exchanges:
                if not exchange.instance:
                    request_id = id_of(exchange)
                    for drain in self._untold:
                        if drain.is_asked(request_id):
                            drain.outcome(exchange, self._stopping_ns)

    def gone(self, events: Sequence[BackendKilled | RecordLost]) -> None:
        """Expect nothing more of backends that have been killed, or have died."""
        for event in events:
            self._number -= len(self._under_way.pop(event.instance, {}))
            for drain in self._drains.get(event.instance, ()):
                drain.gone(event.at_ns)

    def stopping(self, at_ns: int) -> None:
        """Note what is left, for the clients end what takes long from now on."""
        if not self._stopping_ns:
            self._stopping_ns = at_ns
            for drain in self._untold:
                drain.stop()

    def taken(self) -> list[Drained]:
        """Return those that are over since this was last asked."""
        if not self._untold:
            return []
        over = [drain for drain in self._untold if drain.over]
        self._untold = [drain for drain in self._untold if not drain.over]
        return [
            Drained(drain.number, drain.name, drain.drained_ns, drain.kinds) for drain in over if not self._stopping_ns
        ]
