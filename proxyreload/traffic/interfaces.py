"""The roles around a kind of traffic: what both of its ends look like to those who carry it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import attrs

from proxyreload.system.bounds import Bound

#: A kind's own settings: by name a number, or the two ends of a range to draw from.
Values = Mapping[str, float | tuple[float, float]]


class Answer(Protocol):
    """The whole answer to one request, as the client has it."""

    @property
    def status(self) -> int:
        """Status code, 0 if there is none."""

    @property
    def instance(self) -> bytes:
        """Who answered, as it says itself."""

    @property
    def echoed_id(self) -> bytes:
        """The request's id as the answer has it."""

    @property
    def body(self) -> bytes:
        """The body, its first bytes where it is longer than is kept."""

    @property
    def trailers(self) -> Sequence[tuple[bytes, bytes, bool]]:
        """Of HTTP/2: the fields behind the body, or the head's where there is none; name, value, and one to ignore."""


#: Judges the answer to the request with this id: (failure class, message), both empty for a success.
Expectation = Callable[[Answer, bytes], tuple[str, str]]


class Incoming(Protocol):
    """One answer while it comes in."""

    def take(self, data: bytes) -> None:
        """Take the next bytes of the body, however the proxy has cut it."""

    def judge(self, answer: Answer) -> tuple[str, str]:
        """Judge the whole answer: (failure class, message), both empty for a success."""

    def judge_unfinished(self, answer: Answer) -> tuple[str, str] | None:
        """Judge what has come, where the client ends the exchange with the run; None: it cannot be ended here."""


class Counting(Incoming, Protocol):
    """One that is many messages."""

    @property
    def messages(self) -> int:
        """How many have come so far."""


class Conversation(Counting, Protocol):
    """What goes to and fro once both sides speak another protocol than HTTP (RFC 9110, 7.8), as the client has it.

    What it takes are the bytes of that protocol.
    """

    @property
    def over(self) -> bool:
        """Whether nothing more is to come."""

    @property
    def parting(self) -> str:
        """With which of its protocol's words the other side has ended it: that is announced, where nothing is lost.

        Empty: it has not.
        """

    def switched(self, answer: Answer, fields: Mapping[bytes, bytes]) -> None:
        """Look at the answer that switches; `fields` are those of its head, by their names in lower case."""

    def replies(self) -> bytes:
        """Return what is to be sent at once in reply to what was taken."""

    def cut(self, failure: str, message: str) -> tuple[str, str]:
        """Judge what has been ended by `failure`: (failure class, message)."""


class Short:
    """An answer that is short, so that what the client keeps of it is enough, and that is waited for at the end."""

    def take(self, data: bytes) -> None:
        """The answer has it."""

    def judge_unfinished(self, answer: Answer) -> tuple[str, str] | None:  # noqa: ARG002
        """It cannot be ended here."""
        return None


class ClientEnd:
    """The client's end of a kind, for one client; the kind's own says what is different from a small GET.

    ``rest_s`` is drawn between an outcome and the next request; ``fresh``: a connection for each request; ``aimed``: it
    rests until connections are being closed. ``quiet_s`` is the longest that nothing comes or goes by the kind's own
    doing, ``lasts_s`` how long an exchange takes by itself; ``read_per_s`` are the bytes of an answer that are read in
    a second at most; ``streams``: so many exchanges at once over one HTTP/2 connection, 0: one at a time, HTTP/1.1.
    ``counted``: what takes an answer is `Counting`, for that is many messages.
    """

    method = "GET"
    path = b""  #: over HTTP/2: what is asked for, where it is not the URL's
    fields: tuple[tuple[bytes, bytes], ...] = ()
    rest_s: tuple[float, float] | None = None
    fresh = False
    aimed = False
    quiet_s = 0.0
    lasts_s = 0.0
    read_per_s: float | None = None
    streams = 0
    counted = False

    def own_fields(self, request_id: bytes) -> tuple[tuple[bytes, bytes], ...]:  # noqa: ARG002
        """Return the fields of one request that are others for each."""
        return ()

    def body(self, request_id: bytes) -> bytes:  # noqa: ARG002
        """Return what is sent behind the head; its length is told in `fields`."""
        return b""

    def pieces(self, request_id: bytes) -> Iterator[tuple[float, bytes]] | None:  # noqa: ARG002
        """Return what is sent later: seconds after what was sent before, and the bytes; None if nothing is.

        When the run ends the rest is not drawn; `ending` is sent at once.
        """
        return None

    def ending(self) -> bytes:
        """Return what ends a body in pieces."""
        return b""

    def incoming(self, request_id: bytes) -> Incoming | None:  # noqa: ARG002
        """Return what takes and judges the answer; None: the expectation that all share."""
        return None

    def conversation(self, request_id: bytes) -> Conversation | None:  # noqa: ARG002
        """Return what begins where a request has asked for another protocol, `pieces` then; None: it asks for none.

        It takes and judges in the place of `incoming`.
        """
        return None


#: Of a request that asks for no other protocol.
_NOTHING_ASKED: Mapping[bytes, bytes] = MappingProxyType({})


@attrs.frozen
class Received:
    """One whole request, as a backend has it."""

    instance: bytes
    request_id: bytes
    source_port: int
    length: int  #: of the body, in bytes
    digest: bytes  #: of the body (`traffic.content.digest`)
    path: bytes = b""  #: of a request that says what it wants by that, and names no kind
    message: bytes = b""  #: the first bytes of the body of such a request
    #: the fields by which it asks for another protocol, by their names in lower case; empty: it asks for none
    asked: Mapping[bytes, bytes] = _NOTHING_ASKED


class Session(Protocol):
    """A backend's end of a connection that speaks another protocol than HTTP from here on (RFC 9110, 7.8)."""

    @property
    def over(self) -> bool:
        """Whether nothing more is to come or to be sent."""

    def take(self, data: bytes) -> bytes:
        """Take the next bytes, however they were cut, and return what is to be sent."""

    def leave(self) -> bytes:
        """Return what says that this end leaves."""


@attrs.frozen
class Reply:
    """What a backend answers: a whole body, pieces over a while, sent as chunks, or another protocol."""

    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""
    pieces: Iterable[tuple[float, bytes]] | None = None  #: seconds after the one before, and the bytes
    delay_s: float = 0.0  #: before the first byte
    trailers: tuple[tuple[bytes, bytes], ...] = ()  #: behind the body, where the protocol has such
    session: Session | None = None  #: what goes on where the answer, 101, switches protocols
    #: Of pieces that have no end: what is said behind them when the backend leaves.
    farewell: bytes | None = None


class BackendEnd(Protocol):
    """The backend's end of a kind with its settings."""

    def reply(self, request: Received) -> Reply:
        """Answer one request."""


@attrs.frozen
class Key:
    """One of a kind's settings."""

    default: float | tuple[float, float]
    bound: Bound
    summary: str  #: in a few words, with the unit
    ours: bool = False  #: the client's alone: no backend is told

    @property
    def drawn(self) -> bool:
        """Whether it is a range to draw from."""
        return isinstance(self.default, tuple)


@attrs.frozen
class Kind:
    """A kind of traffic: what an entry point of the group ``proxyreload.kinds`` names."""

    name: str
    summary: str  #: in a line: what one client does
    outcome: str  #: in a line: what a right outcome is
    client: Callable[[Values], ClientEnd]
    backend: Callable[[Values], BackendEnd] | None = None  #: None: backends answer it as any small GET
    keys: Mapping[str, Key] = attrs.field(factory=dict)
    anyone: bool = False  #: whether other people's backends can answer it
    quiet: tuple[int, Mapping[str, float | tuple[float, float]]] = (0, {})  #: clients and settings in the quiet mix
    brief: Mapping[str, float | tuple[float, float]] = attrs.field(factory=dict)  #: settings with which it is soon over
    clients: int = 1  #: where a scenario does not say how many
    needs: str = ""  #: what a proxy must speak for it beyond HTTP/1.1: ``HTTP/2``, ``gRPC``, ``WebSocket``
