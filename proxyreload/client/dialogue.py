"""A client of any kind: what it sends, how it rests and what it makes of answers is its kind's to say."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from random import Random
from typing import cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from proxyreload.client.client import Client
from proxyreload.client.interfaces import IConnection
from proxyreload.client.pace import Pace
from proxyreload.client.pending import Pending
from proxyreload.history.events import Exchange, Paced
from proxyreload.system.clock import ns
from proxyreload.traffic.interfaces import Answer, ClientEnd, Conversation, Counting, Incoming

#: An exchange may take so many times as long as its kind needs by itself, and the client time-out besides.
WHOLE_FACTOR = 3
#: Bytes are read, and rested for, so many at a time: a hundredth of a second of them, but not less than this.
_READ_AT_LEAST = 4096
#: How often, before it says something, it first reads what has come meanwhile.
_LOOKS = 4


@attrs.define(eq=False)
class Dialogue(Client):
    """Sends what its kind's `end` says, in a closed loop with rests, or by a schedule."""

    end: ClientEnd = attrs.field(factory=ClientEnd, kw_only=True)
    random: Random = attrs.field(factory=Random, kw_only=True)
    _incoming: Incoming | None = attrs.field(default=None, init=False)
    _conversation: Conversation | None = attrs.field(default=None, init=False)
    _pieces: Iterator[tuple[float, bytes]] | None = attrs.field(default=None, init=False)
    _piece: IDelayedCall | None = attrs.field(default=None, init=False)  # the next one of the request's body
    _drawn: bytes = attrs.field(default=b"", init=False)  # its bytes
    _said_ns: int = attrs.field(default=0, init=False)  # when the latest one was sent
    _reading_on: IDelayedCall | None = attrs.field(default=None, init=False)
    _read: int = attrs.field(default=0, init=False)  # bytes of the answer under way
    _pace: Pace | None = attrs.field(default=None, init=False)  # of its messages, where it is many

    def __attrs_post_init__(self) -> None:
        """Judge as the kind does."""
        super().__attrs_post_init__()
        shared = self.expectation

        def judge(answer: Answer, request_id: bytes) -> tuple[str, str]:
            return shared(answer, request_id) if self._incoming is None else self._incoming.judge(answer)

        self.expectation = judge

    def stop(self) -> Deferred[None]:
        """Send nothing more; what takes long is ended here where its kind can tell what it came to so far."""
        stopped = super().stop()
        if self._connection is not None:
            self._end_pieces(self._connection)
            self._read_all(self._connection)
        self._end_here()
        return stopped

    # Of the client's, what is different here.

    def answered(self, connection: IConnection, pending: Pending) -> None:
        """Take an answer also in the middle of the request, of which the rest is not sent any more."""
        pending.unsent = self._pieces is not None or bool(pending.switched_ns)
        super().answered(connection, pending)

    def broken(self, connection: IConnection, pending: Pending, failure: str, message: str) -> None:
        """Say also what that leaves unanswered."""
        super().broken(connection, pending, *self._cut(pending, failure, message))

    def _give_up(self, pending: Pending, failure: str, message: str) -> None:
        super()._give_up(pending, *self._cut(pending, failure, message))

    def _begin(self, due_ns: int) -> None:
        number = self._sent
        super()._begin(due_ns)
        pending = self._pending
        if pending is None or pending.number != number:  # it failed at once, and may have been followed by another
            return
        self._conversation = self.end.conversation(pending.request_id)
        self._pieces = self.end.pieces(pending.request_id)
        self._incoming = self._conversation or self.end.incoming(pending.request_id)
        if self._conversation is not None:
            pending.switch = partial(self._switch, pending)
        if self._incoming is not None:
            self._read = 0
            pending.take = self._take
            self._pace = Pace(self.clock_ns()) if self.end.counted else None
        self._said_ns = 0
        self._go_on(pending)

    def _connected(self, connection: IConnection) -> None:
        super()._connected(connection)
        if self._pending is not None:
            self._go_on(self._pending)

    def _proceed(self, pause_s: float = 0.0) -> None:
        self._cancel_piece()
        self._pieces = self._pending = None
        if self._connection is not None:
            self._read_all(self._connection)
        elif self._reading_on is not None:
            self._reading_on.cancel()
            self._reading_on = None
        if self.end.rest_s is None or self.open_loop or self._backlog or self._stopped is not None:
            super()._proceed(pause_s)
            return
        rest_s = self.random.uniform(*self.end.rest_s)
        self._pause = self.reactor.callLater(max(rest_s, pause_s), self._resume)

    def _since_ns(self, pending: Pending) -> int:
        """Count from the latest sign of life, whichever side gave it, but not for ever."""
        since_ns = super()._since_ns(pending)
        if not pending.written_ns:
            return since_ns
        # While it rests from reading it is our doing that nothing comes; in a conversation all is answered.
        here_ns = self._said_ns if self._reading_on is None else self.clock_ns()
        here_ns = pending.switched_ns or here_ns
        latest_ns = max(since_ns, pending.heard_ns, here_ns) + ns(self.end.quiet_s)
        begun_ns = pending.switched_ns or pending.written_ns
        return min(latest_ns, max(since_ns, begun_ns + WHOLE_FACTOR * ns(self.end.lasts_s)))

    def _record(
        self,
        connection: IConnection | None,
        pending: Pending,
        ended_ns: int,
        failure: str,
        message: str,
        made: Callable[..., Exchange] = Exchange,
    ) -> None:
        super()._record(connection, pending, ended_ns, failure, message, made)
        pace, self._pace = self._pace, None
        if pace is not None and pace.worth_telling:
            self.sink.publish(
                Paced(
                    self.number,
                    self._connections - 1,
                    pending.number,
                    pace.begun_ns,
                    pace.slice_ns,
                    tuple(pace.counts),
                    ended_ns,
                )
            )

    # Its own.

    def _take(self, data: bytes) -> None:
        """Take what has come of the body, and read no faster than the kind does."""
        assert self._incoming is not None  # noqa: S101
        if self._conversation is not None:
            self._converse(data)
            return
        self._incoming.take(data)
        self._note_pace(self._incoming)
        per_s = self.end.read_per_s
        if self._stopped is not None:
            self._end_here()
            return
        if per_s is None:
            return
        self._read += len(data)
        if self._read >= max(_READ_AT_LEAST, per_s / 100) and self._reading_on is None and self._connection is not None:
            rest_s, self._read = self._read / per_s, 0
            self._connection.rest()
            self._reading_on = self.reactor.callLater(rest_s, self._read_on)

    def _note_pace(self, incoming: Incoming) -> None:
        if self._pace is not None:
            self._pace.have_come(cast(Counting, incoming).messages, self.clock_ns())

    def _switch(self, pending: Pending, fields: Mapping[bytes, bytes]) -> None:
        """Begin to speak another protocol."""
        assert self._conversation is not None  # noqa: S101
        self._conversation.switched(pending, fields)
        self._go_on(pending)
        self._converse(b"")

    def _converse(self, data: bytes) -> None:
        """Take what has come, reply to it, and see whether that was the end."""
        conversation, pending, connection = self._conversation, self._pending, self._connection
        if conversation is None or pending is None or connection is None or not pending.switched_ns:
            return  # it is the page of a refusal
        if data:
            conversation.take(data)
            self._note_pace(conversation)
        replies = conversation.replies()
        if replies:
            connection.more(replies)
        if not conversation.over:
            return
        failure, message = conversation.judge(pending)
        if failure and conversation.parting:
            connection.close()
            super().broken(connection, pending, failure, message)
        else:
            pending.last_byte_ns = pending.heard_ns
            pending.keep_alive, pending.parting = not conversation.parting, conversation.parting
            self.answered(connection, pending)

    def _cut(self, pending: Pending, failure: str, message: str) -> tuple[str, str]:
        """Return the class and the message of an exchange that was ended before it was over."""
        if self._conversation is None or not pending.switched_ns:
            return failure, message
        return self._conversation.cut(failure, message)

    def _read_on(self) -> None:
        self._reading_on = None
        self._said_ns = self.clock_ns()  # it was our doing that nothing came
        if self._connection is not None:
            self._connection.read_on()

    def _read_all(self, connection: IConnection) -> None:
        if self._reading_on is not None:
            self._reading_on.cancel()
            self._reading_on = None
            connection.read_on()

    def _go_on(self, pending: Pending) -> None:
        """Send the next piece, if there is one, at its time."""
        connection = self._connection
        if self._pieces is None or self._piece is not None or connection is None or not self._may_go_on(pending):
            return
        if self._stopped is not None:
            self._end_pieces(connection)
            return
        drawn = next(self._pieces, None)
        if drawn is None:
            self._pieces = None
        else:
            after_s, self._drawn = drawn
            self._piece = self.reactor.callLater(after_s, partial(self._say, pending, self._drawn))

    def _may_go_on(self, pending: Pending) -> bool:
        """Whether the head is written, or where another protocol was asked for, that is spoken."""
        return bool(pending.written_ns if self._conversation is None else pending.switched_ns)

    def _end_pieces(self, connection: IConnection) -> None:
        """End what is sent in pieces before its time, if it has begun."""
        if self._pieces is None or self._pending is None or not self._may_go_on(self._pending):
            return
        # What was drawn already counts as sent at the other end.
        drawn, ending = self._drawn if self._cancel_piece() else b"", self.end.ending()
        self._pieces = None
        connection.more(ending if drawn == ending else drawn + ending)

    def _end_here(self) -> None:
        """End an answer under way with the run, where its kind can tell what it came to so far."""
        pending, connection = self._pending, self._connection
        if pending is None or connection is None or self._incoming is None:
            return
        told = self._incoming.judge_unfinished(pending)
        if told is not None:
            connection.abort()
            self._record(connection, pending, self.clock_ns(), *told)
            self._connection = None
            self._proceed()

    def _say(self, pending: Pending, piece: bytes, looks: int = _LOOKS) -> None:
        self._piece = None
        connection = self._connection
        if self._pending is not pending or connection is None:
            return
        if pending.switched_ns and looks and connection.has_come():  # which may be the end
            self._piece = self.reactor.callLater(0, partial(self._say, pending, piece, looks - 1))
            return
        self._said_ns = self.clock_ns()
        connection.more(piece)
        self._go_on(pending)

    def _cancel_piece(self) -> bool:
        piece, self._piece = self._piece, None
        if piece is not None:
            piece.cancel()
        return piece is not None
