"""One answer that takes a while: after a delay, in pieces, or longer than the kernel takes at once."""

from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import partial

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from proxyreload.history.events import Arrival
from proxyreload.traffic.interfaces import BackendEnd, Received, Reply

_LAST_CHUNK = b"0\r\n\r\n"


@attrs.frozen(eq=False)
class Turn:
    """A whole request whose answer takes a while, and what answers it."""

    arrival: Arrival  #: told already as executed
    received: Received
    end: BackendEnd
    head_only: bool  #: whether it was a HEAD


@attrs.define(eq=False)
class Replying:
    """Writes a reply, and says when its last byte has been written (RFC 9112, 7.1, for pieces)."""

    reactor: IReactorTime
    reply: Reply
    head: bytes  #: made before: what stands in it is known when the request is
    write: Callable[[bytes], object]
    done: Callable[[], None]  #: called once, with the last byte
    _pieces: Iterator[tuple[float, bytes]] | None = None
    _call: IDelayedCall | None = attrs.field(default=None, init=False)

    @classmethod
    def to(
        cls,
        turn: Turn,
        reactor: IReactorTime,
        write: Callable[[bytes], object],
        done: Callable[[], None],
        *,
        close: bool,
    ) -> "Replying":
        """Return what answers a request; `close`: it is the last on its connection."""
        reply = turn.end.reply(turn.received)
        head = head_of(reply, close=close)
        if turn.head_only:
            reply = attrs.evolve(reply, body=b"", pieces=None)
        return cls(reactor, reply, head, write, done)

    def start(self) -> None:
        """Begin."""
        if self.reply.delay_s:
            self._later(self.reply.delay_s, self._begin)
        else:
            self._begin()

    def stop(self) -> None:
        """Write nothing more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _begin(self) -> None:
        if self.reply.pieces is None:
            self.write(self.head + self.reply.body)
            self.done()
            return
        self._pieces = iter(self.reply.pieces)
        self.write(self.head)
        self._next()

    def _next(self) -> None:
        """Wait for the next piece's time; those that are due at once go at once."""
        assert self._pieces is not None  # noqa: S101
        for after_s, piece in self._pieces:
            if after_s:
                self._later(after_s, partial(self._piece, piece))
                return
            self._say(piece)
        self.write(_LAST_CHUNK)
        self.done()

    def _piece(self, piece: bytes) -> None:
        self._say(piece)
        self._next()

    def _say(self, piece: bytes) -> None:
        """Write a piece; an empty chunk would be the last."""
        if piece:
            self.write(_chunk(piece))

    def _later(self, after_s: float, work: Callable[[], None]) -> None:
        def due() -> None:
            self._call = None
            work()

        self._call = self.reactor.callLater(after_s, due)


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def head_of(reply: Reply, *, close: bool) -> bytes:
    """Return the head of a reply (RFC 9112, 4 and 6; RFC 9110, 6.6.1)."""
    framing = b"Transfer-Encoding: chunked" if reply.pieces is not None else b"Content-Length: %d" % len(reply.body)
    lines = [b"HTTP/1.1 200 OK", b"Date: " + formatdate(usegmt=True).encode("ascii"), framing]
    lines += [b"%b: %b" % field for field in reply.fields]
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"
