"""A client with several exchanges at once, over one HTTP/2 connection."""

from random import Random
from typing import cast

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client.dialogue import WHOLE_FACTOR
from proxyreload.client.http2 import HTTP2Connection
from proxyreload.client.interfaces import IConnection, IManyOwner
from proxyreload.client.lane import Lane
from proxyreload.client.outcome import connection_failure, outcome
from proxyreload.client.parting import Parting
from proxyreload.client.pending import Pending
from proxyreload.client.sender import PAUSE_AFTER_FAILED_CONNECTION_S, Sender
from proxyreload.history import failures
from proxyreload.history.events import Ending, Holding, Paced, WentAway
from proxyreload.system.clock import NS_PER_S, ns
from proxyreload.traffic.interfaces import ClientEnd


@implementer(IManyOwner)
@attrs.define(eq=False)
class Multiplexed(Sender):
    """Sends up to ``end.streams`` requests at once, and publishes exactly one `Exchange` for each.

    Each lane is a closed loop, with the rests of its kind, unless a schedule says when (`open_loop`). When the proxy
    says GOAWAY nothing more is sent on that connection: what is under way there goes on, and the next request opens
    another. One that is turned away is recorded as that, and never repeated.
    """

    end: ClientEnd = attrs.field(factory=ClientEnd, kw_only=True)
    random: Random = attrs.field(factory=Random, kw_only=True)
    _lanes: list[Lane] = attrs.field(init=False)
    _lane_of: dict[Pending, Lane] = attrs.field(factory=dict, init=False)  # in the order in which they were begun
    _connection: HTTP2Connection | None = attrs.field(default=None, init=False)  # the one that is sent on
    _numbers: dict[IConnection, int] = attrs.field(factory=dict, init=False)  # of all that there are
    _waiting: bool = attrs.field(default=False, init=False)  # for room on the connection

    def __attrs_post_init__(self) -> None:
        """Make the lanes."""
        super().__attrs_post_init__()
        self._lanes = [Lane() for _number in range(max(1, self.end.streams))]

    @property
    def holdings(self) -> dict[int, Holding]:
        """Which of its connections to the proxy are open, by their ports here."""
        return {each.local_port: Holding(self.number, number) for each, number in self._numbers.items()}

    def start(self) -> None:
        """Send the first requests, unless a schedule says when."""
        if not self.open_loop:
            for lane in self._lanes:
                self._begin(lane, 0)

    def due(self, due_ns: int) -> None:
        """Send a request that is due then, as soon as there is a lane for it."""
        if self._stopped is not None:
            return
        lane = next((lane for lane in self._lanes if lane.pending is None), None)
        if lane is None:
            self._backlog.append(due_ns)
        else:
            self._begin(lane, due_ns)

    def stop(self) -> Deferred[None]:
        """Send nothing but what is due already; fires when all that has its outcome. The connections stay."""
        self._stopped = Deferred()
        for lane in self._lanes:
            lane.cancel_pause()
            self._end_pieces(lane)
            self._end_here(lane)
        self._finish_if_over()
        return self._stopped

    def close(self) -> None:
        """Close every connection: not before the run is over."""
        connections, self._numbers = list(self._numbers), {}
        self._connection = None
        for connection in connections:
            connection.close()

    def abort(self) -> None:
        """End the exchanges under way as aborted, and send nothing more."""
        self.drop()
        self._stopped = self._stopped or Deferred()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        for lane in self._lanes:
            lane.cancel_pause()
            if lane.pending is not None:
                self._give_up(lane, failures.ABORTED, "the run was ended")
        self._finish_if_over()

    # IManyOwner

    def answered(self, connection: IConnection, pending: Pending) -> None:
        """Judge and record an answer, and go on."""
        lane = self._lane_of[pending]
        pending.unsent = pending.continues
        if lane.incoming is None:
            failure, message = self.expectation(pending, pending.request_id)
        else:
            failure, message = lane.incoming.judge(pending)
        self._record(lane, connection, pending.last_byte_ns, failure, message)
        self._proceed(lane)

    def broken(self, connection: IConnection, pending: Pending, failure: str, message: str) -> None:
        """Record the failure, and go on, over another connection where this one is gone."""
        lane = self._lane_of[pending]
        self._record(lane, connection, self.clock_ns(), failure, message)
        # A proxy that turns all away is not asked again at once.
        self._proceed(lane, PAUSE_AFTER_FAILED_CONNECTION_S if failure == failures.TURNED_AWAY else 0.0)

    def parting(self, connection: IConnection, parting: Parting) -> None:
        """Send nothing more on it: what has not been written yet goes over another."""
        at_ns = self.clock_ns()
        self.sink.publish(
            WentAway(
                client=self.number,
                connection=self._numbers[connection],
                front_port=connection.local_port,
                carried=connection.carried,
                last_stream=parting.last_stream,
                code=parting.code,
                open=parting.open,
                turned_away=parting.turned_away,
                at_ns=at_ns,
                kind=self.kind,
                message=parting.debug,
            )
        )
        if self._connection is connection:
            self._connection = None
            self._tell_closed(connection, self._numbers[connection], Ending.ANNOUNCED, parting.words)
            self._send_elsewhere(connection)

    def begun(self, connection: IConnection, pending: Pending) -> None:  # noqa: ARG002
        """Send the rest of a request, a piece at a time."""
        self._go_on(self._lane_of[pending], pending)

    def drained(self, connection: IConnection) -> None:
        """Forget a connection that has done what it had to."""
        self._numbers.pop(connection, None)

    def closed(self, connection: IConnection, ending: Ending, message: str) -> None:
        """Open another connection if a request waits for one."""
        if self._connection is connection:
            self._connection = None
            self._tell_closed(connection, self._numbers[connection], ending, message)
        self._numbers.pop(connection, None)
        self._send_elsewhere(connection)

    # Its own.

    def _begin(self, lane: Lane, due_ns: int) -> None:
        number = self._sent
        self._sent = number + 1
        pending = Pending(number, self._prefix + b"%d" % number, due_ns)
        self._lane_of[pending] = lane
        lane.begin(pending, self.end, self.clock_ns)
        self._send(lane, pending)
        if self._alarm is None and self._lane_of:
            self._set_alarm(self.timeout_ns)

    def _send(self, lane: Lane, pending: Pending) -> None:
        """Send a request on the connection that there is, or one that is opened for it."""
        connection = self._connection
        if connection is None:
            pending.begun_ns = self.clock_ns()
            self._connect()
        elif connection.room:
            self._send_on(connection, lane, pending)
        else:  # it waits until another has its outcome
            pending.begun_ns = self.clock_ns()
            self._waiting = True

    def _send_on(self, connection: HTTP2Connection, lane: Lane, pending: Pending) -> None:
        lane.connection, lane.connection_number = connection, self._numbers[connection]
        connection.send(self.prepared.encode(pending.request_id), pending)

    def _send_waiting(self) -> None:
        """Send what waits, as far as there is room."""
        self._waiting = False
        for pending, lane in list(self._lane_of.items()):
            connection = self._connection
            if connection is None or not connection.room:
                self._waiting = True
                return
            if lane.connection is None:
                self._send_on(connection, lane, pending)

    def _send_elsewhere(self, connection: IConnection) -> None:
        """Send what was given to a connection, and was not written, over another."""
        for pending, lane in list(self._lane_of.items()):
            if lane.connection is connection and not pending.written_ns:
                lane.connection = None
                self._send(lane, pending)

    def _connect(self) -> None:
        if self._connecting is None:
            connecting = self._connecting = self.connector.connect(self, self.timeout_ns / NS_PER_S)
            connecting.addCallbacks(self._connected, self._not_connected)

    def _connected(self, connection: IConnection) -> None:
        self._connection = cast(HTTP2Connection, connection)
        self._numbers[connection] = self._opened(connection)
        self._send_waiting()

    def _not_connected(self, reason: Failure) -> None:
        self._connecting = None
        failure, message = connection_failure(reason)
        for pending, lane in list(self._lane_of.items()):
            if lane.connection is None and pending.begun_ns:
                self._record(lane, None, self.clock_ns(), failure, message)
                self._proceed(lane, PAUSE_AFTER_FAILED_CONNECTION_S)

    def _proceed(self, lane: Lane, pause_s: float = 0.0) -> None:
        """Go on in a lane that has its outcome; first whoever waits for its turn on the connection."""
        if self._waiting:
            self._send_waiting()
        if self._backlog:
            self._begin(lane, self._next_due_ns())
        elif self._stopped is not None:
            self._finish_if_over()
        elif not self.open_loop:
            rest_s = self.random.uniform(*self.end.rest_s) if self.end.rest_s is not None else 0.0
            pause_s = max(rest_s, pause_s)
            if pause_s:
                lane.pause = self.reactor.callLater(pause_s, self._resume, lane)
            else:
                self._begin(lane, 0)

    def _resume(self, lane: Lane) -> None:
        lane.pause = None
        self._begin(lane, 0)

    def _go_on(self, lane: Lane, pending: Pending) -> None:
        """Send the next piece of a request at its time, or say that there is none."""
        assert lane.pieces is not None  # noqa: S101
        drawn = next(lane.pieces, None)
        if drawn is None:
            self._add(lane, pending, b"", end=True)
        else:
            after_s, lane.drawn = drawn
            lane.piece = self.reactor.callLater(after_s, self._say, lane, pending)

    def _say(self, lane: Lane, pending: Pending) -> None:
        lane.piece = None
        self._add(lane, pending, lane.drawn, end=False)
        self._go_on(lane, pending)

    def _add(self, lane: Lane, pending: Pending, piece: bytes, *, end: bool) -> None:
        assert lane.connection is not None  # noqa: S101
        lane.said_ns = self.clock_ns()
        lane.connection.add(pending, piece, end=end)

    def _end_pieces(self, lane: Lane) -> None:
        """End what is sent in pieces before its time, if it has begun."""
        if lane.pending is not None and lane.piece is not None:
            # What was drawn already counts as sent at the other end.
            self._add(lane, lane.pending, lane.cancel_piece(), end=True)

    def _finish_if_over(self) -> None:
        if not self._lane_of:
            self._finish()

    def _end_here(self, lane: Lane) -> None:
        """End an answer under way with the run, where its kind can tell what it came to so far."""
        pending, connection = lane.pending, lane.connection
        if pending is None or connection is None or lane.incoming is None:
            return
        told = lane.incoming.judge_unfinished(pending)
        if told is not None:
            connection.give_up(pending)
            self._record(lane, connection, self.clock_ns(), *told)

    # Time-outs.

    def _ring(self) -> None:
        """Time out whatever is late."""
        self._alarm = None
        while self._lane_of:
            pending = min(self._lane_of, key=self._due_ns)
            left_ns = self._due_ns(pending) - self.clock_ns()
            if left_ns > 0:
                self._last_look = None
                self._set_alarm(left_ns)
                return
            if self._last_look is not pending:
                # Timers come before sockets: should this process have stood still, the answer may have been waiting.
                self._last_look = pending
                self._set_alarm(0)
                return
            lane = self._lane_of[pending]
            opening = lane.connection is None and self._connecting is not None
            self._give_up(lane, failures.CONNECT_TIMEOUT if opening else failures.TIMEOUT, "")

    def _due_ns(self, pending: Pending) -> int:
        """Return by when an exchange has to show a sign of life, but not for ever."""
        since_ns = pending.written_ns or pending.begun_ns
        latest_ns = max(since_ns, pending.heard_ns, self._lane_of[pending].said_ns) + ns(self.end.quiet_s)
        if pending.written_ns:
            latest_ns = min(latest_ns, max(since_ns, pending.written_ns + WHOLE_FACTOR * ns(self.end.lasts_s)))
        return latest_ns + self.timeout_ns

    def _give_up(self, lane: Lane, failure: str, message: str) -> None:
        """End an exchange under way from this side; a connection that says nothing at all is left."""
        pending, connection = lane.pending, lane.connection
        assert pending is not None  # noqa: S101
        if connection is not None:
            connection.give_up(pending)
        self._record(lane, connection, self.clock_ns(), failure, message)
        if connection is not None and connection is self._connection and connection.heard_ns <= pending.written_ns:
            self._connection = None
            self._tell_closed(connection, self._numbers[connection], Ending.CUT, failure)
            self._send_elsewhere(connection)
            connection.retire()
        self._proceed(lane, 0.0 if connection is not None else PAUSE_AFTER_FAILED_CONNECTION_S)

    # What it tells.

    def _record(self, lane: Lane, connection: IConnection | None, ended_ns: int, failure: str, message: str) -> None:
        pending = lane.pending
        assert pending is not None  # noqa: S101
        del self._lane_of[pending]
        pace = lane.end()
        number = lane.connection_number if connection is not None else -1
        self.sink.exchanged(outcome(self, connection, number, pending, ended_ns, failure, message))
        if pace is not None and pace.worth_telling:
            self.sink.publish(
                Paced(self.number, number, pending.number, pace.begun_ns, pace.slice_ns, tuple(pace.counts), ended_ns)
            )
