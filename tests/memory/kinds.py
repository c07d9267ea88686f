"""Kinds of traffic with both of their ends in the test's hands."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import attrs
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from proxyreload.backend.http11 import BackendConnection, BackendFactory
from proxyreload.backend.log import BackendLog
from proxyreload.backend.resource import BackendResource
from proxyreload.client.dialogue import Dialogue
from proxyreload.client.request import KindRequest, PreparedRequest, prepare
from proxyreload.client.volley import Aimer, Volley
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Arrival, Event, Exchange, FrontClosed
from proxyreload.system.clock import ns
from proxyreload.system.sockets import SocketGroup
from proxyreload.traffic.content import digest
from proxyreload.traffic.get import Answering, from_numbered_backend
from proxyreload.traffic.identity import KIND_FIELD
from proxyreload.traffic.interfaces import BackendEnd, ClientEnd, Kind, Received, Reply, Values
from proxyreload.traffic.registry import backend_end, field_of, kind_named, values_of

from .clocks import Time, result_of
from .connections import PREPARED, Front, MemoryTransport, Owner, Wire, answer_bytes, parts
from .happened import record

INSTANCE, BACK_PORT = b"3", 51234

#: Ids as clients have them.
ids_st = st.builds(lambda client, number: b"%d-%d" % (client, number), st.integers(0, 999), st.integers(0, 10**6))
cuts_st = st.lists(st.integers(0, 10**6), max_size=8)


def unchunked(chunks: Iterable[bytes]) -> bytes:
    """Return the body that is in these chunks, each of which is whole."""
    body = b""
    for chunk in chunks:
        length, _, data = chunk.partition(b"\r\n")
        assert data[int(length, 16) :] == b"\r\n"
        body += data[: int(length, 16)]
    return body


@attrs.define(eq=False)
class Ends:
    """Both ends of a kind, and what is between them."""

    name: str
    given: dict[str, object] = attrs.field(factory=dict)
    kind: Kind = attrs.field(init=False)
    values: Values = attrs.field(init=False)
    client: ClientEnd = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.kind = kind_named(self.name)
        self.values = values_of(self.kind, self.given.items())
        self.client = self.kind.client(self.values)

    @property
    def backend(self) -> BackendEnd:
        """The backend's end, as a backend finds it by what the request says."""
        return backend_end(field_of(self.kind, self.values)) or Answering()

    def sent(self, request_id: bytes) -> bytes:
        """Return the whole body of a request, and let the client's end know that all of it was sent."""
        pieces = self.client.pieces(request_id)
        return self.client.body(request_id) + (b"" if pieces is None else unchunked(piece for _, piece in pieces))

    def reply(self, request_id: bytes) -> Reply:
        """Return what the backend answers to it."""
        sent = self.sent(request_id)
        return self.backend.reply(Received(INSTANCE, request_id, BACK_PORT, len(sent), digest(sent)))

    def body(self, request_id: bytes) -> bytes:
        """Return the body of that answer."""
        reply = self.reply(request_id)
        return reply.body if reply.pieces is None else b"".join(piece for _, piece in reply.pieces)

    def judged(self, request_id: bytes, answer: bytes, cuts: Sequence[int] = (), *, closes: bool = False) -> str:
        """Return the failure class of an answer that comes cut in these places; empty for a success."""
        owner = Owner()
        wire = Wire.open(owner, Time())
        incoming = self.client.incoming(request_id)
        pending = wire.send()
        pending.request_id = request_id
        pending.take = None if incoming is None else incoming.take
        wire.says(*parts(answer, cuts))
        if closes:
            wire.closes()
        if owner.failures:
            return owner.failures[0]
        assert owner.heard == [("answered",)]
        return (from_numbered_backend(pending, request_id) if incoming is None else incoming.judge(pending))[0]

    def judged_body(self, request_id: bytes, body: bytes, cuts: Sequence[int] = (), **how: Any) -> str:
        """Return the failure class of an answer with this body."""
        return self.judged(request_id, answer_bytes(request_id, INSTANCE, body=body, **how), cuts)


@attrs.define(eq=False)
class Inlet:
    """Backend 3 and a proxy's connection to it."""

    time: Time = attrs.field(factory=Time)
    bus: EventBus = attrs.field(factory=EventBus)
    transport: MemoryTransport = attrs.field(factory=lambda: MemoryTransport(1033, BACK_PORT))
    group: SocketGroup | None = None
    events: list[Event] = attrs.field(init=False)
    connection: BackendConnection = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.events = record(self.bus)
        factory = BackendFactory(BackendResource(3), BackendLog("3", self.bus, self.time.ns), self.time, self.group)
        self.connection = factory.buildProtocol(None)
        self.connection.makeConnection(self.transport)

    def hears(self, *chunks: bytes) -> None:
        """Take bytes, each chunk in a read of its own."""
        for chunk in chunks:
            if not self.transport.disconnecting:
                (self.transport.protocol or self.connection).dataReceived(chunk)

    def said(self) -> bytes:
        """Return what it has said since the last time."""
        said: bytes = self.transport.value()
        self.transport.clear()
        return said

    def closes(self) -> None:
        """Let the proxy close."""
        (self.transport.protocol or self.connection).connectionLost(Failure(ConnectionDone()))

    @property
    def arrivals(self) -> list[Arrival]:
        """What it has told so far."""
        self.bus.flush()
        return [event for event in self.events if isinstance(event, Arrival)]

    @property
    def stages(self) -> list[tuple[str, str, bool]]:
        """Of each that was told: its id, how far it had come, and whether it had been told before."""
        return [(arrival.request_id, stage(arrival), arrival.again) for arrival in self.arrivals]


def stage(arrival: Arrival) -> str:
    """Return how far an arrival has come."""
    if arrival.given_up_ns:
        return "given up"
    if arrival.answered_ns:
        return "answered"
    return "executed" if arrival.executed_ns else "received"


def prepared(ends: Ends) -> KindRequest:
    """Return what a client of this kind sends, as a run makes it."""
    field = field_of(ends.kind, ends.values)
    headers = [*ends.client.fields, *([(KIND_FIELD, field)] if field else [])]
    head = result_of(
        Deferred.fromCoroutine(
            prepare(
                ends.client.method,
                "http://front.test/",
                headers={name.decode("ascii"): [value.decode("ascii")] for name, value in headers},
            )
        )
    )
    return KindRequest(head, ends.client.body, ends.client.own_fields)


@attrs.define(eq=False)
class Talk:
    """One client of a kind before a front in memory, and all it published."""

    name: str
    given: dict[str, object] = attrs.field(factory=dict)
    timeout_s: float = 4.0
    seed: object = 0
    number: int = 3
    open_loop: bool = False
    time: Time = attrs.field(factory=Time)
    bus: EventBus = attrs.field(factory=EventBus)
    volley: Volley | None = None
    request: PreparedRequest | KindRequest | None = None  #: None: as a run makes it
    ends: Ends = attrs.field(init=False)
    front: Front = attrs.field(init=False)
    events: list[Event] = attrs.field(init=False)
    client: Dialogue = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.ends = Ends(self.name, self.given)
        self.front = Front(self.time)
        self.events = record(self.bus)
        common: dict[str, Any] = {
            "number": self.number,
            "reactor": self.time,
            "connector": self.front,
            "prepared": prepared(self.ends) if self.request is None else self.request,
            "expectation": from_numbered_backend,
            "sink": self.bus,
            "clock_ns": self.time.ns,
            "timeout_ns": ns(self.timeout_s),
            "open_loop": self.open_loop,
            "fresh": self.ends.client.fresh,
            "kind": self.name,
            "plain": False,
            "end": self.ends.client,
            "random": Random(f"{self.seed} {self.number}"),
        }
        self.client = Dialogue(**common) if self.volley is None else Aimer(**common, volley=self.volley)

    @property
    def exchanges(self) -> list[Exchange]:
        """Those published so far."""
        self.bus.flush()
        return [event for event in self.events if isinstance(event, Exchange)]

    @property
    def outcomes(self) -> list[str]:
        """Their failure classes, empty for successes."""
        return [exchange.failure for exchange in self.exchanges]

    @property
    def front_closed(self) -> list[FrontClosed]:
        """The ends of connections published so far."""
        self.bus.flush()
        return [event for event in self.events if isinstance(event, FrontClosed)]


def small(name: str, given: dict[str, object] | None = None, **more: Any) -> Talk:
    """Return a client whose requests are nothing but their ids, as `Front` knows them."""
    return Talk(name, given or {}, request=PREPARED, **more)


@attrs.define(eq=False)
class Hosted:
    """A client of a kind, and backend 3 behind a proxy that passes on every byte."""

    talk: Talk
    carried: dict[int, Inlet] = attrs.field(factory=dict)  #: by the number of the client's connection
    _passed: dict[int, int] = attrs.field(factory=dict)

    @property
    def inlet(self) -> Inlet:
        """The backend's end of the latest connection."""
        return self.carried[len(self.talk.front.wires) - 1]

    def carry_once(self, cuts: Sequence[int] = ()) -> bool:
        """Carry what there is to the backend, and then to the client, cut in these places; whether there was any."""
        moved = False
        for number, wire in enumerate(self.talk.front.wires):
            inlet = self.carried.get(number)
            if inlet is None:
                inlet = self.carried[number] = Inlet(time=self.talk.time)
            new = wire.written[self._passed.get(number, 0) :]
            self._passed[number] = len(wire.written)
            inlet.hears(*([new] if new else []))
            said = inlet.said()
            wire.says(*parts(said, cuts))
            moved = moved or bool(new or said)
        return moved

    def carry(self, cuts: Sequence[int] = ()) -> None:
        """Carry bytes to and fro until there are none."""
        while self.carry_once(cuts):
            pass

    def forgets(self) -> None:
        """Give up what is under way at the backend's end of the latest connection."""
        number = len(self.talk.front.wires) - 1
        inlet = self.carried.pop(number, None)
        if inlet is not None:
            inlet.closes()
        self._passed[number] = len(self.talk.front.wire.written)

    def goes_on(self, seconds: float, step_s: float = 0.05, cuts: Sequence[int] = ()) -> None:
        """Let time pass, and all be carried."""
        self.carry(cuts)
        for _ in range(round(seconds / step_s)):
            self.talk.time.advance(step_s)
            self.carry(cuts)
