"""One HTTP/2 connection of a client (RFC 9113): many exchanges at once."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client.fields import BACK_PORT, ECHOED_ID, INSTANCE, field_of, spellings
from proxyreload.client.front import BODY_KEPT, FrontConnection
from proxyreload.client.interfaces import IConnection, IConnectionOwner, IManyOwner
from proxyreload.client.memo import VALUE_KEPT
from proxyreload.client.parting import Parting
from proxyreload.client.pending import Pending
from proxyreload.history import failures
from proxyreload.history.events import Ending
from proxyreload.http2.frames import CANCEL, REFUSED_STREAM, code_name
from proxyreload.http2.heard import Data, GoAway, Head, Malformed, Reset, Trailers, Wrong
from proxyreload.http2.streams import ClientStreams
from proxyreload.system.clock import ClockNs
from proxyreload.system.sockets import SocketGroup
from proxyreload.system.untrusted import printable

_DIGITS_OF_STATUS = 3


@implementer(IConnection)
class HTTP2Connection(FrontConnection[IManyOwner]):
    """One connection that carries many exchanges at once.

    After a GOAWAY it has room for none, and goes on with those that it has: at or below the last stream they are to be
    answered, above it they are turned away. What the owner has given it and what was not written yet when it went away
    is the owner's again: its ``written_ns`` is 0.
    """

    ALPN: Sequence[bytes] = (b"h2",)

    def __init__(
        self, owner: IConnectionOwner, clock_ns: ClockNs, started_ns: int, group: SocketGroup | None = None
    ) -> None:
        """Report to `owner`, an `IManyOwner`; begun at `started_ns`, its socket is read by `group`."""
        super().__init__(IManyOwner(owner), clock_ns, started_ns, group)
        self._http2 = ClientStreams()
        self._under_way: dict[int, Pending] = {}  # by stream
        self._stream_of: dict[Pending, int] = {}
        self._queue: list[tuple[bytes, Pending]] = []  # to be written
        # Of what HTTP/2 itself has to say; its preface goes out with the first request: before the handshake of TLS is
        # over Twisted would keep it for later, and let that overtake it.
        self._unwritten: list[bytes] = [self._http2.begin()]
        self._going = False  # a GOAWAY has come
        self._working = False  # on what was read: what is to be written waits until that is done
        self._heard_ns = 0
        self._takes: dict[type, Callable[[Any, int], None]] = {
            Head: self._head,
            Data: self._data,
            Trailers: self._trailers,
            Reset: self._reset,
            Malformed: self._malformed,
            GoAway: self._go_away,
            Wrong: self._went_wrong,
        }

    @property
    def room(self) -> int:
        """How many more exchanges it can carry now: as many as the proxy lets it (RFC 9113, 5.1.2)."""
        if self._silenced or self._going:
            return 0
        return max(0, self._http2.max_streams - len(self._under_way) - len(self._queue))

    @property
    def heard_ns(self) -> int:
        """When anything was read from it last."""
        return self._heard_ns

    # The transport's side.

    def dataReceived(self, data: bytes) -> None:
        """Take what the transport has read."""
        self.received(data, self._clock_ns())
        self.transmit(readable=False)

    # The socket group's side.

    def received(self, data: bytes, at_ns: int) -> None:
        """Take what the socket had, and tell the owner what it comes to."""
        if self._silenced:
            return
        self._heard_ns = at_ns
        self._working = True
        try:
            for event in self._http2.received(data):
                take = self._takes.get(type(event))
                if take is not None:
                    take(event, at_ns)
                if self._silenced:
                    return
        finally:
            self._working = False
        answers = self._http2.answers()
        if answers:
            self._unwritten.append(answers)
        if self._group is not None and self._descriptor >= 0 and (self._queue or self._unwritten):
            self._group.to_transmit(self._descriptor, self)
        self._leave_if_done()

    def transmit(self, *, readable: bool) -> None:
        """Write what waits for it; a request on a connection at rest only if that is known to be open still."""
        if self._silenced:
            return
        written, self._unwritten = self._unwritten, []
        at_rest = not self._under_way
        if self._queue and not self._going and not (readable and at_rest and self.carried):
            queue, self._queue = self._queue, []
            now_ns = self._clock_ns()
            for payload, pending in queue:
                written.append(self._opened(payload, pending, now_ns))
                if pending.continues:
                    self._owner.begun(self, pending)
        if written:
            self._write(b"".join(written))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the owner of each exchange that was under way, then of the connection."""
        self._forget_socket()
        if self._silenced:
            return
        self._silenced = True
        reset = self._was_reset or reason.check(ConnectionLost) is not None
        under_way = self._let_go()
        for pending in under_way:
            failure, message = _cut(pending, reset=reset, going=self._going)
            self._owner.broken(self, pending, failure, self._noted(message))
        ending = Ending.CUT if under_way else Ending.IDLE
        self._owner.closed(self, ending, self._noted("reset" if reset else ""))

    # The owner's side.

    def send(self, payload: bytes, pending: Pending) -> None:
        """Write one whole request, once: its block of header fields, and behind it its content."""
        self._queue.append((payload, pending))
        if self._working:
            return
        if self._to_transmit is not None:
            self._to_transmit(self._descriptor, self)
        else:
            self.transmit(readable=self.has_come())

    def more(self, payload: bytes) -> None:
        """What is sent in pieces over HTTP/2 belongs to one of many: see `add`."""
        raise NotImplementedError

    def add(self, pending: Pending, payload: bytes, *, end: bool) -> None:
        """Write more of a request that ``continues``; what the proxy's windows do not take yet waits for them."""
        stream = self._stream_of.get(pending)
        if stream is None or self._silenced:
            return
        pending.added += len(payload)
        pending.continues = not end
        written = self._http2.data(stream, payload, end=end)
        if written:
            self._write(written)

    def rest(self) -> None:
        """Nothing is read slowly over HTTP/2: many share the connection."""

    def read_on(self) -> None:
        """It always is."""

    def give_up(self, pending: Pending) -> None:
        """Let one exchange go (RFC 9113, 8.1): the owner hears nothing more of it, and the others go on."""
        stream = self._stream_of.pop(pending, 0)
        if not stream:
            self._queue = [each for each in self._queue if each[1] is not pending]
            return
        del self._under_way[stream]
        if not self._silenced:
            self._write(self._http2.reset(stream, CANCEL))
            self._leave_if_done()

    def retire(self) -> None:
        """Carry nothing more, and close with the last exchange: `IManyOwner.drained`."""
        self._going = True
        self._leave_if_done()

    # What has come.

    def _head(self, event: Head, at_ns: int) -> None:
        pending = self._under_way.get(event.stream)
        if pending is None:
            return
        pending.first_byte_ns = pending.heard_ns = at_ns
        for name, value, _never_indexed in event.fields:
            if name == b":status":
                known = len(value) == _DIGITS_OF_STATUS and value.isdigit()
                pending.status = int(value) if known else 0
                continue
            field = spellings.get(name)
            if field is None:
                field = field_of(name)
            if field == INSTANCE:
                pending.instance = value[:VALUE_KEPT]
            elif field == BACK_PORT:
                pending.back_port = value[:VALUE_KEPT]
            elif field == ECHOED_ID:
                pending.echoed_id = value[:VALUE_KEPT]
        if event.end:
            pending.trailers = event.fields
            self._answered(event.stream, pending, at_ns)

    def _data(self, event: Data, at_ns: int) -> None:
        pending = self._under_way.get(event.stream)
        if pending is None:
            return
        pending.heard_ns = at_ns
        data = event.data
        if pending.take is not None:
            pending.take(data)
        if len(pending.body) < BODY_KEPT:
            pending.body = (pending.body + data)[:BODY_KEPT] if pending.body else data[:BODY_KEPT]
        if event.end and event.stream in self._under_way:
            self._answered(event.stream, pending, at_ns)

    def _trailers(self, event: Trailers, at_ns: int) -> None:
        pending = self._under_way.get(event.stream)
        if pending is not None:
            pending.trailers = event.fields
            self._answered(event.stream, pending, at_ns)

    def _answered(self, stream: int, pending: Pending, at_ns: int) -> None:
        del self._under_way[stream], self._stream_of[pending]
        pending.last_byte_ns = at_ns
        if pending.continues:  # nobody wants the rest of it (RFC 9113, 8.1)
            self._unwritten.append(self._http2.reset(stream, CANCEL))
        self._owner.answered(self, pending)

    def _reset(self, event: Reset, _at_ns: int) -> None:
        pending = self._under_way.pop(event.stream, None)
        if pending is None:
            return
        del self._stream_of[pending]
        message = f"RST_STREAM {code_name(event.code)}"
        refused = event.code == REFUSED_STREAM
        self._owner.broken(self, pending, failures.TURNED_AWAY if refused else failures.STREAM_RESET, message)

    def _malformed(self, event: Malformed, _at_ns: int) -> None:
        pending = self._under_way.pop(event.stream, None)
        if pending is not None:
            del self._stream_of[pending]
            failure = failures.TRUNCATED if event.short else failures.MALFORMED
            self._owner.broken(self, pending, failure, printable(event.message))

    def _go_away(self, event: GoAway, _at_ns: int) -> None:
        """Send nothing more, and wait for what was promised (RFC 9113, 6.8); a second one may promise less."""
        self._going = True
        above = [stream for stream in self._under_way if stream > event.last]
        parting = Parting(
            event.last, code_name(event.code), len(self._under_way) - len(above), len(above), printable(event.debug, 80)
        )
        turned_away = [self._under_way.pop(stream) for stream in above]
        for pending in turned_away:
            del self._stream_of[pending]
        self._queue.clear()
        self._owner.parting(self, parting)
        for pending in turned_away:
            self._owner.broken(self, pending, failures.TURNED_AWAY, f"above the last stream: {parting.words}")

    def _went_wrong(self, event: Wrong, _at_ns: int) -> None:
        """End a connection that breaks the rules, and with it whatever is on it."""
        under_way = self._let_go()
        self.abort()
        message = printable(f"{code_name(event.code)}: {event.message}")
        for pending in under_way:
            self._owner.broken(self, pending, failures.MALFORMED, message)
        self._owner.closed(self, Ending.CUT if under_way else Ending.UNSOLICITED, message)

    # Its own.

    def _opened(self, payload: bytes, pending: Pending, now_ns: int) -> bytes:
        """Open a stream for a request, and return its bytes."""
        content = pending.content
        stream, written = self._http2.open(payload, end=not (content or pending.continues))
        if content:
            written += self._http2.data(stream, content, end=not pending.continues)
        self._under_way[stream] = pending
        self._stream_of[pending] = stream
        pending.carried = self.carried
        self.carried += 1
        pending.written_ns = now_ns
        return written

    def _write(self, data: bytes) -> None:
        """Write to the socket; what it does not take, and all that follows, goes through the transport."""
        send = self._socket_send
        if send is not None:
            try:
                taken = send(data)
            except BlockingIOError:
                taken = 0
            except OSError as error:
                self._refused_by(error)
                return
            if taken == len(data):
                return
            data, self._socket_send = data[taken:], None
        assert self.transport is not None  # noqa: S101
        self.transport.write(data)

    def _leave_if_done(self) -> None:
        """Close what has been told to go, once nothing is on it any more: the owner has heard of it then."""
        if self._going and not self._under_way and not self._silenced:
            self.close()
            self._owner.drained(self)

    def _let_go(self) -> list[Pending]:
        """Return the exchanges that were under way, in the order of their streams, and forget them."""
        under_way = [pending for _stream, pending in sorted(self._under_way.items())]
        self._under_way.clear()
        self._stream_of.clear()
        self._queue.clear()
        return under_way

    def _silence(self) -> None:
        super()._silence()
        self._let_go()


def _cut(pending: Pending, *, reset: bool, going: bool) -> tuple[str, str]:
    """Return the class and the message of an exchange whose connection ended."""
    message = f"request {pending.carried + 1} on this connection{', after GOAWAY' if going else ''}"
    if not pending.first_byte_ns:
        return failures.before_response(reset=reset, reused=pending.carried > 0), message
    return (failures.RESET_MID_RESPONSE if reset else failures.TRUNCATED), message
