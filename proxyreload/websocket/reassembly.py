"""Messages out of the bytes of a WebSocket, in whatever pieces these come (RFC 6455, 5)."""

import attrs

from proxyreload.websocket.closecodes import INVALID_PAYLOAD, PROTOCOL_ERROR, TOO_BIG, code_of, may_be_sent, reason_of
from proxyreload.websocket.masking import (
    BINARY,
    CLOSE,
    CONTINUATION,
    EIGHT_BYTES,
    FIN,
    KEY_BYTES,
    MASKED,
    PING,
    PONG,
    SHORT,
    TEXT,
    TWO_BYTES,
    unmasked,
)

#: The opcode of its first frame, and all of its payload.
Message = tuple[int, bytes]

#: Of a frame's first two bytes.
_RESERVED, _OPCODE, _CONTROL, _LENGTH = 0x70, 0x0F, 0x08, 0x7F
_OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_HEAD_BYTES, _WHOLE_TEXT = 2, FIN | TEXT


@attrs.frozen
class Wrong:
    """Why nothing more is read."""

    code: int  #: with which the other end is to be told
    words: str


class Reassembly:
    """Puts frames together to messages; control frames may stand between those of one.

    What it returns, and whether it finds anything wrong, depends on the bytes alone. It keeps no more of them than a
    message of its limit has.
    """

    def __init__(self, *, masked: bool, limit: int) -> None:
        """Read a client's frames, which are `masked`, or a server's; no message is longer than `limit` bytes."""
        self._mask = MASKED if masked else 0
        self._limit = limit
        self._rest = b""  # of a frame that is not whole yet
        self._opcode = CONTINUATION  # of the message that is not whole yet, if there is one
        self._parts = bytearray()
        self.wrong: Wrong | None = None  #: from here on nothing is read
        self.closed = False  #: a close frame has come, behind which nothing is read either

    def take(self, data: bytes) -> list[Message]:
        """Take the next bytes, and return the messages and control frames that are whole by now, in their order."""
        if self._rest:
            data = self._rest + data
        messages: list[Message] = []
        at, end, mask = 0, len(data), self._mask
        while end - at >= _HEAD_BYTES and not (self.closed or self.wrong):
            first, second = data[at], data[at + 1]
            begin, length = at + _HEAD_BYTES, second & _LENGTH
            usual = first == _WHOLE_TEXT and second & MASKED == mask and not self._opcode
            if not usual and self._refuses(first, second):
                break
            if length > SHORT:
                begin, length = self._length(data, begin, length)
                if not begin:
                    break
            if (length > self._limit or self._parts) and self._is_too_long(first, length):
                break
            begin += KEY_BYTES if mask else 0
            if begin + length > end:
                break
            at = begin + length
            payload = data[begin:at]
            if mask:
                payload = unmasked(payload, data[begin - KEY_BYTES : begin])
            if usual and payload.isascii():  # nearly always
                messages.append((TEXT, payload))
            else:
                self._frame(first, payload, messages)
        self._rest = b"" if self.closed or self.wrong else data[at:]
        return messages

    def _refuses(self, first: int, second: int) -> bool:
        """Look at the first two bytes of a frame."""
        opcode = first & _OPCODE
        if first & _RESERVED:
            self._fail(PROTOCOL_ERROR, "a frame with reserved bits set")
        elif opcode not in _OPCODES:
            self._fail(PROTOCOL_ERROR, f"a frame with opcode {opcode}")
        elif second & MASKED != self._mask:
            self._fail(PROTOCOL_ERROR, "a frame of a client that is not masked" if self._mask else "a masked frame")
        elif opcode & _CONTROL and (not first & FIN or second & _LENGTH > SHORT):
            self._fail(PROTOCOL_ERROR, "a control frame in parts, or too long")
        elif opcode == CONTINUATION and not self._opcode:
            self._fail(PROTOCOL_ERROR, "a continuation of no message")
        elif opcode in (TEXT, BINARY) and self._opcode:
            self._fail(PROTOCOL_ERROR, "a message within another")
        return self.wrong is not None

    def _length(self, data: bytes, at: int, told: int) -> tuple[int, int]:
        """Return what stands behind a length that has bytes of its own, and the length; (0, 0): it cannot be read."""
        begin = at + (2 if told == TWO_BYTES else 8)
        if begin > len(data):
            return 0, 0
        length = int.from_bytes(data[at:begin], "big")
        if length <= SHORT or (told == EIGHT_BYTES and (length < 1 << 16 or length >> 63)):
            self._fail(PROTOCOL_ERROR, "a length that is told wrongly")
            return 0, 0
        return begin, length

    def _is_too_long(self, first: int, length: int) -> bool:
        """Refuse what is too long before it has come."""
        if not first & _CONTROL and len(self._parts) + length > self._limit:
            self._fail(TOO_BIG, f"a message of more than {self._limit} bytes")
        return self.wrong is not None

    def _frame(self, first: int, payload: bytes, messages: list[Message]) -> None:
        """Take a whole frame, which is allowed here."""
        opcode = first & _OPCODE
        if opcode & _CONTROL:
            self._control(opcode, payload, messages)
        elif not first & FIN:
            self._opcode = opcode or self._opcode
            self._parts += payload
        elif self._opcode:
            opcode, payload = self._opcode, bytes(self._parts + payload)
            self._opcode, self._parts = CONTINUATION, bytearray()
            self._whole(opcode, payload, messages)
        else:
            self._whole(opcode, payload, messages)

    def _whole(self, opcode: int, payload: bytes, messages: list[Message]) -> None:
        if opcode == TEXT and not _is_text(payload):
            self._fail(INVALID_PAYLOAD, "a text that is not UTF-8")
        else:
            messages.append((opcode, payload))

    def _control(self, opcode: int, payload: bytes, messages: list[Message]) -> None:
        if opcode == CLOSE:
            code = code_of(payload)
            if payload and (code is None or not may_be_sent(code)):
                self._fail(PROTOCOL_ERROR, "a close frame without a code that may be sent")
                return
            if not _is_text(reason_of(payload)):
                self._fail(INVALID_PAYLOAD, "a close frame whose reason is not UTF-8")
                return
            self.closed = True
        messages.append((opcode, payload))

    def _fail(self, code: int, words: str) -> None:
        self.wrong = self.wrong or Wrong(code, words)


def _is_text(payload: bytes) -> bool:
    if payload.isascii():
        return True
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
