"""One answer that takes a while: after a delay, in pieces, or longer than the kernel takes at once."""

from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import partial
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from proxyreload.history.events import Arrival
from proxyreload.traffic.interfaces import BackendEnd, Received, Reply


@attrs.frozen(eq=False)
class Turn:
    """A whole request whose answer takes a while, and what answers it."""

    arrival: Arrival  #: told already as executed
    received: Received
    end: BackendEnd
    head_only: bool  #: whether it was a HEAD


class Form(Protocol):
    """How a reply is written: each method returns what is to be written now."""

    def whole(self, reply: Reply) -> bytes:
        """Head and body."""

    def head(self, reply: Reply) -> bytes:
        """The head of a reply in pieces."""

    def piece(self, piece: bytes) -> bytes:
        """One of them, which is not empty."""

    def last(self) -> bytes:
        """What ends them."""


@attrs.frozen
class Chunks:
    """As HTTP/1.1 writes it: a body of known length, or chunks (RFC 9112, 7.1)."""

    made: bytes  #: the head, made before: what stands in it is known when the request is
    trailers: tuple[tuple[bytes, bytes], ...] = ()

    def whole(self, reply: Reply) -> bytes:
        """Return head and body; behind one of known length are no trailers."""
        body = _chunk(reply.body) + self.last() if self.trailers and reply.body else reply.body
        return self.made + body

    def head(self, reply: Reply) -> bytes:  # noqa: ARG002
        """Return the head."""
        return self.made

    def piece(self, piece: bytes) -> bytes:
        """Return a chunk."""
        return _chunk(piece)

    def last(self) -> bytes:
        """Return the last one, and trailers (RFC 9112, 7.1.2)."""
        return b"0\r\n" + b"".join([b"%b: %b\r\n" % field for field in self.trailers]) + b"\r\n"


@attrs.define(eq=False)
class Replying:
    """Writes a reply, and says when its last byte has been written."""

    reactor: IReactorTime
    reply: Reply
    form: Form
    write: Callable[[bytes], object]
    done: Callable[[], None]  #: called once, with the last byte
    _pieces: Iterator[tuple[float, bytes]] | None = None
    _call: IDelayedCall | None = attrs.field(default=None, init=False)

    @classmethod
    def to(
        cls,
        turn: Turn,
        reply: Reply,
        reactor: IReactorTime,
        write: Callable[[bytes], object],
        done: Callable[[], None],
        *,
        close: bool,
    ) -> "Replying":
        """Return what answers a request by `reply`; `close`: it is the last on its connection."""
        head = head_of(reply, close=close)
        if turn.head_only:
            reply = attrs.evolve(reply, body=b"", pieces=None)
        return cls(reactor, reply, Chunks(head, reply.trailers), write, done)

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

    def finish(self) -> None:
        """End a reply whose pieces have no end, now."""
        self.stop()
        if self.reply.farewell:
            self.write(self.form.piece(self.reply.farewell))
        self.write(self.form.last())
        self.done()

    def _begin(self) -> None:
        if self.reply.pieces is None:
            self.write(self.form.whole(self.reply))
            self.done()
            return
        self._pieces = iter(self.reply.pieces)
        self.write(self.form.head(self.reply))
        self._next()

    def _next(self) -> None:
        """Wait for the next piece's time; those that are due at once go at once."""
        assert self._pieces is not None  # noqa: S101
        for after_s, piece in self._pieces:
            if after_s:
                self._later(after_s, partial(self._piece, piece))
                return
            self._say(piece)
        self.write(self.form.last())
        self.done()

    def _piece(self, piece: bytes) -> None:
        self._say(piece)
        self._next()

    def _say(self, piece: bytes) -> None:
        """Write a piece; an empty chunk would be the last."""
        if piece:
            self.write(self.form.piece(piece))

    def _later(self, after_s: float, work: Callable[[], None]) -> None:
        def due() -> None:
            self._call = None
            work()

        self._call = self.reactor.callLater(after_s, due)


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def head_of(reply: Reply, *, close: bool) -> bytes:
    """Return the head of a reply (RFC 9112, 4 and 6; RFC 9110, 6.6.1)."""
    status, framing = b"200 OK", [b"Content-Length: %d" % len(reply.body)]
    if reply.session is not None:
        status, framing = b"101 Switching Protocols", []
    elif reply.pieces is not None or (reply.trailers and reply.body):
        framing = [b"Transfer-Encoding: chunked"]
    lines = [b"HTTP/1.1 " + status, b"Date: " + formatdate(usegmt=True).encode("ascii"), *framing]
    lines += [b"%b: %b" % field for field in reply.fields]
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"
