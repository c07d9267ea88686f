"""What the tests in memory share: time, transports, connections and events made to order."""

import socket
from collections import deque
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from itertools import pairwise
from typing import Any, TypeVar, cast

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from proxyreload.client.client import Client
from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.interfaces import IConnection, IConnectionOwner, IConnector
from proxyreload.client.pending import Pending
from proxyreload.client.request import PreparedRequest
from proxyreload.history.bus import EventBus
from proxyreload.history.events import (
    Arrival,
    BackClosed,
    BackendKilled,
    BaselineTaken,
    Broken,
    Change,
    ConnectionChanged,
    Ended,
    Ending,
    Event,
    Exchange,
    FrontClosed,
    Phase,
    RateChanged,
    RecordLost,
    ReporterFailed,
    ScheduleKept,
    Skipped,
    Stalled,
    Started,
    Unproved,
)
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import IProxy, Mechanism, ProxyPlugin
from proxyreload.proxy.upstream import Upstream
from proxyreload.system.clock import NS_PER_MS, NS_PER_S, ns
from proxyreload.system.sockets import SocketGroup
from proxyreload.traffic.get import from_numbered_backend, numbered_body
from proxyreload.traffic.identity import PROBE_MARK
from proxyreload.traffic.interfaces import Expectation

#: Where the clocks of the tests begin: 0 means "never" in many a record.
START_NS = 1000 * NS_PER_S
FRONT_PORT = 8080
EVENTS: tuple[type, ...] = (
    *(
        Exchange,
        Arrival,
        FrontClosed,
        ConnectionChanged,
        BackClosed,
        BackendKilled,
        Change,
        Broken,
        ReporterFailed,
        Started,
        Ended,
        RateChanged,
        RecordLost,
        Skipped,
        Unproved,
        BaselineTaken,
        Stalled,
        ScheduleKept,
    ),
)

#: For property-based tests: few examples, and no limit on how long one takes.
some_examples = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


T = TypeVar("T")
_case = SynchronousTestCase()


def result_of(deferred: Deferred[T]) -> T:
    """Return what a Deferred has fired with."""
    return _case.successResultOf(deferred)


def error_of(deferred: Deferred[Any], *kinds: type[Exception]) -> Exception:
    """Return the exception with which a Deferred has failed."""
    failure = _case.failureResultOf(deferred, *kinds)
    return cast(Exception, failure.value)


def waits(deferred: Deferred[Any]) -> bool:
    """Whether a Deferred has not fired yet."""
    return not deferred.called


class Time(Clock):
    """A reactor's clock and the run's own, which go together."""

    def ns(self) -> int:
        """Return the run's time."""
        return START_NS + round(self.seconds() * NS_PER_S)


@implementer(IReactorFDSet)
class Readers(Time):
    """A reactor that can watch descriptors."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: list[IReadDescriptor] = []

    def addReader(self, reader: IReadDescriptor) -> None:
        self.watched.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        self.watched.remove(reader)

    def addWriter(self, writer: object) -> None: ...

    def removeWriter(self, writer: object) -> None: ...

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        return []

    def getReaders(self) -> list[IReadDescriptor]:
        return self.watched

    def getWriters(self) -> list[IWriteDescriptor]:
        return []


# Connections.


def parts(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Return `stream` cut at these places, wherever in it they fall."""
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [part for start, end in pairwise(edges) if (part := stream[start:end])]


def answer_bytes(
    request_id: bytes,
    instance: bytes = b"0",
    back_port: bytes = b"50000",
    *,
    status: bytes = b"200 OK",
    body: bytes | None = None,
    extra: bytes = b"",
) -> bytes:
    """Return the bytes of the answer that a backend owes to a request, or of one that is wrong in some way."""
    if body is None:
        body = numbered_body(instance, request_id)
    return (
        b"HTTP/1.1 %b\r\nBackend-Id: %b\r\nSource-Port: %b\r\nProxyreload-Id: %b\r\n%bContent-Length: %d\r\n\r\n%b"
        % (status, instance, back_port, request_id, extra, len(body), body)
    )


class MemoryTransport(StringTransport):
    """A TCP connection of which both ends are in the test's hands."""

    def __init__(self, local_port: int = 40000, peer_port: int = FRONT_PORT) -> None:
        super().__init__(IPv4Address("TCP", "127.0.0.1", local_port), IPv4Address("TCP", "127.0.0.1", peer_port))
        self.no_delay = False

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: FBT001
        self.no_delay = enabled

    @property
    def closed(self) -> bool:
        """Whether this side closed it in order."""
        return bool(self.disconnecting) and not self.aborted

    @property
    def aborted(self) -> bool:
        """Whether this side reset it."""
        return bool(self.disconnected)


class KernelTransport(MemoryTransport):
    """One with a socket of the kernel's below it: what is sent arrives at `far`."""

    def __init__(self, local_port: int = 40000, peer_port: int = FRONT_PORT) -> None:
        super().__init__(local_port, peer_port)
        self.near, self.far = socket.socketpair()
        self.near.settimeout(0)
        self.far.settimeout(0)
        self.protocol: Protocol | None = None
        self.reading = True

    def getHandle(self) -> socket.socket:
        return self.near

    def stopReading(self) -> None:
        self.reading = False

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket, and tell the protocol, as a real transport does in this order."""
        self.near.close()
        if self.protocol is not None:
            self.protocol.connectionLost(reason)

    def arrived(self) -> bytes:
        """Return what has come out at the far end since the last time."""
        try:
            return self.far.recv(1 << 20)
        except BlockingIOError:
            return b""

    def fill(self) -> None:
        """Leave no room for anything that is to be sent."""
        while True:
            try:
                self.near.send(b"x" * 65536)
            except BlockingIOError:
                return

    def release(self) -> None:
        self.near.close()
        self.far.close()


@implementer(IConnectionOwner)
@attrs.define(eq=False)
class Owner:
    """Writes down all it hears of its connection."""

    heard: list[tuple[str, ...]] = attrs.field(factory=list)
    settled: list[Pending] = attrs.field(factory=list)  #: those it got back, answered or broken

    def answered(self, connection: IConnection, pending: Pending) -> None:
        self.settled.append(pending)
        self.heard.append(("answered",))

    def broken(self, connection: IConnection, pending: Pending, failure: str, message: str) -> None:
        self.settled.append(pending)
        self.heard.append(("broken", failure, message))

    def closed(self, connection: IConnection, ending: Ending, message: str) -> None:
        self.heard.append(("closed", ending.value, message))

    @property
    def failures(self) -> list[str]:
        """The classes of the failures it heard of."""
        return [what[1] for what in self.heard if what[0] == "broken"]


@attrs.define(eq=False)
class Wire:
    """One connection as the proxy sees it: what came over it, and what it does."""

    connection: HTTP11Connection
    transport: MemoryTransport
    answered: int = 0  #: requests that `answers` has answered
    pending: Pending = attrs.field(
        factory=lambda: Pending(0, b"")
    )  #: what becomes of the latest that was sent by `send`

    @classmethod
    def open(
        cls,
        owner: IConnectionOwner,
        time: Time,
        transport: MemoryTransport | None = None,
        kind: type[HTTP11Connection] = HTTP11Connection,
        group: SocketGroup | None = None,
    ) -> "Wire":
        """Connect `owner`."""
        wire = cls(kind(owner, time.ns, time.ns(), group), transport or MemoryTransport())
        wire.connection.makeConnection(wire.transport)
        return wire

    @property
    def written(self) -> bytes:
        """All that was ever written to it."""
        written: bytes = self.transport.value()
        return written

    def send(self, payload: bytes = b"GET 0!\n", request_id: bytes = b"") -> Pending:
        """Let the client send one request; without an id every answer is parsed, whether or not it is known."""
        self.pending = Pending(self.connection.carried, request_id)
        self.connection.send(payload, self.pending)
        return self.pending

    def says(self, *chunks: bytes) -> None:
        """Send bytes to the client, each chunk in a read of its own, for as long as it reads."""
        for chunk in chunks:
            if not self.transport.disconnecting:
                self.connection.dataReceived(chunk)

    @property
    def requests(self) -> list[bytes]:
        """The ids of the requests (`PREPARED`) that came over it."""
        return [line.removeprefix(b"GET ").removesuffix(b"!") for line in self.written.splitlines()]

    def answers(self, **how: Any) -> None:
        """Answer the latest request, if it has not been."""
        if len(self.requests) > self.answered:
            self.answered = len(self.requests)
            self.says(answer_bytes(self.requests[-1], **how))

    def closes(self) -> None:
        """Close in order (FIN)."""
        self.connection.connectionLost(Failure(ConnectionDone()))

    def resets(self) -> None:
        """Reset (RST)."""
        self.connection.connectionLost(Failure(ConnectionLost("Connection reset by peer")))


@implementer(IConnector)
@attrs.define(eq=False)
class Front:
    """A proxy's front in memory: opens connections at once, or does as it is told.

    `outcomes` is what becomes of the next attempts: an exception, or None for a connection; `held` keeps attempts
    waiting until `let_in`.
    """

    time: Time
    outcomes: deque[Exception | None] = attrs.field(factory=deque)
    held: bool = False
    wires: list[Wire] = attrs.field(factory=list)
    attempts: int = 0
    cancelled: int = 0
    timeouts_s: list[float] = attrs.field(factory=list)
    transports: deque[MemoryTransport] = attrs.field(factory=deque)  #: to be used for the next connections
    kind: type[HTTP11Connection] = HTTP11Connection
    _waiting: list[tuple[Deferred[IConnection], IConnectionOwner]] = attrs.field(factory=list)

    def connect(self, owner: IConnectionOwner, timeout_s: float) -> Deferred[IConnection]:
        self.attempts += 1
        self.timeouts_s.append(timeout_s)
        if self.held:
            waiting: Deferred[IConnection] = Deferred(self._cancelled)
            self._waiting.append((waiting, owner))
            return waiting
        outcome = self.outcomes.popleft() if self.outcomes else None
        return succeed(self._open(owner)) if outcome is None else fail(outcome)

    def let_in(self) -> None:
        """Open the connections that wait."""
        waiting, self._waiting = self._waiting, []
        for deferred, owner in waiting:
            if not deferred.called:
                deferred.callback(self._open(owner))

    def turn_away(self, error: Exception) -> None:
        """Fail the attempt that waits longest."""
        self._waiting.pop(0)[0].errback(Failure(error))

    @property
    def wire(self) -> Wire:
        """The latest connection."""
        return self.wires[-1]

    @property
    def requests(self) -> list[bytes]:
        """The ids of all requests that were ever written, connection by connection."""
        return [request for wire in self.wires for request in wire.requests]

    def answers(self, **how: Any) -> None:
        """Answer the latest request, on the latest connection."""
        self.wire.answers(**how)

    def _open(self, owner: IConnectionOwner) -> IConnection:
        transport = self.transports.popleft() if self.transports else MemoryTransport(40000 + len(self.wires))
        self.wires.append(Wire.open(owner, self.time, transport, self.kind))
        connection: IConnection = self.wire.connection
        return connection

    def _cancelled(self, _deferred: Deferred[IConnection]) -> None:
        self.cancelled += 1


#: A request that is nothing but its id, a line of its own.
PREPARED = PreparedRequest(b"GET ", b"!\n")


@attrs.define(eq=False)
class Bench:
    """One client before a front in memory, and all it published."""

    time: Time = attrs.field(factory=Time)
    bus: EventBus = attrs.field(factory=EventBus)
    front: Front = attrs.field(init=False)
    events: list[Event] = attrs.field(init=False)
    client: Client = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.front = Front(self.time)
        self.events = record(self.bus)
        self.make()

    def make(
        self,
        *,
        number: int = 3,
        open_loop: bool = False,
        probe: bool = False,
        expectation: Expectation = from_numbered_backend,
        timeout_s: float = 4,
    ) -> None:
        """Make the client anew."""
        self.client = Client(
            number=number,
            reactor=self.time,
            connector=self.front,
            prepared=PREPARED,
            expectation=expectation,
            sink=self.bus,
            clock_ns=self.time.ns,
            timeout_ns=ns(timeout_s),
            open_loop=open_loop or probe,
            probe=probe,
            mark=PROBE_MARK if probe else b"",
        )

    @property
    def exchanges(self) -> list[Exchange]:
        """Those published so far."""
        self.bus.flush()
        return [event for event in self.events if isinstance(event, Exchange)]

    @property
    def last(self) -> Exchange:
        """The latest exchange."""
        return self.exchanges[-1]

    @property
    def front_closed(self) -> list[FrontClosed]:
        """The ends of connections published so far."""
        return [event for event in self.events if isinstance(event, FrontClosed)]


# Events.


def record(bus: EventBus) -> list[Event]:
    """Return a list that takes every event of the bus, in order."""
    events: list[Event] = []
    for kind in EVENTS:
        bus.subscribe(kind, events.extend, "the test's record")
    return events


def exchange(**overrides: Any) -> Exchange:
    """Return a success of client 0 over its first connection, or what the overrides make of it."""
    fields: dict[str, Any] = {
        "client": 0,
        "number": 0,
        "due_ns": START_NS,
        "written_ns": START_NS,
        "first_byte_ns": START_NS + NS_PER_MS,
        "ended_ns": START_NS + NS_PER_MS,
        "connect_ns": 0,
        "connection": 0,
        "carried": 0,
        "front_port": 40000,
        "status": 200,
        "failure": "",
        "message": "",
        "instance": "0",
        "back_port": 50000,
        "announced": False,
        "probe": False,
    }
    return Exchange(**{**fields, **overrides})


def failed(failure: str, **overrides: Any) -> Exchange:
    """Return a failure without an answer."""
    return exchange(
        **{"failure": failure, "status": 0, "instance": "", "back_port": 0, "first_byte_ns": 0, **overrides}
    )


def change(phase: Phase, at_ns: int, action: str = "add", instance: str = "2", number: int = 1, **more: Any) -> Change:
    """Return one point of a change's way."""
    return Change(number, action, instance, "test:runtime", phase, at_ns, **more)


def front_closed(ending: Ending, *, probe: bool = False) -> FrontClosed:
    """Return the end of a client's connection."""
    return FrontClosed(0, 0, 40000, 5, ending, START_NS, probe)


def back_closed(instance: str, *, probe_only: bool = False) -> BackClosed:
    """Return the end of a connection to a backend."""
    return BackClosed(instance, 50000, 5, probe_only, START_NS)


@st.composite
def _any_exchange(draw: st.DrawFn) -> Exchange:
    client, connection = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    kind = draw(st.sampled_from(("success", "success", "success", "refused", "timeout", "status 503")))
    if kind == "refused":
        return failed(kind, client=client, connection=-1, front_port=0, written_ns=0)
    if kind == "timeout":
        return failed(kind, client=client, connection=connection)
    if kind == "status 503" and draw(st.booleans()):
        return failed(kind, client=client, connection=connection, status=503)
    return exchange(
        client=client,
        connection=connection,
        status=200 if kind == "success" else 503,
        failure="" if kind == "success" else kind,
        instance=draw(st.sampled_from(("0", "1", "a b", "a,b"))),
        back_port=draw(st.sampled_from((1, 50000, 65535))),
        connect_ns=draw(st.sampled_from((0, 5000))),
        announced=draw(st.booleans()),
    )


#: Exchanges of a few clients over a few connections to a few backends, in any order, some of them failures.
exchanges_st = st.lists(_any_exchange(), max_size=40)


# Plugins.


@implementer(IProxy)
@attrs.define(eq=False)
class FakeProxy:
    """A proxy of which each call is written down, and ends when and how the test says."""

    calls: list[tuple[str, object]] = attrs.field(factory=list)
    under_way: list[Deferred[None]] = attrs.field(factory=list)
    cancelled: int = 0

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        self.calls.append(("start", list(upstreams)))

    async def add_backend(self, upstream: Upstream) -> None:
        await self._wait("add", upstream)

    async def remove_backend(self, upstream: Upstream) -> None:
        await self._wait("remove", upstream)

    async def stop(self) -> None:
        self.calls.append(("stop", None))

    def done(self) -> None:
        """Let the change under way be applied."""
        self.under_way.pop(0).callback(None)

    def fails(self, error: Exception) -> None:
        """Let the change under way fail."""
        self.under_way.pop(0).errback(Failure(error))

    async def _wait(self, action: str, upstream: Upstream) -> None:
        self.calls.append((action, upstream.instance))
        deferred: Deferred[None] = Deferred(self._cancelled)
        self.under_way.append(deferred)
        await deferred

    def _cancelled(self, _deferred: Deferred[None]) -> None:
        self.cancelled += 1


BINARY = Binary("fakeproxy", how_to_get="build it yourself")
plugin = ProxyPlugin(
    name="fake",
    binary=BINARY,
    mechanisms=(
        Mechanism("quick", "at once", lambda _workspace: FakeProxy()),
        Mechanism("slow", "after a while", lambda _workspace: FakeProxy()),
    ),
)

#: As they might be installed: one that works, one that cannot be imported, one that is no plugin.
PLUGINS = (
    EntryPoint("incomplete", f"{__name__}:PREPARED", "proxyreload.plugins"),
    EntryPoint("fake", f"{__name__}:plugin", "proxyreload.plugins"),
    EntryPoint("broken", "proxyreload_that_is_not_installed:plugin", "proxyreload.plugins"),
)
