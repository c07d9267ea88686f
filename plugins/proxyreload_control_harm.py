"""Requests to which something happens on their way: what broken proxies do, each done once, and told when it is."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred

from proxyreload.proxy.upstream import Upstream
from proxyreload_control_books import (
    ANSWERED_ONCE,
    ANSWERED_TWICE,
    EXECUTED,
    EXECUTED_TWICE,
    NEVER_ARRIVED,
    UNEXECUTED,
    UNKNOWN,
    numbered,
)
from proxyreload_control_messages import LAST_CHUNK, framed, with_length
from proxyreload_control_proxy import OUTAGE_S, Back, Front, Passing, pause
from proxyreload_control_streams import Stream
from proxyreload_control_surgery import GOING_AWAY, Frames, Surgery

if TYPE_CHECKING:
    from proxyreload_control import Faults
    from proxyreload_control_faults import Planned

#: Done to a client's connection, or to its stream.
Action = Callable[[Any], object]

#: Of a call of gRPC.
_STATUS_FIELD = b"grpc-status:"

#: The number of a request that is made up is so far beyond those that its client has sent.
_FAR_BEYOND = 10**9


class Watched(Passing):
    """One to which nothing happens; it is noted whose answer came over which connection, and what became of it."""

    proxy: "Faults"
    fate = ANSWERED_ONCE  #: once its answer has passed

    def __init__(self, front: Front | Stream, head: bytes, upstream: Upstream, *, chunked: bool) -> None:
        super().__init__(front, head, upstream, chunked=chunked)
        self.request_id = front.request_id
        self.there, self.back_again = Frames(), Frames()  # of a WebSocket, on either way

    def book(self, fate: str) -> None:
        """Say what has become of it."""
        self.proxy.book(self.front, self.request_id, fate)

    def answer_head_came(self, head: bytes, *, chunked: bool) -> None:
        """Pass it on."""
        self.proxy.delivered(self)
        super().answer_head_came(head, chunked=chunked)

    def answer_end_came(self) -> None:
        """Pass it on: all is decided."""
        super().answer_end_came()
        self.book(self.fate)

    def piece_came(self, data: bytes) -> None:
        """Pass it on."""
        if self.switched:
            self.there.take(data)
        super().piece_came(data)

    def answer_piece_came(self, data: bytes) -> None:
        """Pass it on."""
        if self.switched:
            self.back_again.take(data)
        super().answer_piece_came(data)

    def left(self) -> None:
        """Learn that the client is gone; in the middle of an answer it has what it needs: it ends with the run."""
        if self.answering and not self.over:
            self.book(self.fate)
        super().left()

    def failed(self) -> None:
        """Let the client know that a backend is gone, of which nobody knows how far it had come.

        But a session that it has closed is over.
        """
        if not self.over:
            self.book(self.fate if self.back_again.closed else NEVER_ARRIVED if self.back is None else UNKNOWN)
        super().failed()


class Harmed(Watched):
    """One to which something happens."""

    def __init__(
        self, front: Front | Stream, head: bytes, upstream: Upstream, planned: "Planned", *, chunked: bool
    ) -> None:
        super().__init__(front, head, upstream, chunked=chunked)
        self.planned = planned

    def did(self) -> None:
        """Say that it has happened."""
        self.proxy.did(self.front, self.planned)

    def asking_for(self, request_id: bytes) -> bytes:
        """Return its head, asking for another request."""
        return self._head.replace(b": %b\r\n" % self.request_id, b": %b\r\n" % request_id)

    def stop(self, action: Action, fate: str) -> None:
        """Let nothing pass any more, and do something to the client, which decides what has become of the request."""
        self.give_up()
        action(self.front)
        self.book(fate)
        self.did()


class Instead(Harmed):
    """The whole request has come, and is not passed on."""

    action: Action

    def begin(self) -> None:
        """Wait for all of it."""

    def piece_came(self, data: bytes) -> None:
        """Pass nothing on."""

    def end_came(self) -> None:
        """Do it."""
        self.stop(self.action, NEVER_ARRIVED)


class Partly(Harmed):
    """A part of a body has passed."""

    action: Action

    def begin(self) -> None:
        """Draw after how many bytes."""
        self._left = self.planned.among(self.planned.fault.bytes)
        super().begin()

    def part(self, data: bytes) -> bytes:
        """Return as much of `data` as may pass."""
        passes, self._left = data[: self._left], max(0, self._left - len(data))
        return passes


class InRequest(Partly):
    """It is the request's, of which a backend has the head."""

    def connected(self, back: Back) -> None:
        """Let pass what had to wait."""
        super().connected(back)
        self._look()

    def piece_came(self, data: bytes) -> None:
        """Pass a part on."""
        super().piece_came(self.part(data))
        self._look()

    def end_came(self) -> None:
        """Pass the end on, of what was too short."""
        if self._left:
            super().end_came()

    def _look(self) -> None:
        if not (self._left or self.back is None or self.over):
            self.stop(self.action, UNEXECUTED)


class InAnswer(Partly):
    """It is the answer's, whose head has passed."""

    def answer_piece_came(self, data: bytes) -> None:
        """Pass a part on."""
        super().answer_piece_came(self.part(data))
        if not self._left:
            self.stop(self.action, EXECUTED)


class Operated(Harmed):
    """Something happens to the request's body, or to the answer's."""

    request: Surgery | None = None
    answer: Surgery | None = None

    def begin(self) -> None:
        """Be ready to operate."""
        surgery = self.planned.surgery()
        if self.planned.fault.on_request:
            self.request = surgery
            self._head = with_length(self._head, surgery.grows)
        else:
            self.answer = surgery
        super().begin()

    def piece_came(self, data: bytes) -> None:
        """Operate on it."""
        super().piece_came(data if self.request is None else self.request.take(data))

    def end_came(self) -> None:
        """Let the rest pass."""
        if self.request is not None:
            super().piece_came(self.request.end())
            self._tell(self.request)
        super().end_came()

    def answer_head_came(self, head: bytes, *, chunked: bool) -> None:
        """Tell the new length."""
        super().answer_head_came(head if self.answer is None else with_length(head, self.answer.grows), chunked=chunked)

    def answer_piece_came(self, data: bytes) -> None:
        """Operate on it."""
        super().answer_piece_came(data if self.answer is None else self.answer.take(data))

    def answer_end_came(self) -> None:
        """Let the rest pass."""
        if self.answer is not None:
            super().answer_piece_came(self.answer.end())
            self._tell(self.answer)
        super().answer_end_came()

    def _tell(self, surgery: Surgery) -> None:
        if surgery.done:
            self.fate = EXECUTED
            self.did()


class OperatedSession(Operated):
    """Something happens to a frame, on either way: such a body has no end at which to tell."""

    def piece_came(self, data: bytes) -> None:
        """Operate on it."""
        super().piece_came(data)
        self._look(self.request)

    def answer_piece_came(self, data: bytes) -> None:
        """Operate on it."""
        super().answer_piece_came(data)
        self._look(self.answer)

    def _look(self, surgery: Surgery | None) -> None:
        if surgery is not None and self.fate != EXECUTED:
            self._tell(surgery)


class OtherTrailers(Harmed):
    """A call's status, behind its answer's body or in a head that is all of it, is lost, or another."""

    status = b""  #: what stands in its place; empty: it is left out

    def answer_head_came(self, head: bytes, *, chunked: bool) -> None:
        """Look for it in the head."""
        lines = head.split(b"\r\n")
        kept = [self._other(line) for line in lines]
        if kept != lines:
            self._tell()
        super().answer_head_came(b"\r\n".join([line for line in kept if line is not None]), chunked=chunked)

    def answer_end_came(self) -> None:
        """Look for it behind the body."""
        if super().trailers:
            self._tell()
        super().answer_end_came()

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """What is left of them."""
        trailers = super().trailers
        return [(name, self.status) for name, _value in trailers] if self.status else []

    def _other(self, line: bytes) -> bytes | None:
        if not line.lower().startswith(_STATUS_FIELD):
            return line
        return _STATUS_FIELD + b" " + self.status if self.status else None

    def _tell(self) -> None:
        self.fate = EXECUTED
        self.did()


class Farewell(Harmed):
    """A close frame of the proxy's own comes when some messages have been echoed, and none is unanswered.

    But on a busy machine its client may send another before it has heard of that: whichever came first is told by what
    the client says next.
    """

    _waits = False
    _said = 0  # behind how many frames of the client's, 0: not yet

    def piece_came(self, data: bytes) -> None:
        """Pass it on, or see whether it answers the close frame."""
        if not self._said:
            super().piece_came(data)
            return
        self.there.take(data)
        more = self.there.whole - self._said
        if not more or self.over:
            return
        if not self.there.closed or more > 1:
            crossed = self.planned.fault.crossed
            assert crossed is not None  # noqa: S101
            self.planned = attrs.evolve(self.planned, fault=crossed)
            self.stop(lambda _front: None, EXECUTED)
        else:
            self.stop(lambda _front: None, ANSWERED_ONCE)

    def answer_piece_came(self, data: bytes) -> None:
        """Pass it on, and close a little later."""
        super().answer_piece_came(data)
        if not self._waits and self.back_again.whole >= self.planned.among(self.planned.fault.bytes):
            self._wait()

    def _wait(self) -> None:
        self._waits = True
        reactor: Any = self.proxy.workspace.reactor
        reactor.callLater(self.planned.fault.rest_s, self._close)

    def _close(self) -> None:
        if self.over or self._said or self.there.closed:
            return
        front = self.front
        assert isinstance(front, Front)  # noqa: S101
        if self.there.whole != self.back_again.whole or not front.quiet:
            self._wait()
        else:
            self._said = self.there.whole
            front.say_now(GOING_AWAY)


class Swapped(Harmed):
    """The answer is that to the client's request before, which is carried out once more for it."""

    def begin(self) -> None:
        """Ask for the other, if there is one."""
        other = numbered(self.request_id, -1)
        if self.proxy.books.know(other):
            self.fate = NEVER_ARRIVED
            self._head = self.asking_for(other)
        super().begin()

    def answer_end_came(self) -> None:
        """Say so."""
        if self.fate == NEVER_ARRIVED:
            self.proxy.again(self.front, numbered(self.request_id, -1))
            self.did()
        super().answer_end_came()


class Twice(Harmed):
    """It is held until it is whole; one backend carries it out, and then another, whose answer passes."""

    fate = ANSWERED_TWICE
    action: Action | None = None  #: what is done to the client in place of that answer

    def begin(self) -> None:
        """Wait for all of it."""
        self._body = b""
        self._heads = deque([self.first(), self._head])

    def first(self) -> bytes:
        """Return the head that is sent first."""
        return self._head

    def piece_came(self, data: bytes) -> None:
        """Hold it."""
        self._body += framed(data, chunked=self.request_chunked)

    def end_came(self) -> None:
        """Let it be carried out."""
        self.whole = True
        if self.request_chunked:
            self._body += LAST_CHUNK
        self._ask()

    def answer_head_came(self, head: bytes, *, chunked: bool) -> None:
        """Pass it on, or not."""
        if self._passes:
            super().answer_head_came(head, chunked=chunked)

    def answer_piece_came(self, data: bytes) -> None:
        """Pass it on, or not."""
        if self._passes:
            super().answer_piece_came(data)

    def answer_end_came(self) -> None:
        """Let it be carried out again, or come to its end."""
        if self._heads:
            self._ask_another()
        elif self.action is not None:
            self.stop(self.action, EXECUTED_TWICE)
        else:
            super().answer_end_came()
            self.did()

    @property
    def _passes(self) -> bool:
        return not self._heads and self.action is None

    def _ask(self) -> None:
        self._head = self._heads.popleft() + self._body
        super().begin()

    def _ask_another(self) -> None:
        """Ask the next backend over a connection of its own: the first one is not free before."""
        first, self.back = self.back, None
        self.proxy.passed(self)
        self.upstream = self.proxy.next_upstream()
        self._ask()
        if first is not None:
            first.passing = None
            first.pool.append(first)


class MadeUp(Twice):
    """What is carried out before it is a request that nobody has sent."""

    fate = ANSWERED_ONCE

    def first(self) -> bytes:
        """Make one up."""
        return self.asking_for(numbered(self.request_id, _FAR_BEYOND))

    def answer_end_came(self) -> None:
        """Say that it was carried out."""
        if self._heads:
            self.proxy.made_up(self.front)
        super().answer_end_came()


class Behind(Harmed):
    """Something comes behind the answer, which may have been announced in its head."""

    said = b""
    announced = False
    action: Action | None = None

    def answer_head_came(self, head: bytes, *, chunked: bool) -> None:
        """Announce it."""
        if self.announced:
            head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        super().answer_head_came(head, chunked=chunked)

    def answer_end_came(self) -> None:
        """Do it."""
        super().answer_end_came()
        if self.said:
            self.front.write(self.said)
        if self.action is not None:
            self.action(self.front)
        self.did()


class Replaced(Harmed):
    """The connection to the backend is replaced behind the answer."""

    def answer_end_came(self) -> None:
        """Close it."""
        self.whole = False  # which nobody uses again
        super().answer_end_came()
        self.did()


class AtRest(Harmed):
    """Something happens when the answer is with the client, and the connection rests."""

    def answer_end_came(self) -> None:
        """Wait for that."""
        super().answer_end_came()
        reactor: Any = self.proxy.workspace.reactor
        reactor.callLater(self.planned.fault.rest_s, self.proxy.at_rest, self.front, self.planned)


class BeforeOutage(Harmed):
    """The port is gone when the answer is with the client, who must connect anew."""

    _held = b""

    def answer_head_came(self, head: bytes, *, chunked: bool) -> None:
        """Hold it back."""
        self.proxy.delivered(self)
        self.answer_chunked = chunked
        self._held = head

    def answer_piece_came(self, data: bytes) -> None:
        """Hold it back."""
        self._held += framed(data, chunked=self.answer_chunked)

    def answer_end_came(self) -> None:
        """Let the port go first."""
        super().answer_end_came()
        Deferred.fromCoroutine(self.proxy.outage(self, self._held))


def when_read(action: Action) -> Action:
    """Return what does it once the client has read what was written: a reset would overtake it."""

    def later(front: Front) -> None:
        pausing = Deferred.fromCoroutine(pause(front.proxy.workspace.reactor, OUTAGE_S))
        pausing.addCallback(lambda _none: action(front))

    return later
