"""What every client is, whatever its connections carry: its requests, and when they are due."""

from collections import deque

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from proxyreload.client.interfaces import IConnection, IConnector
from proxyreload.client.pending import Pending
from proxyreload.client.request import HTTP2Request, KindRequest, PreparedRequest
from proxyreload.history.events import Ending, FrontClosed, FrontSecured
from proxyreload.history.interfaces import Sink
from proxyreload.system.clock import NS_PER_S, ClockNs
from proxyreload.traffic.identity import id_prefix
from proxyreload.traffic.interfaces import Expectation

#: Without a rate, a client waits so long after a connection that came to nothing: a port where nobody listens answers
#: in microseconds.
PAUSE_AFTER_FAILED_CONNECTION_S = 0.1


@attrs.define(eq=False)
class Sender:
    """A client: what it sends and through what, which of it was late, and what it tells of its connections."""

    number: int
    reactor: IReactorTime
    connector: IConnector
    prepared: PreparedRequest | KindRequest | HTTP2Request
    expectation: Expectation
    sink: Sink
    clock_ns: ClockNs
    timeout_ns: int
    open_loop: bool = False
    probe: bool = False
    fresh: bool = False  #: a connection for each request
    kind: str = "get"
    plain: bool = True  #: as `Exchange.plain`
    long: bool = False  #: as `Exchange.long`
    mark: bytes = b""  #: a letter before its request ids: these are not the traffic under test

    late: int = attrs.field(default=0, init=False)  #: requests that were due before the one before them had its outcome
    late_peak_ns: int = attrs.field(default=0, init=False)
    never_sent: int = attrs.field(default=0, init=False)  #: requests that were due, and dropped at the end
    _sent: int = attrs.field(default=0, init=False)
    _last_look: Pending | None = attrs.field(default=None, init=False)  # for which sockets were looked at once more
    _backlog: deque[int] = attrs.field(factory=deque, init=False)
    _connections: int = attrs.field(default=0, init=False)
    _connecting: Deferred[IConnection] | None = attrs.field(default=None, init=False)
    _alarm: IDelayedCall | None = attrs.field(default=None, init=False)
    _stopped: Deferred[None] | None = attrs.field(default=None, init=False)
    _prefix: bytes = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Prepare the constant part of the request ids."""
        self._prefix = id_prefix(self.mark, self.number)

    def drop(self) -> None:
        """Send nothing more, not even what is due already: ``never_sent`` counts it."""
        self.never_sent += len(self._backlog)
        self._backlog.clear()

    # For the clients that there are.

    def _next_due_ns(self) -> int:
        """Take the request that has been due longest: it is late, for another was under way."""
        due_ns = self._backlog.popleft()
        self.late += 1
        self.late_peak_ns = max(self.late_peak_ns, self.clock_ns() - due_ns)
        return due_ns

    def _finish(self) -> None:
        """Say that all has its outcome."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._stopped is not None and not self._stopped.called:
            self._stopped.callback(None)

    def _set_alarm(self, delay_ns: int) -> None:
        self._alarm = self.reactor.callLater(delay_ns / NS_PER_S, self._ring)

    def _ring(self) -> None:
        """Time out whatever is late; one alarm serves many exchanges, setting one for each costs more."""
        raise NotImplementedError

    def _opened(self, connection: IConnection) -> int:
        """Return the so manyth a connection is that was just opened, and tell by which certificate, if by one."""
        self._connecting = None
        number = self._connections
        self._connections = number + 1
        if connection.shown is not None:
            at_ns = self.clock_ns()
            self.sink.publish(
                FrontSecured(
                    client=self.number,
                    connection=number,
                    front_port=connection.local_port,
                    shown=connection.shown,
                    begun_ns=at_ns - connection.connect_ns,
                    at_ns=at_ns,
                    probe=self.probe,
                    kind=self.kind,
                )
            )
        return number

    def _tell_closed(self, connection: IConnection, number: int, ending: Ending, message: str) -> None:
        self.sink.publish(
            FrontClosed(
                client=self.number,
                connection=number,
                front_port=connection.local_port,
                carried=connection.carried,
                ending=ending,
                closed_ns=self.clock_ns(),
                probe=self.probe,
                message=message,
                kind=self.kind,
            )
        )
