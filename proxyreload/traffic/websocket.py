"""The kind `websocket`: numbered messages over a session, each of them echoed (RFC 6455)."""

from collections.abc import Iterator, Mapping

from proxyreload.history.failures import (
    CLOSED_MID_SESSION,
    MALFORMED,
    MESSAGE_LOST,
    MESSAGE_OUT_OF_ORDER,
    MESSAGE_REPEATED,
    RESET_MID_SESSION,
    WRONG_BODY,
)
from proxyreload.system.bounds import Bound
from proxyreload.system.untrusted import printable
from proxyreload.traffic.content import how_many
from proxyreload.traffic.errorpage import refused
from proxyreload.traffic.get import Answering, answer_fields
from proxyreload.traffic.interfaces import Answer, ClientEnd, Key, Kind, Received, Reply, Values
from proxyreload.websocket import closecodes
from proxyreload.websocket.masking import CLOSE, PING, PONG, TEXT, frame, masked
from proxyreload.websocket.opening import ASKING, KEY_FIELD, is_asked_for, key_of, switching, what_is_wrong
from proxyreload.websocket.reassembly import Reassembly

KEYS = {
    "every": Key(0.05, Bound(0.001, 3600), "seconds between two messages"),
    "length": Key(5.0, Bound(0.001, 86_400), "seconds that a session lasts"),
}
SWITCHED = 101
#: Of a message, also of somebody else's that is echoed. Ours are shorter.
MESSAGE_LIMIT = 64 * 1024
#: With which a backend of ours closes a session when it leaves: that is no doing of the proxy's.
LEAVES = b"the backend leaves"
#: Of a session; whoever asks for more would have us answer without end.
_PINGS_LIMIT = 1000
_OURS = b"message %d of %b"
#: Of a message's number; there are fewer.
_DIGITS = 9


# The client's end.


class Talking(ClientEnd):
    """Has one session after another."""

    fields = ASKING
    counted = True

    def __init__(self, values: Values) -> None:
        """Send a message `every` so often, over `length`."""
        self.quiet_s, self.lasts_s = float(values["every"]), float(values["length"])  # type: ignore[arg-type]
        self._number = how_many(self.quiet_s, self.lasts_s)
        self._talk = Talk(b"", self._number)

    def own_fields(self, request_id: bytes) -> tuple[tuple[bytes, bytes], ...]:
        """Return the key."""
        return ((KEY_FIELD, key_of(request_id)),)

    def conversation(self, request_id: bytes) -> "Talk":
        """Begin another session."""
        self._talk = Talk(request_id, self._number)
        return self._talk

    def pieces(self, request_id: bytes) -> Iterator[tuple[float, bytes]]:  # noqa: ARG002
        """Return the messages of that session, and then its end."""
        return self._talk.outgoing(self.quiet_s)

    def ending(self) -> bytes:
        """Return the close frame."""
        return self._talk.leave()


class Talk:
    """One session: what was sent of it, and what has been echoed.

    Every message is to come back once and in order, until both sides have said that it is over. The first that is not
    as it should be ends it.
    """

    def __init__(self, request_id: bytes, number: int) -> None:
        """Send so many messages."""
        self._request_id, self._number = request_id, number
        self._reassembly = Reassembly(masked=False, limit=MESSAGE_LIMIT)
        self._drawn = self._sent = 0  # messages that are to be sent next, and that have been
        self._next = 0  # the one whose echo comes next
        self._expected = _OURS % (0, request_id)
        self._ahead = -1  # the one that came in its place
        self._close = masked(CLOSE, closecodes.closing(closecodes.NORMAL))
        self._left = False  # that has been sent
        self._replies = b""
        self._pings = 0
        self._wrong = ("", "")
        self.over = False
        self.parting = ""

    @property
    def messages(self) -> int:
        """How many messages have come back in their order."""
        return self._next

    # What is sent.

    def outgoing(self, every_s: float) -> Iterator[tuple[float, bytes]]:
        """Yield the messages and the close frame; who draws one has sent the one before."""
        for number in range(self._number):
            self._drawn = number + 1
            yield (every_s if number else 0.0), masked(TEXT, _OURS % (number, self._request_id))
            self._sent = number + 1
        yield every_s, self._close
        self._left = True

    def leave(self) -> bytes:
        """Return the close frame, which is sent now, behind the message that was drawn."""
        self._sent, self._left = self._drawn, True
        return self._close

    def replies(self) -> bytes:
        """Return what is to be sent at once, and forget it."""
        replies, self._replies = self._replies, b""
        return replies

    # What comes.

    def switched(self, answer: Answer, fields: Mapping[bytes, bytes]) -> None:
        """See that a backend of ours has taken this very request."""
        wrong = what_is_wrong(fields, key_of(self._request_id))
        if wrong:
            self._end(MALFORMED, wrong)
        elif answer.echoed_id and answer.echoed_id != self._request_id:
            self._end(WRONG_BODY, f"the answer to request {printable(answer.echoed_id)}")
        elif not answer.instance:
            self._end(WRONG_BODY, "not from a backend of ours")

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        for opcode, payload in self._reassembly.take(data):
            if self.over:
                return
            if opcode == TEXT:
                if payload == self._expected and self._next < self._sent and self._ahead < 0:
                    self._next += 1
                    self._expected = _OURS % (self._next, self._request_id)
                else:
                    self._unexpected(payload)
            elif opcode == CLOSE:
                self._closed(payload)
            elif opcode == PING:
                self._pinged(payload)
            elif opcode != PONG:
                self._fail(WRONG_BODY, "a binary message")
        wrong = self._reassembly.wrong
        if wrong is not None and not self.over:
            self._fail(MALFORMED, wrong.words, wrong.code)

    def judge(self, answer: Answer) -> tuple[str, str]:
        """Judge the whole session, or the answer that there is in its place."""
        return self._wrong if answer.status == SWITCHED else refused(answer)

    def judge_unfinished(self, answer: Answer) -> None:  # noqa: ARG002
        """It is ended by its close frame, which the other side answers."""
        return

    def cut(self, failure: str, message: str) -> tuple[str, str]:
        """Say how it ended, and what was unanswered."""
        ends = {CLOSED_MID_SESSION: "FIN without a close frame", RESET_MID_SESSION: "RST without a close frame"}
        parts = [ends.get(failure, message), self._unanswered]
        if self._left:
            parts.append("our close frame was not answered")
        return failure, ", ".join(part for part in parts if part)

    # Its own.

    @property
    def _unanswered(self) -> str:
        """Say which messages have not come back."""
        number = self._sent - self._next
        if not number:
            return "no message unanswered"
        which = f"{self._next} to {self._sent - 1}" if number > 1 else f"{self._next}"
        ahead = f", though {self._ahead} was" if self._ahead >= 0 else ""
        return f"message{'s' if number > 1 else ''} {which} unanswered{ahead}"

    def _unexpected(self, payload: bytes) -> None:
        """Say what is wrong about a message that is not the next one; of one that is missing the next to come tells."""
        number = self._number_of(payload)
        if number is None:
            self._fail(WRONG_BODY, f"message {self._next}: {printable(payload, 80)}")
        elif self._ahead >= 0 and number == self._next:
            self._fail(MESSAGE_OUT_OF_ORDER, f"message {number} came after message {self._ahead}")
        elif self._ahead >= 0:
            self._fail(MESSAGE_LOST, f"message {self._next}: message {self._ahead} came in its place")
        elif number < self._next:
            self._fail(MESSAGE_REPEATED, f"message {number} after message {self._next - 1}")
        elif number >= self._sent:
            self._fail(WRONG_BODY, f"message {number}, which had not been sent")
        else:
            self._ahead = number

    def _number_of(self, payload: bytes) -> int | None:
        """Return the number of a message of this session, None if it is none."""
        digits = payload.removeprefix(b"message ").removesuffix(b" of " + self._request_id)
        number = int(digits) if digits.isdigit() and len(digits) <= _DIGITS else -1
        return number if payload == _OURS % (number, self._request_id) else None

    def _closed(self, payload: bytes) -> None:
        """Take the other side's close frame, which answers ours or is answered."""
        self.over = True
        if not self._left:
            self._replies += masked(CLOSE, payload[:2])
            self._closed_by_them(payload)
        elif self._ahead >= 0:
            self._wrong = MESSAGE_LOST, f"message {self._next}: message {self._ahead} came in its place"
        elif closecodes.reason_of(payload) == LEAVES:  # it crossed ours, and behind it there is no echo
            return
        elif self._next < self._sent:
            self._wrong = MESSAGE_LOST, f"{self._unanswered} when the session was over"

    def _closed_by_them(self, payload: bytes) -> None:
        if closecodes.reason_of(payload) == LEAVES:
            return
        self.parting = f"close frame {closecodes.spoken(payload)}"
        if closecodes.code_of(payload) not in closecodes.LEAVING or self._next != self._sent:
            self._wrong = CLOSED_MID_SESSION, f"{self.parting}, {self._unanswered}"

    def _pinged(self, payload: bytes) -> None:
        self._pings += 1
        if self._pings > _PINGS_LIMIT:
            self._fail(MALFORMED, f"more than {_PINGS_LIMIT} pings")
        elif not self._left:
            self._replies += masked(PONG, payload)

    def _fail(self, failure: str, message: str, code: int = closecodes.PROTOCOL_ERROR) -> None:
        """Say that it failed, to the other side too."""
        if not self._left:
            self._replies += masked(CLOSE, closecodes.closing(code))
        self._end(failure, message)

    def _end(self, failure: str, message: str) -> None:
        self._wrong, self.over = (failure, message), True


# The backend's end.


class Echo:
    """One session: every message goes back as it came, whoever sent it."""

    def __init__(self) -> None:
        """Begin it."""
        self._reassembly = Reassembly(masked=True, limit=MESSAGE_LIMIT)
        self._left = False
        self.over = False

    def take(self, data: bytes) -> bytes:
        """Take the next bytes, and return the echoes."""
        said = []
        for opcode, payload in self._reassembly.take(data):
            if opcode == CLOSE:
                said += [] if self._left else [frame(CLOSE, payload[:2])]
                self.over = True
            elif self._left:  # behind a close frame nothing may be sent
                pass
            elif opcode == PING:
                said.append(frame(PONG, payload))
            elif opcode != PONG:
                said.append(frame(opcode, payload))
        wrong = self._reassembly.wrong
        if wrong is not None and not self.over:
            said += [] if self._left else [frame(CLOSE, closecodes.closing(wrong.code, wrong.words.encode("ascii")))]
            self.over = True
        return b"".join(said)

    def leave(self) -> bytes:
        """Say that the backend leaves."""
        if self._left or self.over:
            return b""
        self._left = True
        return frame(CLOSE, closecodes.closing(closecodes.GOING_AWAY, LEAVES))


class Echoing:
    """A backend that echoes; what asks for no WebSocket, or for one of another version, is answered as a small GET."""

    def __init__(self, values: Values | None = None) -> None:
        """Echo; how often and how long is the client's to say."""

    def reply(self, request: Received) -> Reply:
        """Switch."""
        if not is_asked_for(request.asked):
            return Answering().reply(request)
        fields = answer_fields(request.instance, request.request_id, request.source_port)
        others = tuple(field for field in fields if field[0] != b"Content-Type")
        return Reply((*switching(request.asked[KEY_FIELD.lower()]), *others), session=Echo())


kind = Kind(
    "websocket",
    "RFC 6455, numbered messages over a session, each echoed",
    "every message echoed once, in order; the session ended by its client",
    Talking,
    Echoing,
    KEYS,
    quiet=(2, {"length": 3.5}),
    brief={"every": 0.05, "length": 0.2},
    needs="WebSocket",
)
