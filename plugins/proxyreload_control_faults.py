"""What can befall each kind of traffic, and as what the instrument must report it."""

from collections.abc import Callable
from random import Random

import attrs

from proxyreload.history import failures
from proxyreload.history.events import Ending
from proxyreload_control_goaway import Denied, Paired, WentAway
from proxyreload_control_harm import (
    Action,
    AtRest,
    BeforeOutage,
    Behind,
    Farewell,
    Harmed,
    InAnswer,
    InRequest,
    Instead,
    MadeUp,
    Operated,
    OperatedSession,
    OtherTrailers,
    Replaced,
    Swapped,
    Twice,
    when_read,
)
from proxyreload_control_proxy import UNAVAILABLE, Front
from proxyreload_control_streams import Stream
from proxyreload_control_surgery import (
    FrameUnits,
    MessageUnits,
    Surgery,
    Units,
    cut,
    hang_up,
    last_byte,
    repeat,
    spoil,
    swallow,
    swap,
)

#: Of the blocks in which large bodies are operated on, as uploads send them.
BLOCK_BYTES = 1000
#: The kinds of which each request has a connection of its own.
ANEW = ("fresh", "websocket")
#: Units of a body that there are in all traffic of a selftest, besides the last ones.
_UNITS = 8
#: So many bytes of a body are cut off, or pass at most before something happens.
_CUT_BYTES, _PART_BYTES = 3, 20
_MALFORMED = b"HTTP/1.1 2x0 OK\r\n\r\n"
_BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
_UNASKED = b"HTTP/1.1 200 OK\r\n"
#: A WebSocket rests so long after an echo before the proxy closes it, and its clients longer.
_FAREWELL_S = 0.005
#: A client rests longer than this; what one 20 ms away sends meanwhile is on its way.
AT_REST_S = 0.02

#: What happens to a connection at rest, or to those of all clients of its kind that rest.
FINISHED, RESET, ALL_FINISHED, VOLLEY = "closed", "reset", "all closed", "closed, and all that send"


@attrs.frozen
class Fault:
    """One thing that can befall a request, or the connection that it leaves behind."""

    name: str
    passing: type[Harmed]
    failure: str = ""  #: the class that the client must report; empty: none
    ending: Ending | None = None  #: how the connection must be reported to have ended with no request on it
    surgery: Callable[[int], Surgery] | None = None  #: of a body, at the unit with this number
    on_request: bool = False  #: of the request's body, not of the answer's
    bytes: int = _PART_BYTES  #: at most so many pass before it happens
    rest_s: float = AT_REST_S
    on_new: bool = False  #: on a connection that has carried nothing yet
    at_rest: str = ""  #: what happens then
    outage: bool = False  #: nobody listens, or (a connect timeout) accepts
    crossed: "Fault | None" = None  #: what it is where the client had sent something before it heard of it


@attrs.frozen
class Planned:
    """A fault that is to be done once."""

    fault: Fault
    share: float  #: drawn from 0 to 1: where in a message

    def among(self, number: int) -> int:
        """Return one of the numbers from 1 to this."""
        return 1 + int(self.share * number)

    def surgery(self) -> Surgery:
        """Return what is done to a body."""
        assert self.fault.surgery is not None  # noqa: S101
        return self.fault.surgery(self.among(_UNITS) - 1)


def _doing(base: type[Harmed], action: Action) -> type[Harmed]:
    """Return a class that does it."""
    return type(base.__name__, (base,), {"action": staticmethod(action)})


def _silence(front: Front) -> None:
    """Say nothing."""


def _says(said: bytes) -> Action:
    return lambda front: front.write(said)


def _tail(make: Callable[[], Surgery]) -> Callable[[int], Surgery]:
    return lambda _number: make()


def _unit(operation: Callable[[bytes, bytes], bytes], size: int = 0) -> Callable[[int], Surgery]:
    return lambda number: Units(number, operation, size)


_reset = Front.reset
_finish = Front.finish


def _before_answer(kind: str) -> list[Fault]:
    """Return what happens in place of an answer."""
    reset, closed = failures.RESET_REUSED, failures.CLOSED_REUSED
    if kind in ANEW:
        reset, closed = failures.RESET_FRESH, failures.CLOSED_FRESH
    return [
        Fault("reset", _doing(Instead, _reset), reset),
        Fault("closed", _doing(Instead, _finish), closed),
        Fault("silence", _doing(Instead, _silence), failures.TIMEOUT),
        Fault("no answer", _doing(Instead, _says(_MALFORMED)), failures.MALFORMED),
        Fault("unavailable", _doing(Instead, _says(UNAVAILABLE)), failures.status_failure(503)),
    ]


def _on_new() -> list[Fault]:
    """Return what happens to the first request of a connection, of a client that is made to open one."""
    return [
        Fault("reset at first", _doing(Instead, _reset), failures.RESET_FRESH, on_new=True),
        Fault("closed at first", _doing(Instead, _finish), failures.CLOSED_FRESH, on_new=True),
    ]


def _carried_out(kind: str) -> list[Fault]:
    """Return what lets backends carry out more than was sent."""
    reset, closed = failures.RESET_REUSED, failures.CLOSED_REUSED
    if kind == "fresh":
        reset, closed = failures.RESET_FRESH, failures.CLOSED_FRESH
    return [
        Fault("repeated", Twice),
        Fault("repeated, and reset", _doing(Twice, _reset), reset),
        Fault("repeated, and closed", _doing(Twice, _finish), closed),
        Fault("made up", MadeUp),
    ]


def _in_answer(kind: str) -> list[Fault]:
    """Return what happens to an answer on its way."""
    part = {"download": 50_000, "stream": 100}.get(kind, _PART_BYTES)
    # Of a stream the end is what is cut off.
    short = failures.TRUNCATED if kind == "stream" else failures.WRONG_BODY
    return [
        Fault("reset in the answer", _doing(InAnswer, when_read(_reset)), failures.RESET_MID_RESPONSE, bytes=part),
        Fault("closed in the answer", _doing(InAnswer, _finish), failures.TRUNCATED, bytes=part),
        Fault("stalled in the answer", _doing(InAnswer, _silence), failures.TIMEOUT, bytes=part),
        Fault("last byte changed", Operated, failures.WRONG_BODY, surgery=_tail(last_byte)),
        Fault("answer cut", Operated, short, surgery=_tail(lambda: cut(_CUT_BYTES))),
        Fault("answer to another", Swapped, failures.WRONG_BODY),
    ]


class _Unasked(Behind):
    said = _UNASKED


class _Announced(Behind):
    announced = True
    action = staticmethod(_finish)


class _Closed(Behind):
    action = staticmethod(_finish)


#: Goes before what happens to the first request of a connection.
CLOSED_BEHIND = Fault("closed behind the answer", _Closed, ending=Ending.IDLE)
#: What happens to those who are made to send by another's end.
IN_VOLLEY = (
    Fault("closed in a volley", _doing(Instead, _finish), failures.CLOSED_REUSED),
    Fault("reset in a volley", _doing(Instead, _reset), failures.RESET_REUSED),
)
_BEHIND = [
    Fault("unasked bytes", _Unasked, ending=Ending.UNSOLICITED),
    Fault("announced", _Announced, ending=Ending.ANNOUNCED),
    CLOSED_BEHIND,
]
_RESTING = [
    Fault("closed at rest", AtRest, ending=Ending.IDLE, at_rest=FINISHED),
    Fault("reset at rest", AtRest, ending=Ending.IDLE, at_rest=RESET),
    Fault("all closed at rest", AtRest, ending=Ending.IDLE, at_rest=ALL_FINISHED),
]
#: At about the time when the next request is sent.
_FAR = [Fault("closed at rest", AtRest, ending=Ending.IDLE, at_rest=FINISHED)] * 3
_AIMED = [Fault("closed at rest, and all that send", AtRest, ending=Ending.IDLE, at_rest=VOLLEY)]
_STREAM = [
    Fault("event swallowed", Operated, failures.MESSAGE_LOST, surgery=_unit(swallow)),
    Fault("event repeated", Operated, failures.MESSAGE_REPEATED, surgery=_unit(repeat)),
    Fault("events out of order", Operated, failures.MESSAGE_LOST, surgery=_unit(swap)),
    Fault("event changed", Operated, failures.WRONG_BODY, surgery=_unit(spoil)),
]


def _frame(operation: Callable[[bytes, bytes], bytes]) -> Callable[[int], Surgery]:
    return lambda number: FrameUnits(number, operation)


def _messages(name: str, operation: Callable[[bytes, bytes], bytes], failure: str) -> list[Fault]:
    """Return what happens to a message on its way to the backend, and on its way back."""
    return [
        Fault(f"message {name} on its way {way}", OperatedSession, failure, surgery=_frame(operation), on_request=there)
        for way, there in (("there", True), ("back", False))
    ]


_WEBSOCKET = [
    Fault("cut without a close frame", _doing(InAnswer, _finish), failures.CLOSED_MID_SESSION, bytes=100),
    Fault("reset in the session", _doing(InAnswer, when_read(_reset)), failures.RESET_MID_SESSION, bytes=100),
    Fault("stalled in the session", _doing(InAnswer, _silence), failures.TIMEOUT, bytes=100),
    *_messages("swallowed", swallow, failures.MESSAGE_LOST),
    *_messages("repeated", repeat, failures.MESSAGE_REPEATED),
    *_messages("out of order", swap, failures.MESSAGE_OUT_OF_ORDER),
    *_messages("changed", spoil, failures.WRONG_BODY),
    Fault("closed in place of an echo", OperatedSession, failures.CLOSED_MID_SESSION, surgery=_frame(hang_up)),
    Fault(
        "closed, announced",
        Farewell,
        ending=Ending.ANNOUNCED,
        bytes=_UNITS,
        rest_s=_FAREWELL_S,
        crossed=Fault("closed, and crossed", Farewell, failures.CLOSED_MID_SESSION),
    ),
]


def _blocks(*, on_request: bool) -> list[Fault]:
    """Return what happens to large bodies."""
    what = {"swallowed": swallow, "repeated": repeat, "out of order": swap, "changed": spoil}
    return [
        Fault(
            f"block {name}",
            Operated,
            failures.WRONG_BODY,
            surgery=_unit(operation, BLOCK_BYTES),
            on_request=on_request,
        )
        for name, operation in what.items()
    ]


def _in_request(kind: str) -> list[Fault]:
    """Return what happens to a body on its way to a backend."""
    # Of a post there must be some left, or else it would be whole.
    part = 10 * BLOCK_BYTES if kind == "upload" else BLOCK_BYTES - 1
    return [
        Fault("upload cut", _doing(InRequest, _says(_BAD_GATEWAY)), failures.status_failure(502), bytes=part),
        Fault("reset in the upload", _doing(InRequest, _reset), failures.RESET_REUSED, bytes=part),
        Fault("closed in the upload", _doing(InRequest, _finish), failures.CLOSED_REUSED, bytes=part),
        Fault("upload's last byte changed", Operated, failures.WRONG_BODY, surgery=_tail(last_byte), on_request=True),
        Fault(
            "upload's end cut",
            Operated,
            failures.WRONG_BODY,
            surgery=_tail(lambda: cut(_CUT_BYTES)),
            on_request=True,
        ),
    ]


def _of_streams() -> list[Fault]:
    """Return what befalls streams of HTTP/2, and their connections."""
    return [
        Fault("silence", _doing(Instead, _silence), failures.TIMEOUT),
        Fault("unavailable", _doing(Instead, _says(UNAVAILABLE)), failures.status_failure(503)),
        Fault("stream reset", _doing(Instead, Stream.close), failures.STREAM_RESET),
        Fault("stream refused", _doing(Instead, Stream.refuse), failures.TURNED_AWAY),
        Fault("stream reset in the answer", _doing(InAnswer, Stream.close), failures.STREAM_RESET),
        Fault("last byte changed", Operated, failures.WRONG_BODY, surgery=_tail(last_byte)),
        Fault("answer cut", Operated, failures.WRONG_BODY, surgery=_tail(lambda: cut(_CUT_BYTES))),
        Fault("gone away", WentAway, ending=Ending.ANNOUNCED),
        Fault("gone away twice", Paired, ending=Ending.ANNOUNCED),
        Fault("gone away, and lied", Denied, ending=Ending.ANNOUNCED),
    ]


def _message(operation: Callable[[bytes, bytes], bytes]) -> Callable[[int], Surgery]:
    return lambda number: MessageUnits(number, operation)


class _Unavailable(OtherTrailers):
    status = b"14"


def _of_calls() -> list[Fault]:
    """Return what befalls calls of gRPC besides."""
    return [
        Fault("message swallowed", Operated, failures.MESSAGE_LOST, surgery=_message(swallow)),
        Fault("message repeated", Operated, failures.MESSAGE_REPEATED, surgery=_message(repeat)),
        Fault("messages out of order", Operated, failures.MESSAGE_LOST, surgery=_message(swap)),
        Fault("message changed", Operated, failures.WRONG_BODY, surgery=_message(spoil)),
        Fault("status lost", OtherTrailers, failures.TRAILERS_LOST),
        Fault("another status", _Unavailable, failures.call_failure("UNAVAILABLE")),
    ]


def faults_of(kind: str, *, far: bool = False) -> list[Fault]:
    """Return all that can befall a kind's requests."""
    if kind == "h2":
        return _of_streams()
    if kind == "grpc":
        return _of_streams() + _of_calls()
    if kind == "websocket":
        return _before_answer(kind) + _WEBSOCKET
    faults = _before_answer(kind) + _in_answer(kind) + _carried_out(kind)
    if kind != "fresh":
        faults += _on_new() + _BEHIND
    own: dict[str, list[Fault]] = {
        "get": [Fault("backend connection replaced", Replaced)],
        "idle": _FAR if far else _RESTING,
        "aimed": _RESTING + _AIMED,
        "stream": _STREAM,
        "download": _blocks(on_request=False),
        "post": _in_request("post"),
        "upload": _in_request("upload") + _blocks(on_request=True),
    }
    return faults + own.get(kind, [])


REFUSED = Fault("nobody listens", BeforeOutage, failures.REFUSED, outage=True)
REFUSED_BEHIND = Fault("closed, and nobody listens", BeforeOutage, failures.REFUSED, Ending.IDLE, outage=True)
UNACCEPTED = Fault("nobody accepts", BeforeOutage, failures.CONNECT_TIMEOUT, outage=True)


def draw(faults: list[Fault], times: tuple[int, int], chance: Random) -> list[Planned]:
    """Return each of them so often, in an order that is drawn."""
    planned = [Planned(fault, chance.random()) for fault in faults for _time in range(chance.randint(*times))]
    chance.shuffle(planned)
    return planned
