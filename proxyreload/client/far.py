"""Clients that are a network away: a delay line in the connection, without a relay and without privileges.

What a client sends is written to the socket half a round trip after it was sent, whatever the socket has learned
meanwhile; what the socket hears reaches the client half a round trip later, its end and its reset too. So a request is
on its way when the proxy closes, as that of a client so far away is, and what is lost is lost for real.
"""

from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IReactorTime, IStreamClientEndpoint
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.interfaces import IConnection
from proxyreload.system.alarm import IAlarm, alarm
from proxyreload.system.clock import NS_PER_US, ClockNs

#: So many bytes at most are on their way to the client, as in the window of a TCP without scaling (RFC 9293, 3.1):
#: without a bound a whole download would be on its way before the first of it could make the client rest.
WINDOW_BYTES = 65_535
#: How finely its own lateness is counted.
_STEP_US = 10


@attrs.define(eq=False)
class DelayLine:
    """Does everything half a round trip after it was asked to, in the order in which it was.

    ``late_us`` counts by how much too late it did, in steps of 10 µs.
    """

    reactor: IReactorTime
    clock_ns: ClockNs
    one_way_ns: int
    late_us: Counter[int] = attrs.field(factory=Counter, init=False)
    ends: "set[FarEnd]" = attrs.field(factory=set, init=False)
    _waiting: deque[tuple[int, Callable[[], object]]] = attrs.field(factory=deque, init=False)
    _alarm: IAlarm | None = attrs.field(default=None, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def after(self, work: Callable[[], object]) -> None:
        """Do `work` half a round trip from now; not at all once the line is closed."""
        if self._closed:
            return
        if self._alarm is None:
            self._alarm = alarm(self.reactor, self._ring)
        self._waiting.append((self.clock_ns() + self.one_way_ns, work))
        if len(self._waiting) == 1:
            self._alarm.set(self.one_way_ns)

    def connect(self, endpoint: IStreamClientEndpoint, connection: HTTP11Connection) -> Deferred[IConnection]:
        """Open a connection: the SYN is half a round trip on its way, and so is the answer to it."""
        opening = _Opening(self, endpoint, connection)
        self.after(opening.begin)
        return opening.opened

    def close(self) -> None:
        """Give everything back; what is on its way is lost."""
        self._closed = True
        self._waiting.clear()
        if self._alarm is not None:
            self._alarm.close()
            self._alarm = None
        for end in tuple(self.ends):
            end.cut()

    def late_percentile_us(self, percent: float) -> int:
        """Return by how much it was too late at most in so many of a hundred cases."""
        wanted = percent / 100 * self.late_us.total()
        seen = 0
        for late_us in sorted(self.late_us):
            seen += self.late_us[late_us]
            if seen >= wanted:
                return late_us
        return 0

    def _ring(self) -> None:
        waiting = self._waiting
        while waiting:
            due_ns, work = waiting[0]
            late_ns = self.clock_ns() - due_ns
            if late_ns < 0:
                if self._alarm is not None:
                    self._alarm.set(-late_ns)
                return
            waiting.popleft()
            self.late_us[late_ns // NS_PER_US // _STEP_US * _STEP_US] += 1
            work()


@attrs.define(eq=False)
class _Opening:
    """A connection that is being opened."""

    line: DelayLine
    endpoint: IStreamClientEndpoint
    connection: HTTP11Connection
    opened: Deferred[IConnection] = attrs.field(init=False)
    _end: "FarEnd | None" = None
    _connecting: Deferred[Any] | None = None
    _given_up: bool = False

    def __attrs_post_init__(self) -> None:
        self.opened = Deferred(self._cancel)

    def begin(self) -> None:
        if self._given_up:
            return
        end = self._end = FarEnd(self.line, self.connection, self._made)
        factory: Factory[Protocol] = Factory.forProtocol(lambda: end)
        factory.noisy = False
        self._connecting = cast(Deferred[Any], self.endpoint.connect(factory))
        self._connecting.addErrback(lambda reason: self.line.after(partial(self._failed, reason)))

    def _made(self) -> None:
        self.opened.callback(cast(IConnection, self.connection))

    def _failed(self, reason: Failure) -> None:
        if not self._given_up:
            self.opened.errback(reason)

    def _cancel(self, _opened: Deferred[IConnection]) -> None:
        self._given_up = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._end is not None:
            self._end.forsake()


class NearTransport:
    """What the client's connection takes for its transport."""

    def __init__(self, end: "FarEnd") -> None:
        """Be near what `end` is far from."""
        self._end = end
        self.disconnecting = False

    def write(self, data: bytes) -> None:
        """Send."""
        self._end.line.after(partial(self._end.write, data))

    def loseConnection(self) -> None:
        """Close in order."""
        self.disconnecting = True
        self._end.line.after(self._end.lose)

    def abortConnection(self) -> None:
        """Reset."""
        self.disconnecting = True
        self._end.line.after(self._end.cut)

    def pauseProducing(self) -> None:
        """Read no more: what is on its way comes still."""
        self._end.line.after(self._end.rest)

    def resumeProducing(self) -> None:
        """Read again."""
        self._end.line.after(self._end.read_on)

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: FBT001
        """It is."""

    def getHost(self) -> IAddress:
        """Return the socket's own address."""
        return cast(IAddress, self._end.host)

    def getPeer(self) -> IAddress:
        """Return the proxy's."""
        return cast(IAddress, self._end.peer)


@implementer(IHalfCloseableProtocol)
class FarEnd(Protocol):
    """The end of the line at the socket."""

    def __init__(self, line: DelayLine, connection: HTTP11Connection, made: Callable[[], None]) -> None:
        """Carry what `connection` sends and hears; `made` is called when it hears that it is open."""
        self.line = line
        self._connection = connection
        self._made = made
        self._ended = False  # which the connection hears, or has heard
        self._on_way = 0  # bytes that were read and not heard yet
        self._resting = False  # as the client wishes
        self._reading = True
        self._forsaken = False  # the client has given it up before it heard that it is open
        self.host: Any = None
        self.peer: Any = None

    def connectionMade(self) -> None:
        """Let the client hear of it."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        self.host, self.peer = transport.getHost(), transport.getPeer()
        self.line.ends.add(self)
        if self._forsaken:
            self.cut()
        else:
            self.line.after(self._opened)

    def forsake(self) -> None:
        """Let the client hear nothing of it, and the proxy of the client's reset."""
        self._forsaken = True
        self.line.after(self.cut)

    def dataReceived(self, data: bytes) -> None:
        """Let the client hear it."""
        self._on_way += len(data)
        self._look()
        self.line.after(partial(self._heard, data))

    def readConnectionLost(self) -> None:
        """Let the client hear of the FIN, while what it has sent meanwhile is written still (RFC 9293, 3.6)."""
        self._end(Failure(CONNECTION_DONE))

    def writeConnectionLost(self) -> None:
        """Nothing is closed from here by halves."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let the client hear of it, if it does not already."""
        self.line.ends.discard(self)
        self._end(reason)

    # What the client has sent arrives.

    def write(self, data: bytes) -> None:
        """Write to the socket."""
        if self.transport is not None:
            self.transport.write(data)

    def lose(self) -> None:
        """Close the socket."""
        if self.transport is not None:
            self.transport.loseConnection()

    def cut(self) -> None:
        """Reset it."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def rest(self) -> None:
        """Read nothing."""
        self._resting = True
        self._look()

    def read_on(self) -> None:
        """Read again."""
        self._resting = False
        self._look()

    def _look(self) -> None:
        """Read, or do not, as the client wishes and as its window is open."""
        reading = not self._resting and self._on_way < WINDOW_BYTES
        if reading is not self._reading and not self._ended:
            self._reading = reading
            transport: Any = self.transport
            transport.resumeProducing() if reading else transport.pauseProducing()

    def _opened(self) -> None:
        if not self._forsaken:
            self._connection.makeConnection(cast(Any, NearTransport(self)))
            self._made()

    def _heard(self, data: bytes) -> None:
        self._on_way -= len(data)
        self._look()
        if not self._forsaken:
            self._connection.dataReceived(data)

    def _end(self, reason: Failure) -> None:
        if not self._ended:
            self._ended = True
            self.line.after(partial(self._heard_end, reason))

    def _heard_end(self, reason: Failure) -> None:
        if not self._forsaken:
            self._connection.connectionLost(reason)
        self.line.after(self.lose)  # behind what the client has sent before it heard
