"""The kind `stream`: server-sent events, numbered, over a while (HTML Standard, 9.2)."""

from collections.abc import Iterator

from proxyreload.history.failures import MESSAGE_LOST, MESSAGE_REPEATED, TRUNCATED, WRONG_BODY
from proxyreload.system.bounds import Bound
from proxyreload.system.untrusted import printable
from proxyreload.traffic.content import how_many, whose
from proxyreload.traffic.get import answer_fields
from proxyreload.traffic.h2 import OVER_HTTP2
from proxyreload.traffic.interfaces import Answer, ClientEnd, Key, Kind, Received, Reply, Values

KEYS = {
    "every": Key(0.1, Bound(0.001, 3600), "seconds between two events"),
    "length": Key(5.0, Bound(0.001, 86_400), "seconds that a stream lasts"),
    "streams": OVER_HTTP2,
}
_TYPE = (b"Content-Type", b"text/event-stream")
_END = b"end"
#: An event of ours is shorter; one that never ends is none.
_EVENT_LIMIT = 1024
#: Of an event's number; there are fewer.
_DIGITS = 9
#: Behind each event.
_BLANK = b"\n\n"


def event(request_id: bytes, number: int) -> bytes:
    """Return an event."""
    return b"data: %b %d\n\n" % (request_id, number)


def end(request_id: bytes, number: int) -> bytes:
    """Return the last event, with how many came before it."""
    return b"data: %b %b %d\n\n" % (request_id, _END, number)


class Listening(ClientEnd):
    """Listens to one stream after another."""

    counted = True

    def __init__(self, values: Values) -> None:
        """Expect an event `every` so often, over `length`."""
        self.quiet_s, self.lasts_s = float(values["every"]), float(values["length"])  # type: ignore[arg-type]
        self.streams = int(values["streams"])  # type: ignore[arg-type]
        self.fields = ((b"Accept", b"text/event-stream"),)
        self._events = how_many(self.quiet_s, self.lasts_s)

    def incoming(self, request_id: bytes) -> "Heard":
        """Expect every event once, in order, and the right end."""
        return Heard(request_id, self._events)


class Heard:
    """A stream while it comes: events are put together whatever chunks a proxy makes of them.

    Byte by byte: where one of the two line ends between events is lost, a reader takes them for one event.
    """

    def __init__(self, request_id: bytes, number: int) -> None:
        """Expect so many events."""
        self._request_id, self._number = request_id, number
        self._rest = b""  # of an event that is not whole yet
        self._next = 0
        self._ended = False
        self._wrong = ("", "")

    @property
    def messages(self) -> int:
        """How many events have come, in their order."""
        return self._next

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._wrong[0]:
            return
        *told, self._rest = (self._rest + data).split(_BLANK)
        for each in told:
            self._event(each)
        if len(self._rest) > _EVENT_LIMIT:
            self._wrong = self._wrong if self._wrong[0] else (WRONG_BODY, "an event that does not end")
            self._rest = b""

    def judge(self, answer: Answer) -> tuple[str, str]:
        """Judge the whole stream."""
        wrong = self._judge_head(answer)
        if wrong[0]:
            return wrong
        if not self._ended:
            if not self._expected.startswith(self._rest):
                return WRONG_BODY, f"event {self._next}: {printable(self._rest, 80)}"
            return TRUNCATED, f"ended after {self._next} of {self._number} events"
        if self._rest:
            return WRONG_BODY, "bytes behind the end"
        return "", ""

    def judge_unfinished(self, answer: Answer) -> tuple[str, str] | None:
        """Judge what has come, once its head has."""
        return self._judge_head(answer) if answer.status else None

    def _judge_head(self, answer: Answer) -> tuple[str, str]:
        wrong = whose(answer, self._request_id)
        return wrong if wrong[0] else self._wrong

    @property
    def _expected(self) -> bytes:
        """What comes next."""
        last = self._next == self._number
        return end(self._request_id, self._number) if last else event(self._request_id, self._next)

    def _event(self, told: bytes) -> None:
        if self._wrong[0]:
            return
        if self._ended:
            self._wrong = (WRONG_BODY, "an event behind the end")
        elif told + _BLANK != self._expected:
            self._wrong = self._told(told)
        elif self._next == self._number:
            self._ended = True
        else:
            self._next += 1

    def _told(self, told: bytes) -> tuple[str, str]:
        """Say what is wrong about an event that is not the next one."""
        numbered, last = b"data: %b " % self._request_id, end(self._request_id, self._number)
        digits = told.removeprefix(numbered)
        if told + _BLANK == last:
            number = self._number
        elif digits != told and digits.isdigit() and len(digits) <= _DIGITS and int(digits) < self._number:
            number = int(digits)
        else:
            return WRONG_BODY, f"event {self._next}: {printable(told, 80)}"
        if number < self._next:
            return MESSAGE_REPEATED, f"event {number} after event {self._next - 1}"
        came = "the end" if told + _BLANK == last else f"event {number}"
        return MESSAGE_LOST, f"event {self._next}: {came} came in its place"


class Telling:
    """A backend that tells events."""

    def __init__(self, values: Values) -> None:
        """Tell one `every` so often, over `length`."""
        self._every_s, self._length_s = float(values["every"]), float(values["length"])  # type: ignore[arg-type]

    def reply(self, request: Received) -> Reply:
        """Tell them."""
        fields = answer_fields(request.instance, request.request_id, request.source_port)
        others = tuple(field for field in fields if field[0] != _TYPE[0])
        return Reply((_TYPE, (b"Cache-Control", b"no-cache"), *others), pieces=self._pieces(request.request_id))

    def _pieces(self, request_id: bytes) -> Iterator[tuple[float, bytes]]:
        number = how_many(self._every_s, self._length_s)
        for each in range(number):
            yield (self._every_s if each else 0.0), event(request_id, each)
        yield self._every_s, end(request_id, number)


kind = Kind(
    "stream",
    "server-sent events, numbered, over a while",
    "every event once, in order, the right end",
    Listening,
    Telling,
    KEYS,
    quiet=(2, {"length": 3.5}),
    brief={"every": 0.05, "length": 0.2},
)
