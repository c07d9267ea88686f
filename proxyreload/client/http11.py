"""One HTTP/1.1 connection of a client, parsed by httptools (RFC 9112)."""

import select
from collections.abc import Callable
from typing import Any, cast

import httptools
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer, ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client.interfaces import IConnection, IConnectionOwner
from proxyreload.client.memo import AnswerMemo, KnownAnswer
from proxyreload.client.pending import Pending
from proxyreload.history import failures
from proxyreload.history.events import Ending
from proxyreload.system.clock import ClockNs
from proxyreload.system.sockets import SocketGroup
from proxyreload.system.untrusted import printable
from proxyreload.traffic.identity import BACK_PORT_FIELD, ID_FIELD, INSTANCE_FIELD

#: A head that is longer than this is malformed; without a bound a proxy could fill the memory.
HEAD_LIMIT = 256 * 1024
#: How much of a body is kept for checking.
BODY_KEPT = 64 * 1024
#: How much of a header's value is kept.
VALUE_KEPT = 128

_UNKNOWN, _INSTANCE, _BACK_PORT, _ECHOED_ID, _LENGTH, _CODING = range(6)
_FIELDS = {
    INSTANCE_FIELD.lower(): _INSTANCE,
    BACK_PORT_FIELD.lower(): _BACK_PORT,
    ID_FIELD.lower(): _ECHOED_ID,
    b"content-length": _LENGTH,
    b"transfer-encoding": _CODING,
}
#: Names as they were spelled by proxies, so that each spelling is folded once. Bounded: a proxy chooses them.
_SPELLINGS_KEPT = 256
_spellings: dict[bytes, int] = {}
_memo = AnswerMemo()


def _field(name: bytes) -> int:
    """Return which field `name` is, however it is spelled."""
    field = _FIELDS.get(name.lower(), _UNKNOWN)
    if len(_spellings) < _SPELLINGS_KEPT:
        _spellings[name] = field
    return field


@implementer(IConnection)
class HTTP11Connection(Protocol):
    """One connection that carries one exchange after another, so that it has room for one.

    In the clear, its socket is read and written to by a `SocketGroup`; what the kernel does not take at once, and all
    of TLS, goes through Twisted's transport, which buffers.
    """

    local_port = 0
    connect_ns = 0
    carried = 0
    #: Whether it looks at its own socket right before each request, and not with the others of its group: where many
    #: send at once the last of them would go by what was seen before the first.
    careful = False

    def __init__(
        self, owner: IConnectionOwner, clock_ns: ClockNs, started_ns: int, group: SocketGroup | None = None
    ) -> None:
        """Report to `owner`; the connection was begun at `started_ns`, and its socket is read by `group`."""
        self._owner = owner
        self._clock_ns = clock_ns
        self._started_ns = started_ns
        self._parser = httptools.HttpResponseParser(self)
        self._pending: Pending | None = None  # the one under way
        self._next: Pending | None = None  # the one to be written, with its bytes
        self._payload = b""
        self._silenced = False
        self._head_bytes = 0
        self._head_complete = False
        self._framed = False
        self._complete = False
        self._surplus = False
        self._group = group
        self._descriptor = -1
        self._socket_send: Callable[[bytes], int] | None = None
        self._poll: Callable[[int], list[tuple[int, int]]] | None = None
        self._buffered = False

    @property
    def room(self) -> int:
        """How many more exchanges it can carry now."""
        return 0 if self._silenced or self._pending is not None or self._next is not None else 1

    # The transport's side.

    def connectionMade(self) -> None:
        """Learn the local port, and the way to the socket."""
        assert self.transport is not None  # noqa: S101
        self.connect_ns = self._clock_ns() - self._started_ns
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        self.local_port = transport.getHost().port
        get_handle = getattr(transport, "getHandle", None)
        if get_handle is None:  # a transport in memory
            return
        secure: bool = ISSLTransport.providedBy(transport)
        if self._group is None or secure:
            # Session tickets may wait on an idle TLS connection: only the end of the stream says that it is gone.
            handle = transport.transport.getHandle() if secure else get_handle()
            poll = select.poll()
            poll.register(handle.fileno(), getattr(select, "POLLRDHUP", 0) if secure else select.POLLIN)
            self._poll = poll.poll
            return
        handle = get_handle()
        transport.stopReading()
        self._descriptor = handle.fileno()
        self._socket_send = handle.send
        self._group.add(handle, self)
        if self.careful:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            self._poll = poll.poll

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
        in_one_piece = not pending.first_byte_ns and pending.take is None
        if not pending.first_byte_ns:
            pending.first_byte_ns = at_ns
            if in_one_piece and pending.request_id and self._recall(pending, data, at_ns):
                return
        pending.heard_ns = at_ns
        if not self._parse(data):
            return
        if not self._complete:
            if not self._head_complete:
                self._bound_head(len(data))
        elif self._surplus:
            self._break(failures.UNSOLICITED, "bytes behind the answer's end")
        else:
            if in_one_piece:
                self._remember(pending, data)
            self._pending = None
            pending.last_byte_ns = at_ns
            self._owner.answered(self, pending)

    def ended(self, reason: Failure) -> None:
        """Let the transport end as if it had read the end itself."""
        transport: Any = self.transport
        transport.connectionLost(reason)

    def transmit(self, *, readable: bool) -> None:
        """Write the request, unless the connection is idle no more: then the reactor will say how it ended."""
        payload, self._payload = self._payload, b""
        pending, self._next = self._next, None
        if pending is None or self._silenced or (readable and self.carried):
            return
        pending.carried = self.carried
        self.carried += 1
        self._head_bytes = 0
        self._head_complete = self._framed = self._complete = self._surplus = False
        self._pending = pending
        pending.written_ns = self._clock_ns()
        if self._socket_send is None or self._buffered:
            self._write(payload)
            return
        try:
            taken = self._socket_send(payload)
        except BlockingIOError:
            taken = 0
        except OSError:
            # Nothing was written: the kernel knows that the connection is gone, and the reactor will say so. A
            # connection that was never good for anything fails its request; one that has idled only is replaced.
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
        pending, self._pending = self._pending, None
        self._forget_socket()
        if self._silenced:
            return
        self._silenced = True
        reset = reason.check(ConnectionLost) is not None
        if pending is None:
            self._owner.closed(self, Ending.IDLE, "reset" if reset else "")
        elif not pending.first_byte_ns:
            failure = failures.before_response(reset=reset, reused=self.carried > 1)
            self._owner.broken(self, pending, failure, f"request {self.carried} on this connection")
        elif reset:
            message = printable(reason.getErrorMessage())
            self._owner.broken(self, pending, failures.RESET_MID_RESPONSE, message)
        elif self._head_complete and not self._framed:
            pending.last_byte_ns = self._clock_ns()
            pending.keep_alive = False
            self._owner.answered(self, pending)  # a body that ends with the connection (RFC 9112, 6.3)
        else:
            self._owner.broken(self, pending, failures.TRUNCATED, "the connection was closed in the answer")

    # The owner's side.

    def send(self, payload: bytes, pending: Pending) -> None:
        """Write one whole request, once."""
        self._payload = payload
        self._next = pending
        if self._group is not None and self._socket_send is not None and not self.careful:
            self._group.to_transmit(self._descriptor, self)
        else:
            self.transmit(readable=self._poll is not None and bool(self._poll(0)))

    def more(self, payload: bytes) -> None:
        """Write more of the request under way."""
        if self._pending is not None and not self._silenced:
            self._write(payload)

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

    def close(self) -> None:
        """Close in order."""
        self._silence()
        if self.transport is not None:
            self.transport.loseConnection()

    def abort(self) -> None:
        """Close at once with a reset."""
        self._silence()
        if self.transport is not None:
            cast(ITCPTransport, self.transport).abortConnection()

    # The parser's side (httptools.HTTPProtocol).

    def on_message_begin(self) -> None:
        """Notice an answer behind the answer."""
        if self._complete:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few fields that matter."""
        field = _spellings.get(name)
        if field is None:
            field = _field(name)
        if not field or self._complete:
            return
        pending = self._pending
        if pending is None:
            return
        if field == _INSTANCE:
            pending.instance = value[:VALUE_KEPT]
        elif field == _BACK_PORT:
            pending.back_port = value[:VALUE_KEPT]
        elif field == _ECHOED_ID:
            pending.echoed_id = value[:VALUE_KEPT]
        elif field == _LENGTH or value.lower().endswith(b"chunked"):
            self._framed = True

    def on_headers_complete(self) -> None:
        """Take the status."""
        if not self._complete and self._pending is not None:
            self._pending.status = self._parser.get_status_code()
            self._head_complete = True

    def on_body(self, body: bytes) -> None:
        """Keep the body, up to a bound."""
        pending = self._pending
        if self._complete or pending is None:
            return
        if pending.take is not None and pending.status >= 200:  # noqa: PLR2004
            pending.take(body)
        if len(pending.body) < BODY_KEPT:
            pending.body = (pending.body + body)[:BODY_KEPT] if pending.body else body[:BODY_KEPT]

    def on_message_complete(self) -> None:
        """Note the end of an answer; an interim one (1xx) is not the answer."""
        pending = self._pending
        if self._complete or pending is None:
            return
        if pending.status < 200:  # noqa: PLR2004
            self._head_complete = self._framed = False
            pending.status = 0
            pending.instance = pending.back_port = pending.echoed_id = pending.body = b""
            return
        pending.keep_alive = self._parser.should_keep_alive()
        self._complete = True

    # Its own.

    def _parse(self, data: bytes) -> bool:
        """Feed the parser; False if what came is no answer, which the owner then knows."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._malformed("switched protocols unasked")
            return False
        except httptools.HttpParserError as error:
            if not self._complete:
                self._malformed(str(error))
                return False
            self._surplus = True
        return True

    def _bound_head(self, length: int) -> None:
        """Refuse a head that never ends."""
        self._head_bytes += length
        if self._head_bytes > HEAD_LIMIT:
            self._malformed(f"the head is longer than {HEAD_LIMIT} bytes")

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
            known = KnownAnswer(len(data), pending.status, pending.instance, pending.back_port, echoed_id, body_at)
            _memo.remember(data, pending.request_id, known)

    def _write(self, data: bytes) -> None:
        assert self.transport is not None  # noqa: S101
        self.transport.write(data)

    def _silence(self) -> None:
        self._silenced = True
        self._pending = self._next = None
        self._forget_socket()

    def _forget_socket(self) -> None:
        if self._group is not None and self._descriptor >= 0:
            self._group.remove(self._descriptor)
            self._descriptor = -1
        self._socket_send = self._poll = None

    def _malformed(self, message: str) -> None:
        self._break(failures.MALFORMED, printable(message))

    def _break(self, failure: str, message: str) -> None:
        pending = self._pending
        self.abort()
        if pending is not None:
            self._owner.broken(self, pending, failure, message)

    def _unsolicited(self, data: bytes) -> None:
        if not self._silenced:
            self.abort()
            self._owner.closed(self, Ending.UNSOLICITED, printable(data, 40))
