"""Clients that are a network away: a delay line in the connection, without a relay and without privileges.

What a client sends is written to the socket half a round trip after it was sent, whatever the socket has learned
meanwhile; what the socket hears reaches the client half a round trip later, its end and its reset too. So a request is
on its way when the proxy closes, as that of a client so far away is, and what is lost is lost for real. It stands
right above the socket: a TLS handshake crosses it as well.
"""

import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IReactorTCP,
    IStreamClientEndpoint,
)
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client.delayline import DelayLine
from proxyreload.system.tcpinfo import LastState, last_state

#: So many bytes at most are on their way to the client, or wait for it to read them, as in the window of a TCP without
#: scaling (RFC 9293, 3.1): without a bound a whole download would be there before the first of it made the client rest.
WINDOW_BYTES = 65_535


@attrs.frozen
class LastAckLater:
    """A reactor whose connections send the last ACK of their handshake along with their first bytes.

    A proxy far away accepts a connection when that ACK has come to it: one and a half round trips after the client
    began, and half a round trip after the client takes it for open. Without this it would accept it a round trip
    too early, with the configuration of that time. The kernel waits 200 ms for the bytes (TCP_DELACK_MAX).
    """

    reactor: IReactorTCP

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """Begin to connect: the SYN is sent in the reactor's next turn."""
        connector: IConnector = self.reactor.connectTCP(host, port, factory, timeout, bindAddress)
        handle = getattr(getattr(connector, "transport", None), "socket", None)
        if handle is not None and hasattr(socket, "TCP_DEFER_ACCEPT"):
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        return connector


@implementer(IStreamClientEndpoint)
@attrs.frozen
class FarEndpoint:
    """What is reached over a delay line: the SYN is half a round trip on its way, and so is the answer to it."""

    line: DelayLine
    endpoint: IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Open a connection; its protocol is built when the client hears of that."""
        opening = _Opening(self, protocolFactory)
        self.line.after(opening.begin)
        return opening.opened


@attrs.define(eq=False)
class _Opening:
    """A connection that is being opened."""

    to: FarEndpoint
    factory: IProtocolFactory
    opened: Deferred[IProtocol] = attrs.field(init=False)
    _end: "FarEnd | None" = None
    _connecting: Deferred[Any] | None = None
    _given_up: bool = False

    def __attrs_post_init__(self) -> None:
        self.opened = Deferred(self._cancel)

    def begin(self) -> None:
        if self._given_up:
            return
        end = self._end = FarEnd(self.to.line, self.factory, self.opened.callback)
        factory: Factory[Protocol] = Factory.forProtocol(lambda: end)
        factory.noisy = False
        self._connecting = cast(Deferred[Any], self.to.endpoint.connect(factory))
        self._connecting.addErrback(lambda reason: self.to.line.after(partial(self._failed, reason)))

    def _failed(self, reason: Failure) -> None:
        if not self._given_up:
            self.opened.errback(reason)

    def _cancel(self, _opened: Deferred[IProtocol]) -> None:
        self._given_up = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._end is not None:
            self._end.forsake()


class NearTransport:
    """What the client's connection, or the TLS below it, takes for its transport."""

    def __init__(self, end: "FarEnd") -> None:
        """Be near what `end` is far from."""
        self._end = end
        self.disconnecting = False

    def write(self, data: bytes) -> None:
        """Send; nothing once the end has been heard."""
        if not self._end.over:
            self._end.unwritten += len(data)
            self._end.line.after(partial(self._end.write, data))

    def loseConnection(self) -> None:
        """Close in order."""
        if not self.disconnecting:
            self.disconnecting = True
            self._end.leave(self._end.lose)

    def abortConnection(self) -> None:
        """Reset."""
        self.disconnecting = True
        self._end.leave(self._end.cut)

    def pauseProducing(self) -> None:
        """Read no more: what comes still waits here, as far as the window is open."""
        self._end.rest()

    def resumeProducing(self) -> None:
        """Read again, first what has come meanwhile."""
        self._end.read_on()

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: FBT001
        """It is."""

    def last_state(self) -> LastState | None:
        """Return what the kernel knows of the socket, whose end the client hears now."""
        return self._end.last_state()

    def getHost(self) -> IAddress:
        """Return the socket's own address."""
        return cast(IAddress, self._end.host)

    def getPeer(self) -> IAddress:
        """Return the proxy's."""
        return cast(IAddress, self._end.peer)


@implementer(IHalfCloseableProtocol)
class FarEnd(Protocol):
    """The end of the line at the socket."""

    def __init__(self, line: DelayLine, factory: IProtocolFactory, opened: Callable[[IProtocol], None]) -> None:
        """Carry what a protocol of `factory` sends and hears; `opened` is called when it hears that it is open."""
        self.line = line
        self._factory = factory
        self._made = opened
        self._near: IProtocol | None = None
        self._ended = False  # which the client hears, or has heard
        self.over = False  # the client has heard that, or has closed
        self._on_way = 0  # bytes that were read from the socket, and not by the client yet
        self._resting = False  # as the client wishes
        self._come: deque[bytes] = deque()  # what has come to the client, which does not read
        self._come_end: Failure | None = None  # and the end behind it
        self.unwritten = 0  # bytes that the client has sent, and that the kernel has not taken, or not yet
        self._fin = False  # which the socket has read
        self._last_state: LastState | None = None  # of a socket that is closed
        self._reading = True
        self._forsaken = False  # the client has given it up before it heard that it is open
        self._descriptor = -1  # in the line's group
        self._send: Callable[[bytes], int] | None = None
        self.host: Any = None
        self.peer: Any = None

    # What the socket hears.

    def connectionMade(self) -> None:
        """Let the client hear of it."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        self.host, self.peer = transport.getHost(), transport.getPeer()
        self.line.ends.add(self)
        if self._forsaken:
            self.cut()
            return
        get_handle = getattr(transport, "getHandle", None)
        if get_handle is not None:  # it is no transport in memory
            handle = get_handle()
            self._send = handle.send
            if self.line.group is not None:
                transport.stopReading()
                self._descriptor = handle.fileno()
                self.line.group.add(handle, self)
        self.line.after(self._opened)

    def dataReceived(self, data: bytes) -> None:
        """Let the client hear it."""
        self.received(data, self.line.clock_ns())

    def received(self, data: bytes, at_ns: int) -> None:
        """Let the client hear what was read at `at_ns`."""
        self._on_way += len(data)
        self._look()
        self.line.after(partial(self._heard, data), at_ns)

    def ended(self, reason: Failure) -> None:
        """Let the client hear of the end that the group has read: a FIN leaves the way to the proxy open."""
        self._descriptor = -1
        self._fin = reason.check(ConnectionDone) is not None
        if self._fin:
            self.readConnectionLost()
        else:
            transport: Any = self.transport
            if self._send is not None:
                self._last_state = last_state(transport.getHandle(), fin=False)
            transport.connectionLost(reason)

    def readConnectionLost(self) -> None:
        """Let the client hear of the FIN, while what it has sent meanwhile is written still (RFC 9293, 3.6)."""
        self._end(Failure(CONNECTION_DONE))

    def writeConnectionLost(self) -> None:
        """Nothing is closed from here by halves."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let the client hear of it, if it does not already."""
        self.line.ends.discard(self)
        self._leave_group()
        self._send = None
        self._end(reason)

    # What the client does.

    def forsake(self) -> None:
        """Let the client hear nothing of it, and the proxy of the client's reset."""
        self._forsaken = True
        self.line.after(self.cut)

    def leave(self, how: Callable[[], None]) -> None:
        """Let the client be gone in the reactor's next turn, as from a socket of its own, and the proxy hear of it."""
        self.line.after(how)
        self.line.reactor.callLater(0, self._gone, Failure(CONNECTION_DONE))

    # What the client has sent arrives.

    def write(self, data: bytes) -> None:
        """Write to the socket, at once if the kernel takes it."""
        taken = 0
        if self._send is not None:
            try:
                taken = self._send(data)
            except BlockingIOError:
                pass
            except OSError:
                return  # the kernel knows that the connection is gone, and the reactor will say so
            self.unwritten -= taken
            if taken < len(data):  # all that follows goes the same way: the rest of this must not be overtaken
                self._send = None
        if taken < len(data) and self.transport is not None:
            self.transport.write(data[taken:])

    def last_state(self) -> LastState | None:
        """Return what the kernel knows, or knew of a socket that is closed; what is on its way has not come there.

        None where it had no room for all that was written.
        """
        told, transport = self._last_state, cast(Any, self.transport)
        if told is None and self._fin and self._send is not None:
            told = last_state(transport.getHandle(), fin=True)
        return attrs.evolve(told, unacknowledged=told.unacknowledged + self.unwritten) if told is not None else None

    def lose(self) -> None:
        """Close the socket."""
        if self.transport is not None:
            self.transport.loseConnection()

    def cut(self) -> None:
        """Reset it."""
        transport: Any = self.transport
        if transport is not None:
            self._leave_group()
            transport.abortConnection()

    def transmit(self, *, readable: bool) -> None:
        """It is written to when the line says so, and not in a group's turn."""

    def rest(self) -> None:
        """Let the client read nothing."""
        self._resting = True

    def read_on(self) -> None:
        """Let it read again: in the reactor's next turn, as from a socket."""
        self._resting = False
        if self._come or self._come_end is not None:
            self.line.reactor.callLater(0, self._deliver)

    # Its own.

    def _look(self) -> None:
        """Read, or do not, as the window is open."""
        reading = self._on_way < WINDOW_BYTES
        if reading is self._reading or self._ended:
            return
        self._reading = reading
        group, transport = self.line.group, cast(Any, self.transport)
        if group is None or self._descriptor < 0:
            transport.resumeProducing() if reading else transport.pauseProducing()
        elif reading:
            group.read_on(self._descriptor)
        else:
            group.rest(self._descriptor)

    def _leave_group(self) -> None:
        if self.line.group is not None and self._descriptor >= 0:
            self.line.group.remove(self._descriptor)
            self._descriptor = -1

    def _opened(self) -> None:
        if not self._forsaken:
            self._near = self._factory.buildProtocol(self.peer)
            assert self._near is not None  # noqa: S101
            self._near.makeConnection(cast(Any, NearTransport(self)))
            self._made(self._near)

    def _deliver(self) -> None:
        """Let the client hear what has come, until it rests."""
        while self._come and not self._resting:
            self._read(self._come.popleft())
        if self._come_end is not None and not self._waits:
            reason, self._come_end = self._come_end, None
            self._heard_end(reason)

    @property
    def _waits(self) -> bool:
        """Whether what comes waits for the client to read."""
        return (self._resting or bool(self._come)) and not self.over

    def _heard(self, data: bytes) -> None:
        if self._waits:
            self._come.append(data)
        else:
            self._read(data)

    def _read(self, data: bytes) -> None:
        self._on_way -= len(data)
        self._look()
        if self._near is not None and not self.over:
            self._near.dataReceived(data)

    def _end(self, reason: Failure) -> None:
        if not self._ended:
            self._ended = True
            self.line.after(partial(self._heard_end, reason))

    def _heard_end(self, reason: Failure) -> None:
        if self._waits:  # it learns of that when it has read what came before
            self._come_end = reason
            return
        self._gone(reason)
        self.line.after(self.lose)  # behind what the client has sent before it heard

    def _gone(self, reason: Failure) -> None:
        """Let the client hear its end, once."""
        if self._near is not None and not self.over:
            self.over = True
            self._near.connectionLost(reason)
