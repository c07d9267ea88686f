"""The kind `grpc`: unary and server-streaming calls, and such as are refused on purpose, end to end over HTTP/2.

All are calls of one method, whose request says what is to come of it::

    syntax = "proto3";
    package proxyreload;
    service Calls { rpc Call (Asked) returns (stream Told); }
    message Asked { string id = 1; uint32 messages = 2; uint32 every_us = 3; uint32 status = 4; }
    message Told { uint32 number = 1; string id = 2; }

With a status asked for, that is all that is answered: a head with the status in it, and nothing behind that
("Trailers-Only").
"""

from collections.abc import Iterator

import attrs

from proxyreload.history.failures import MESSAGE_LOST, MESSAGE_REPEATED, TRAILERS_LOST, WRONG_BODY, call_failure
from proxyreload.system.bounds import Bound, WholeBound
from proxyreload.system.untrusted import printable
from proxyreload.traffic.content import OK as HTTP_OK
from proxyreload.traffic.content import digest, how_many, whose
from proxyreload.traffic.errorpage import refused
from proxyreload.traffic.get import answer_fields
from proxyreload.traffic.grpchealth import HEALTH_CHECK, HEALTH_WATCH, health
from proxyreload.traffic.grpcmessages import decoded, encoded
from proxyreload.traffic.grpcwire import (
    CONTENT_TYPE,
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    OK,
    UNIMPLEMENTED,
    MessageReader,
    framed,
    only_message,
    status_fields,
    status_name,
    status_of,
)
from proxyreload.traffic.h2 import STREAMS_MOST
from proxyreload.traffic.interfaces import Answer, ClientEnd, Key, Kind, Received, Reply, Values

GRPC = "gRPC"  #: what clients and proxies must speak for it
SERVICE = b"proxyreload.Calls"
CALL = b"/%b/Call" % SERVICE
KEYS = {
    "streams": Key(10, WholeBound(1, STREAMS_MOST), "calls at once on a client's connection"),
    "every": Key(0.1, Bound(0.001, 3600), "seconds between two messages of a stream"),
    "length": Key(5.0, Bound(0.001, 86_400), "seconds that a stream lasts"),
}
#: Of ten calls of a client, by their last digit, one is a stream and one is refused on purpose; the others are unary.
_STREAM, _REFUSED = 4, 9
_MESSAGES_MOST, _EVERY_MOST_US = 10**6, 3600 * 10**6
_US = 10**6


def asked(request_id: bytes, messages: int, every_us: int = 0, status: int = OK) -> bytes:
    """Return what a call asks for."""
    return encoded("Asked", id=request_id, messages=messages, every_us=every_us, status=status)


def told(request_id: bytes, number: int) -> bytes:
    """Return a message of the answer, the first of which is number 1."""
    return encoded("Told", number=number, id=request_id)


@attrs.frozen
class Calls:
    """What the calls of a client ask for, by their ids: both ends of the kind know it."""

    messages: int  #: of a stream
    every_us: int

    @classmethod
    def of(cls, values: Values) -> "Calls":
        """Return what comes of a kind's settings."""
        every_s, length_s = float(values["every"]), float(values["length"])  # type: ignore[arg-type]
        return cls(how_many(every_s, length_s), round(every_s * _US))

    def expected(self, request_id: bytes) -> tuple[int, int]:
        """Return how many messages and which status a call asks for."""
        digits = request_id.rpartition(b"-")[2]
        which = int(digits[-1:]) if digits.isdigit() else 0
        if which == _REFUSED:
            return 0, FAILED_PRECONDITION
        return (self.messages if which == _STREAM else 1), OK

    def body(self, request_id: bytes) -> bytes:
        """Return the one message of the request, as a body has it."""
        messages, status = self.expected(request_id)
        return framed(asked(request_id, messages, self.every_us if messages > 1 else 0, status))


# The client's end.


class Calling(ClientEnd):
    """Calls on all its streams, on each the next as soon as there is an outcome."""

    method = "POST"
    path = CALL
    fields = ((b"te", b"trailers"), CONTENT_TYPE)

    def __init__(self, values: Values) -> None:
        """Have `streams` calls at once; a stream's messages come `every` so often, over `length`."""
        self.streams = int(values["streams"])  # type: ignore[arg-type]
        self.quiet_s, self.lasts_s = float(values["every"]), float(values["length"])  # type: ignore[arg-type]
        self._calls = Calls.of(values)

    def body(self, request_id: bytes) -> bytes:
        """Return the one message of the request."""
        return self._calls.body(request_id)

    def incoming(self, request_id: bytes) -> "Called":
        """Expect what it asks for."""
        return Called(request_id, *self._calls.expected(request_id))


class Called:
    """The answer to a call while it comes: every message once and in order, and then the status that is due."""

    def __init__(self, request_id: bytes, messages: int, status: int) -> None:
        """Expect so many messages, and this status."""
        self._request_id, self._messages, self._status = request_id, messages, status
        self._reader = MessageReader()
        self._came = 0
        self._wrong = ("", "")

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._wrong[0]:
            return
        for message in self._reader.take(data):
            if message == told(self._request_id, self._came + 1) and self._came < self._messages:
                self._came += 1
            elif not self._wrong[0]:
                self._wrong = self._another(message)
        if self._reader.wrong and not self._wrong[0]:
            self._wrong = WRONG_BODY, self._reader.wrong

    def judge(self, answer: Answer) -> tuple[str, str]:
        """Judge the whole answer."""
        if answer.status != HTTP_OK:
            return refused(answer)
        if self._wrong[0]:
            return self._wrong
        status = status_of(answer.trailers)
        if status is None:
            return TRAILERS_LOST, f"ended after {self._came} of {self._messages} messages without a status"
        code, message = status
        if code != self._status:
            return call_failure(status_name(code)), printable(message, 80)
        wrong = whose(answer, self._request_id)
        if wrong[0]:
            return wrong
        if self._reader.rest:
            return WRONG_BODY, "a message that is not whole"
        if self._came < self._messages:
            return MESSAGE_LOST, f"ended after {self._came} of {self._messages} messages"
        return "", ""

    def judge_unfinished(self, answer: Answer) -> tuple[str, str] | None:
        """Judge what has come, once the head has."""
        if not answer.status:
            return None
        wrong = whose(answer, self._request_id)
        return wrong if wrong[0] else self._wrong

    def _another(self, message: bytes) -> tuple[str, str]:
        """Say what is wrong about a message that is not the next one."""
        try:
            came = decoded("Told", message)
        except ValueError:
            return WRONG_BODY, f"message {self._came + 1}: {printable(message, 80)}"
        number: int = came.number
        if came.id != self._request_id or not 0 < number <= self._messages:
            return WRONG_BODY, f"message {self._came + 1}: {printable(message, 80)}"
        if number <= self._came:
            return MESSAGE_REPEATED, f"message {number} after message {self._came}"
        return MESSAGE_LOST, f"message {self._came + 1}: message {number} came in its place"


# The backend's end.


class Serving:
    """A backend that answers calls, of ours and of the health service."""

    def __init__(self, values: Values) -> None:
        """Know what a client's calls ask for."""
        self._calls = Calls.of(values)

    def reply(self, request: Received) -> Reply:
        """Answer a call: of the kind, that names no path here, or anybody else's."""
        if not request.path:
            body = self._calls.body(request.request_id)
            whole = request.digest == digest(body)
            return self.called(request, body if whole else b"")
        if request.path in (HEALTH_CHECK, HEALTH_WATCH):
            return health(request, frozenset({SERVICE}))
        if request.path != CALL:
            said = status_fields(UNIMPLEMENTED, f"no method {printable(request.path, 80)}")
            return Reply((*_fields(request), *said))
        return self.called(request, request.message)

    def called(self, request: Received, body: bytes) -> Reply:
        """Answer what the body of a call asks for."""
        fields = _fields(request)
        message = only_message(body)
        try:
            call = decoded("Asked", message) if message else None
        except ValueError:
            call = None
        if call is None:
            return Reply((*fields, *status_fields(INVALID_ARGUMENT, "no proxyreload.Asked")))
        if call.status:
            return Reply((*fields, *status_fields(call.status, "as asked")))
        every_s = min(call.every_us, _EVERY_MOST_US) / _US
        return _answer(fields, call.id, min(call.messages, _MESSAGES_MOST), every_s)


def _fields(request: Received) -> tuple[tuple[bytes, bytes], ...]:
    return CONTENT_TYPE, *answer_fields(request.instance, request.request_id, request.source_port)[1:]


def _answer(fields: tuple[tuple[bytes, bytes], ...], request_id: bytes, messages: int, every_s: float) -> Reply:
    trailers = status_fields(OK)
    if messages == 1:
        return Reply(fields, framed(told(request_id, 1)), trailers=trailers)
    return Reply(fields, pieces=_pieces(request_id, messages, every_s), trailers=trailers)


def _pieces(request_id: bytes, messages: int, every_s: float) -> Iterator[tuple[float, bytes]]:
    for number in range(1, messages + 1):
        yield (every_s if number > 1 else 0.0), framed(told(request_id, number))


kind = Kind(
    "grpc",
    "unary and server-streaming calls end to end over HTTP/2, several at once",
    "the status that is due, with trailers, and every message",
    Calling,
    Serving,
    KEYS,
    quiet=(1, {"streams": 5, "length": 3.5}),
    brief={"streams": 2, "every": 0.05, "length": 0.2},
    needs=GRPC,
)
