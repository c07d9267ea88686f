"""One client: a request, its outcome, the next request, over one connection at a time."""

from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client.interfaces import IConnection, IConnectionOwner
from proxyreload.client.outcome import connection_failure, outcome
from proxyreload.client.pending import Pending
from proxyreload.client.sender import PAUSE_AFTER_FAILED_CONNECTION_S, Sender
from proxyreload.history import failures
from proxyreload.history.events import CutExchange, Ending, Exchange, Holding
from proxyreload.system.clock import NS_PER_S

#: In place of a due time: without a schedule a request is due when it is written.
_AS_WRITTEN_NS = 0


@implementer(IConnectionOwner)
@attrs.define(eq=False)
class Client(Sender):
    """Sends one request after another and publishes exactly one `Exchange` for each.

    In a closed loop it sends the next request as soon as it has its answer. In an open loop (`open_loop`) a schedule
    calls `due` at set times, whatever the answers do; requests that are due while another is under way queue up and
    keep their due times. A probe opens a connection anew for each request.
    """

    _pending: Pending | None = attrs.field(default=None, init=False)  # the exchange under way
    _connection: IConnection | None = attrs.field(default=None, init=False)
    _pause: IDelayedCall | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Let a probe open a connection anew for each request."""
        super().__attrs_post_init__()
        self.fresh = self.fresh or self.probe

    @property
    def holdings(self) -> dict[int, Holding]:
        """Which of its connections to the proxy are open, by their ports here."""
        connection = self._connection
        return {connection.local_port: Holding(self.number, self._connections - 1)} if connection is not None else {}

    def start(self) -> None:
        """Send the first request, unless a schedule says when."""
        if not self.open_loop:
            self._begin(_AS_WRITTEN_NS)

    def follow(self, *, schedule: bool) -> None:
        """From now on send when a schedule says so, or else as soon as the request before has its outcome.

        What is under way, or was due already, keeps its due time.
        """
        if self._stopped is not None or schedule is self.open_loop:
            return
        self.open_loop = schedule
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if not schedule and self._pending is None:
            self._begin(_AS_WRITTEN_NS)

    def due(self, due_ns: int) -> None:
        """Send a request that the schedule wants sent at `due_ns`, as soon as the one before it has its outcome."""
        if self._stopped is not None:
            return
        if self._pending is not None:
            self._backlog.append(due_ns)
        else:
            self._begin(due_ns)

    def stop(self) -> Deferred[None]:
        """Send nothing but what is due already; fires when all that has its outcome.

        The connection stays, until `close`.
        """
        self._stopped = Deferred()
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._pending is None:
            self._finish()
        return self._stopped

    def close(self) -> None:
        """Close the connection: not before the run is over, for a proxy may close one of its own with it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abort(self) -> None:
        """End the exchange under way, if any, as aborted, and send nothing more."""
        self.drop()
        if self._pending is not None:
            self._give_up(self._pending, failures.ABORTED, "the run was ended")

    # IConnectionOwner

    def answered(self, connection: IConnection, pending: Pending) -> None:
        """Judge and record the answer, and go on."""
        failure, message = self.expectation(pending, pending.request_id)
        self._record(connection, pending, pending.last_byte_ns, failure, message)
        if self.fresh:
            connection.close()
            self._connection = None
        elif not pending.keep_alive:
            connection.close()
            self._lost(connection, Ending.ANNOUNCED, pending.parting)
        elif pending.unsent:  # of which the proxy would take the next request for a part
            connection.close()
            self._connection = None
        self._proceed()

    def broken(self, connection: IConnection, pending: Pending, failure: str, message: str) -> None:
        """Record the failure and go on with another connection."""
        made: Callable[..., Exchange] = Exchange
        if pending.last_state is not None:
            size = len(self.prepared.encode(pending.request_id)) + pending.added
            made = partial(CutExchange, size=size, last_state=pending.last_state)
        self._record(connection, pending, self.clock_ns(), failure, message, made)
        self._lost(connection, Ending.CUT, failure)
        self._proceed(PAUSE_AFTER_FAILED_CONNECTION_S if connection.carried == 1 else 0.0)

    def closed(self, connection: IConnection, ending: Ending, message: str) -> None:
        """Open another connection if a request waits for it."""
        self._lost(connection, ending, message)
        if self._pending is not None:
            self._connect(self._pending)

    # Its own.

    def _begin(self, due_ns: int) -> None:
        number = self._sent
        self._sent = number + 1
        pending = self._pending = Pending(number, self._prefix + b"%d" % number, due_ns)
        connection = self._connection
        if connection is None:
            self._connect(pending)
        else:
            # If it has been closed while idle, `closed` will be called, and connect.
            connection.send(self.prepared.encode(pending.request_id), pending)
        if self._alarm is None:
            self._set_alarm(self.timeout_ns)

    def _connect(self, pending: Pending) -> None:
        pending.begun_ns = self.clock_ns()
        connecting = self._connecting = self.connector.connect(self, self.timeout_ns / NS_PER_S)
        connecting.addCallbacks(self._connected, self._not_connected)

    def _connected(self, connection: IConnection) -> None:
        self._connection = connection
        self._opened(connection)
        pending = self._pending
        if pending is not None:
            connection.send(self.prepared.encode(pending.request_id), pending)

    def _not_connected(self, reason: Failure) -> None:
        self._connecting = None
        if self._pending is not None:
            failure, message = connection_failure(reason)
            self._record(None, self._pending, self.clock_ns(), failure, message)
            self._proceed(PAUSE_AFTER_FAILED_CONNECTION_S)

    def _proceed(self, pause_s: float = 0.0) -> None:
        self._pending = None
        if self._backlog:
            self._begin(self._next_due_ns())
        elif self._stopped is not None:
            self._finish()
        elif self.open_loop:
            pass
        elif pause_s:
            self._pause = self.reactor.callLater(pause_s, self._resume)
        else:
            self._begin(_AS_WRITTEN_NS)

    def _resume(self) -> None:
        self._pause = None
        self._begin(_AS_WRITTEN_NS)

    def _ring(self) -> None:
        """Time the exchange out if it is late."""
        self._alarm = None
        pending = self._pending
        if pending is None:
            return
        since_ns = self._since_ns(pending)
        if not since_ns:  # what waits for its turn to be written has its time from now
            since_ns = pending.begun_ns = self.clock_ns()
        left_ns = since_ns + self.timeout_ns - self.clock_ns()
        if left_ns > 0:
            self._last_look = None
            self._set_alarm(left_ns)
        elif self._last_look is not pending:
            # Timers come before sockets: should this process have stood still, the answer may have been waiting.
            self._last_look = pending
            self._set_alarm(0)
        elif self._connecting is not None:
            self._give_up(pending, failures.CONNECT_TIMEOUT, "")
        else:
            self._give_up(pending, failures.TIMEOUT, "")

    def _since_ns(self, pending: Pending) -> int:
        """Return from when on an exchange has its time, 0 if it waits for its turn to be written."""
        return pending.begun_ns or pending.written_ns

    def _give_up(self, pending: Pending, failure: str, message: str) -> None:
        """End the exchange under way from this side."""
        connection, ended_ns = self._connection, self.clock_ns()
        if connection is not None:
            connection.abort()
        self._record(connection, pending, ended_ns, failure, message)
        if connection is not None:
            self._lost(connection, Ending.CUT, failure)
        connecting, self._connecting = self._connecting, None
        self._pending = None
        if connecting is not None:
            connecting.cancel()
        self._proceed(PAUSE_AFTER_FAILED_CONNECTION_S if connecting is not None else 0.0)

    def _lost(self, connection: IConnection, ending: Ending, message: str = "") -> None:
        self._connection = None
        self._tell_closed(connection, self._connections - 1, ending, message)

    def _record(
        self,
        connection: IConnection | None,
        pending: Pending,
        ended_ns: int,
        failure: str,
        message: str,
        made: Callable[..., Exchange] = Exchange,
    ) -> None:
        number = self._connections - 1
        self.sink.exchanged(outcome(self, connection, number, pending, ended_ns, failure, message, made))
