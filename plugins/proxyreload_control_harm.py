"""Requests to which something happens on their way: what broken proxies do, each done once, and told when it is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from proxyreload.proxy.upstream import Upstream
from proxyreload.traffic.identity import ID_FIELD
from proxyreload_control_messages import field_value, framed, with_length
from proxyreload_control_proxy import OUTAGE_S, Front, Passing, pause
from proxyreload_control_surgery import Surgery

if TYPE_CHECKING:
    from proxyreload_control import Faults
    from proxyreload_control_faults import Planned

Action = Callable[[Front], object]


class Watched(Passing):
    """One to which nothing happens; it is noted whose answer came over which connection."""

    proxy: "Faults"

    def answer_head_came(self, head: bytes, *, chunked: bool) -> None:
        """Pass it on."""
        self.proxy.delivered(self)
        super().answer_head_came(head, chunked=chunked)


class Harmed(Watched):
    """One to which something happens."""

    def __init__(self, front: Front, head: bytes, upstream: Upstream, planned: "Planned", *, chunked: bool) -> None:
        super().__init__(front, head, upstream, chunked=chunked)
        self.planned = planned

    def did(self) -> None:
        """Say that it has happened."""
        self.proxy.did(self.front, self.planned)

    def stop(self, action: Action) -> None:
        """Let nothing pass any more, and do something to the client."""
        self.give_up()
        action(self.front)
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
        self.stop(self.action)


class Partly(Harmed):
    """A part of a body has passed."""

    action: Action

    def begin(self) -> None:
        """Draw after how many bytes."""
        self._left = self.planned.among(self.planned.fault.bytes)
        super().begin()

    def part(self, data: bytes, pass_on: Callable[[bytes], None]) -> None:
        """Pass on as much of `data` as may pass."""
        passes, self._left = data[: self._left], self._left - len(data)
        pass_on(passes)
        if self._left <= 0:
            self.stop(self.action)


class InRequest(Partly):
    """It is the request's."""

    def piece_came(self, data: bytes) -> None:
        """Pass a part on."""
        self.part(data, super().piece_came)


class InAnswer(Partly):
    """It is the answer's, whose head has passed."""

    def answer_piece_came(self, data: bytes) -> None:
        """Pass a part on."""
        self.part(data, super().answer_piece_came)


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
            self.did()


class Swapped(Harmed):
    """The answer is that to another request."""

    def begin(self) -> None:
        """Ask for the other."""
        request_id = field_value(self._head, ID_FIELD)
        other = request_id[:-1] + (b"1" if request_id.endswith(b"0") else b"0")
        self._head = self._head.replace(b": %b\r\n" % request_id, b": %b\r\n" % other)
        super().begin()

    def answer_end_came(self) -> None:
        """Say so."""
        super().answer_end_came()
        self.did()


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
        Deferred.fromCoroutine(self.proxy.outage(self.front, self.planned, self._held))


def when_read(action: Action) -> Action:
    """Return what does it once the client has read what was written: a reset would overtake it."""

    def later(front: Front) -> None:
        pausing = Deferred.fromCoroutine(pause(front.proxy.workspace.reactor, OUTAGE_S))
        pausing.addCallback(lambda _none: action(front))

    return later
