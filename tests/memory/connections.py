"""Connections of which both ends are in the test's hands."""

import socket
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.interfaces import IConnection, IConnectionOwner, IConnector
from proxyreload.client.pending import Pending
from proxyreload.client.request import PreparedRequest
from proxyreload.history.events import (
    Ending,
)
from proxyreload.system.sockets import SocketGroup
from proxyreload.traffic.get import numbered_body

from .clocks import Time

FRONT_PORT = 8080


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
        self.half_closed = False
        self.protocol: Protocol | None = None  #: who has it now, where somebody has handed it on

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: FBT001
        self.no_delay = enabled

    def loseWriteConnection(self) -> None:
        self.half_closed = True

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
