"""One HTTP/1.1 connection of a client, parsed by httptools (RFC 9112)."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import httptools
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client.fields import BACK_PORT, ECHOED_ID, INSTANCE, LENGTH, field_of, spellings
from proxyreload.client.front import BODY_KEPT, FrontConnection
from proxyreload.client.interfaces import IConnection, IConnectionOwner
from proxyreload.client.memo import VALUE_KEPT, AnswerMemo, KnownAnswer
from proxyreload.client.pending import Pending
from proxyreload.client.surplus import surplus
from proxyreload.history import failures
from proxyreload.history.events import Ending
from proxyreload.system.clock import ClockNs
from proxyreload.system.sockets import SocketGroup
from proxyreload.system.tcpinfo import LastState, last_state
from proxyreload.system.untrusted import printable

#: So many bytes of an answer, interim ones included, have to end its head, and as many more have to bring some of its
#: body, be it chunked with extensions and trailers; without a bound a proxy could fill the memory.
HEAD_LIMIT = 256 * 1024

#: Codes that are no status, the one for another protocol, which nobody asks for, and the first that is not interim.
_STATUS_MIN, _SWITCHED, _FINAL = 100, 101, 200
_LINE_ENDS = (b"\r", b"\n")

_memo = AnswerMemo()


@implementer(IConnection)
class HTTP11Connection(FrontConnection[IConnectionOwner]):
    """One connection that carries one exchange after another, so that it has room for one.

    In the clear, its socket is read and written to by a `SocketGroup`; what the kernel does not take at once, and all
    of TLS, goes through Twisted's transport, which buffers.

    What becomes of an exchange depends on the bytes up to the end of its answer, never on the pieces in which they are
    read. So an answer that is whole stands, whatever comes behind it: bytes that nobody asked for, in the same read or
    in a later one, are the connection's doing, which ends with `Ending.UNSOLICITED`.
    """

    ALPN: Sequence[bytes] = (b"http/1.1",)

    def __init__(
        self, owner: IConnectionOwner, clock_ns: ClockNs, started_ns: int, group: SocketGroup | None = None
    ) -> None:
        """Report to `owner`; the connection was begun at `started_ns`, and its socket is read by `group`."""
        super().__init__(owner, clock_ns, started_ns, group)
        self._parser = httptools.HttpResponseParser(self)
        self._pending: Pending | None = None  # the one under way
        self._next: Pending | None = None  # the one to be written, with its bytes
        self._payload = b""
        # Of the answer, from its first byte on.
        self._heard = 0  # bytes, since the last look at what they have come to
        self._head_complete = False
        self._framed = False
        self._body_bytes = 0
        self._complete = False
        self._wrong = ""  # why it is no answer, for what the parser takes
        self._surplus = False  # more has been read than the answer
        self._fields: dict[bytes, bytes] = {}  # of the answer to one that asks for another protocol
        self._switched: bytes | None = None  # what came behind the head that has just switched to that
        self._come_to = (False, 0)  # whether the head was whole, and bytes of the body
        self._buffered = False
        self._refused = False  # the kernel has not taken a request
        self._told_last: Callable[[], LastState | None] | None = None  # by who reads the socket in its place

    @property
    def room(self) -> int:
        """How many more exchanges it can carry now."""
        return 0 if self._silenced or self._pending is not None or self._next is not None else 1

    # The transport's side.

    def dataReceived(self, data: bytes) -> None:
        """Take what the transport has read."""
        self.received(data, self._clock_ns())

    # The socket group's side.

    def received(self, data: bytes, at_ns: int) -> None:
        """Take what the socket had, and tell the owner when the answer is whole."""
        pending = self._pending
        if pending is None:
            self._unsolicited(data)
            return
        if pending.switched_ns and pending.take is not None:
            pending.heard_ns = at_ns
            pending.take(data)
            return
        in_one_piece = False
        if not pending.first_byte_ns:
            pending.first_byte_ns = at_ns
            in_one_piece = pending.take is None
            if in_one_piece and self._recall(pending, data, at_ns):
                return
            self._heard = 0
            self._come_to = (False, 0)
            self._head_complete = self._framed = self._complete = False
            self._fields.clear()
        pending.heard_ns = at_ns
        self._parse_any(data, pending, in_one_piece=in_one_piece)
        if self._wrong:
            self._break(failures.MALFORMED, printable(self._wrong))
        elif self._switched is not None:
            self._switch(pending, at_ns)
        elif self._complete:
            if in_one_piece and not self._surplus:
                self._remember(pending, data)
            self._pending = None
            pending.last_byte_ns = at_ns
            self._owner.answered(self, pending)
            if self._surplus:
                self._unsolicited(surplus(data) if in_one_piece else b"")

    def ended(self, reason: Failure) -> None:
        """Let the transport end as if it had read the end itself."""
        transport: Any = self.transport
        pending = self._pending
        if pending is not None and not (self._buffered or self._refused or self._ends_with_connection(pending)):
            fin = reason.check(ConnectionDone) is not None
            pending.last_state = last_state(transport.getHandle(), fin=fin)
        transport.connectionLost(reason)

    def transmit(self, *, readable: bool) -> None:
        """Write the request, unless the connection is idle no more: then the reactor will say how it ended."""
        payload, self._payload = self._payload, b""
        pending, self._next = self._next, None
        if pending is None or self._silenced or (readable and self.carried):
            return
        pending.carried = self.carried
        self.carried += 1
        self._pending = pending
        pending.written_ns = self._clock_ns()
        if self._socket_send is None or self._buffered:
            self._write(payload)
            return
        try:
            taken = self._socket_send(payload)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            # Nothing was written. A connection that was never good for anything fails its request; one that has idled
            # only is replaced.
            self._refused_by(error)
            self._refused = True
            if self.carried > 1:
                self._pending = None
                self.carried -= 1
                pending.written_ns = 0
            return
        if taken < len(payload):
            # All that follows goes the same way: the rest of this must not be overtaken.
            self._buffered = True
            self._write(payload[taken:])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the owner how the connection ended, from the socket's own evidence."""
        pending = self._let_go()
        self._forget_socket()
        if self._silenced:
            return
        if pending is not None and self._told_last is not None:
            pending.last_state = self._told_last()
        self._silenced = True
        reset = self._was_reset or reason.check(ConnectionLost) is not None
        if pending is None:
            self._owner.closed(self, Ending.IDLE, self._noted("reset" if reset else ""))
        elif not pending.first_byte_ns:
            failure = failures.before_response(reset=reset, reused=self.carried > 1)
            self._owner.broken(self, pending, failure, self._noted(f"request {self.carried} on this connection"))
        elif pending.switched_ns:
            self._owner.broken(self, pending, failures.mid_session(reset=reset), self.note)
        elif reset:
            message = printable(reason.getErrorMessage())
            self._owner.broken(self, pending, failures.RESET_MID_RESPONSE, message)
        elif self._ends_with_connection(pending):
            pending.last_byte_ns = self._clock_ns()
            pending.keep_alive = False
            self._owner.answered(self, pending)
        else:
            message = self._noted("the connection was closed in the answer")
            self._owner.broken(self, pending, failures.TRUNCATED, message)

    # The owner's side.

    def send(self, payload: bytes, pending: Pending) -> None:
        """Write one whole request, once."""
        self._payload = payload
        self._next = pending
        if self._to_transmit is not None:
            self._to_transmit(self._descriptor, self)
        else:
            self.transmit(readable=self.has_come())

    def more(self, payload: bytes) -> None:
        """Write more of the request under way."""
        if self._pending is not None and not self._silenced:
            self._pending.added += len(payload)
            if self._socket_send is not None and not self._buffered:
                try:
                    payload = payload[self._socket_send(payload) :]
                except BlockingIOError:
                    pass
                except OSError as error:
                    self._refused_by(error)
                    return
                self._buffered = bool(payload)
            if payload:
                self._write(payload)

    def has_come(self) -> bool:
        """Whether something has come that has not been read yet, as far as can be known here."""
        return self._surplus or self._has_come()

    def rest(self) -> None:
        """Read nothing for a while."""
        if self._silenced or self.transport is None:
            return
        if self._group is not None and self._descriptor >= 0:
            self._group.rest(self._descriptor)
        else:
            cast(IPushProducer, self.transport).pauseProducing()

    def read_on(self) -> None:
        """Read again."""
        if self._silenced or self.transport is None:
            return
        if self._group is not None and self._descriptor >= 0:
            self._group.read_on(self._descriptor)
        else:
            cast(IPushProducer, self.transport).resumeProducing()

    # The parser's side (httptools.HTTPProtocol).

    def on_message_begin(self) -> None:
        """Notice what stands behind the answer."""
        if self._complete:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few fields that matter."""
        field = spellings.get(name)
        if field is None:
            field = field_of(name)
        pending = self._pending
        if self._head_complete or pending is None:  # a trailer is not the head's
            return
        if not field:
            if pending.switch is not None:
                self._note(name.lower(), value[:VALUE_KEPT])
            return
        if field == INSTANCE:
            pending.instance = value[:VALUE_KEPT]
        elif field == BACK_PORT:
            pending.back_port = value[:VALUE_KEPT]
        elif field == ECHOED_ID:
            pending.echoed_id = value[:VALUE_KEPT]
        elif field == LENGTH:
            self._framed = True
        else:  # the last coding decides (RFC 9112, 6.3)
            self._framed = value.lower().rpartition(b",")[2].strip() == b"chunked"

    def on_headers_complete(self) -> None:
        """Take the status."""
        pending = self._pending
        if self._complete or self._wrong or pending is None:
            return
        pending.status = status = self._parser.get_status_code()
        self._head_complete = True
        self._body_bytes = 0
        if status < _STATUS_MIN:
            self._wrong = f"status {status:03}"
        elif status == _SWITCHED and pending.switch is None:
            self._wrong = "switched protocols unasked"
        elif status == _SWITCHED and not self._parser.should_upgrade():
            self._wrong = "switched to no protocol"

    def on_body(self, body: bytes) -> None:
        """Keep the body, up to a bound."""
        pending = self._pending
        if self._complete or self._wrong or pending is None:
            return
        self._body_bytes += len(body)
        if pending.take is not None and pending.status >= 200:  # noqa: PLR2004
            pending.take(body)
        if len(pending.body) < BODY_KEPT:
            pending.body = (pending.body + body)[:BODY_KEPT] if pending.body else body[:BODY_KEPT]

    def on_message_complete(self) -> None:
        """Note the end of an answer; an interim one (1xx) is not the answer."""
        pending = self._pending
        if self._complete or self._wrong or pending is None:
            return
        if pending.status == _SWITCHED:
            return
        if pending.status < _FINAL:
            self._head_complete = self._framed = False
            self._fields.clear()
            pending.status = 0
            pending.instance = pending.back_port = pending.echoed_id = pending.body = b""
            return
        pending.keep_alive = self._parser.should_keep_alive()
        self._complete = True

    # Its own.

    def _feed(self, data: bytes) -> None:
        """Feed the parser; bytes behind the answer are noticed, but for line ends."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # known by its status, if it is the answer's
            if not (self._complete or self._wrong):
                self._switched = data[upgrade.args[0] :]
            self._surplus = self._complete
        except httptools.HttpParserError as error:
            if self._complete:
                self._surplus = True
            else:
                self._wrong = self._wrong or str(error)

    def _parse_any(self, data: bytes, pending: Pending, *, in_one_piece: bool) -> None:
        self._heard += len(data)
        if self._heard >= HEAD_LIMIT:
            self._parse_much(data)
        elif in_one_piece and not data.endswith(b"\r\n"):
            self._parse_whole(data, pending)
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        """Feed the parser; bytes behind the answer are noticed, line ends too, which it skips without a word."""
        last = data[-1:]
        if last not in _LINE_ENDS or len(data) == 1:
            self._feed(data)
            return
        self._feed(data[:-1])
        if self._switched is not None:
            self._switched += last
        elif self._complete:
            self._surplus = True
        elif not self._wrong:
            self._feed(last)

    def _parse_whole(self, data: bytes, pending: Pending) -> None:
        """Do the same with what may well be a whole answer, in one go."""
        self._feed(data)
        if self._complete and not self._surplus:
            body = pending.body
            # A body that is more than line ends, and the end of what was read, has none behind it.
            if not self._framed or not body or not data.endswith(body) or body.isspace():
                self._surplus = data[-1:] in _LINE_ENDS and bool(surplus(data))

    def _parse_much(self, data: bytes) -> None:
        """Do the same, and see that each `HEAD_LIMIT` bytes, in whatever pieces they came, come to something."""
        while self._heard >= HEAD_LIMIT and not self._complete and not self._wrong and self._switched is None:
            self._heard -= HEAD_LIMIT
            first = len(data) - self._heard
            self._parse(data[:first])
            data = data[first:]
            before, self._come_to = self._come_to, (self._head_complete, self._body_bytes)
            if not self._head_complete:
                self._wrong = self._wrong or f"the head is longer than {HEAD_LIMIT} bytes"
            elif self._come_to == before and not self._complete:
                self._wrong = self._wrong or f"{HEAD_LIMIT} bytes without any of the body"
        if self._switched is not None:
            self._switched += data
        elif data and self._complete:
            self._surplus = True
        elif data and not self._wrong:
            self._parse(data)

    def _note(self, name: bytes, value: bytes) -> None:
        """Keep a field by which a protocol is switched; several lines of one name are a list (RFC 9110, 5.3)."""
        before = self._fields.get(name)
        self._fields[name] = value if before is None else (before + b", " + value)[:VALUE_KEPT]

    def _switch(self, pending: Pending, at_ns: int) -> None:
        """Hand on what comes from now on, and what has come already behind the head."""
        behind, self._switched = self._switched, None
        assert pending.switch is not None  # noqa: S101
        assert pending.take is not None  # noqa: S101
        pending.switched_ns = at_ns
        pending.switch(self._fields)
        if behind and self._pending is pending:
            pending.take(behind)

    def _recall(self, pending: Pending, data: bytes, at_ns: int) -> bool:
        """Take an answer that needs no parser; False if it does."""
        request_id = pending.request_id
        known = _memo.recall(data, request_id)
        if known is None:
            return False
        pending.status, pending.instance, pending.back_port = known.status, known.instance, known.back_port
        pending.echoed_id = request_id if known.echoed_id is None else known.echoed_id
        pending.body = data[known.body_at :]
        self._pending = None
        pending.last_byte_ns = at_ns
        self._owner.answered(self, pending)
        return True

    def _remember(self, pending: Pending, data: bytes) -> None:
        """Keep an answer that came in one piece, if the connection persists and the body is its end."""
        if pending.keep_alive and self._framed and data.endswith(pending.body):
            echoed_id = None if pending.echoed_id == pending.request_id else pending.echoed_id
            body_at = len(data) - len(pending.body)
            request_id = pending.request_id
            known = KnownAnswer(
                len(data), len(request_id), pending.status, pending.instance, pending.back_port, echoed_id, body_at
            )
            _memo.remember(data, request_id, known)

    def _ends_with_connection(self, pending: Pending) -> bool:
        """Whether the answer's body has no other end (RFC 9112, 6.3); over TLS that must be told (9.8)."""
        begun = bool(pending.first_byte_ns) and self._head_complete and not pending.switched_ns
        return begun and not self._framed and not self.note

    def _write(self, data: bytes) -> None:
        assert self.transport is not None  # noqa: S101
        self.transport.write(data)

    def _meet_none(self, transport: Any, *, secure: bool) -> None:  # noqa: ANN401
        """Ask what the socket knows half a round trip away."""
        self._told_last = None if secure else getattr(transport, "last_state", None)

    def _silence(self) -> None:
        super()._silence()
        self._let_go()
        self._next = None

    def _let_go(self) -> Pending | None:
        """Return the exchange under way, which is so no more, without what a part of a head has said."""
        pending, self._pending = self._pending, None
        if pending is not None and not self._head_complete:
            # How much of it the parser had told depends on where it was split.
            pending.instance = pending.back_port = pending.echoed_id = b""
        return pending

    def _break(self, failure: str, message: str) -> None:
        pending = self._pending
        self.abort()
        if pending is not None:
            self._owner.broken(self, pending, failure, message)

    def _unsolicited(self, data: bytes) -> None:
        if not self._silenced:
            self.abort()
            self._owner.closed(self, Ending.UNSOLICITED, printable(data, 40) or "behind an answer")
