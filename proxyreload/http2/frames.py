"""The frames of HTTP/2 (RFC 9113, 4 and 6): read out of bytes however they are cut, and written."""

import struct
from collections.abc import Mapping
from typing import Final

import attrs

#: What a client says first (RFC 9113, 3.4).
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Types of frames.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

# Flags; which there are depends on the type.
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

# Settings (RFC 9113, 6.5.2).
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)

#: Ids of streams and windows are less than this.
TWO_GIB: Final = 2**31
#: The least that a peer must take in one frame, which is what is announced to it; and the most that it can announce.
FRAME_SIZE: Final = 16_384
FRAME_SIZE_MOST: Final = 2**24 - 1
#: A window before anything is said about it.
FIRST_WINDOW: Final = 65_535

# Error codes that are used here (RFC 9113, 7).
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = range(4)
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = range(5, 10)
ENHANCE_YOUR_CALM = 11

_CODES = (
    *("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED"),
    *("FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"),
    *("INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"),
)

#: Length and type, flags, stream; the length is in the upper 24 bits of the first.
_HEAD = struct.Struct(">IBI")
_HEAD_BYTES = _HEAD.size
_SETTING = struct.Struct(">HI")
_NUMBER = struct.Struct(">I")
_TWO_NUMBERS = struct.Struct(">II")
#: The highest bit of a stream's id is reserved, and ignored.
_ID_BITS = TWO_GIB - 1

#: Type, flags, stream, payload.
Frame = tuple[int, int, int, bytes]


def code_name(code: int) -> str:
    """Return an error code's name, ``CANCEL`` for 8; of one that has none ``code 0x1f``."""
    return _CODES[code] if code < len(_CODES) else f"code {code:#x}"


# Written.


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return one frame; the payload has to fit in it."""
    return _HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


def headers(stream: int, block: bytes, *, end: bool) -> bytes:
    """Return a header block as HEADERS, with CONTINUATION where it is long; `end`: nothing follows on the stream."""
    if len(block) <= FRAME_SIZE:
        return _HEAD.pack(len(block) << 8 | HEADERS, END_HEADERS | end, stream) + block
    pieces = [block[begin : begin + FRAME_SIZE] for begin in range(0, len(block), FRAME_SIZE)]
    return b"".join(
        [
            frame(HEADERS, int(end), stream, pieces[0]),
            *(frame(CONTINUATION, 0, stream, piece) for piece in pieces[1:-1]),
            frame(CONTINUATION, END_HEADERS, stream, pieces[-1]),
        ]
    )


def settings(values: Mapping[int, int]) -> bytes:
    """Return SETTINGS."""
    return frame(SETTINGS, 0, 0, b"".join([_SETTING.pack(*each) for each in values.items()]))


def rst_stream(stream: int, code: int) -> bytes:
    """Return RST_STREAM."""
    return frame(RST_STREAM, 0, stream, _NUMBER.pack(code))


def goaway(last: int, code: int, debug: bytes = b"") -> bytes:
    """Return GOAWAY: streams up to `last` are, or were, acted on."""
    return frame(GOAWAY, 0, 0, _TWO_NUMBERS.pack(last, code) + debug)


def window_update(stream: int, increment: int) -> bytes:
    """Return WINDOW_UPDATE: so many more bytes may come on the stream; on the connection for 0."""
    return frame(WINDOW_UPDATE, 0, stream, _NUMBER.pack(increment))


SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0, b"")


# Read.


class WrongFrames(Exception):
    """What has come is no HTTP/2: a connection error (RFC 9113, 5.4.1)."""

    def __init__(self, code: int, message: str) -> None:
        """Say what is wrong, for a log, and the code that the peer is told."""
        super().__init__(message)
        self.code = code
        self.message = message


@attrs.define(eq=False)
class FrameReader:
    """Makes frames of bytes, the same in whatever pieces they come; it keeps less than one frame.

    `wrong` is set when a frame is longer than was announced as the most: none follows then.
    """

    wrong: WrongFrames | None = attrs.field(default=None, init=False)
    _rest: bytes = attrs.field(default=b"", init=False)

    def take(self, data: bytes) -> list[Frame]:
        """Return the frames that are whole now."""
        if self.wrong is not None:
            return []
        if self._rest:
            data = self._rest + data
        found: list[Frame] = []
        begin, size, unpack = 0, len(data), _HEAD.unpack_from
        while size - begin >= _HEAD_BYTES:
            length, flags, stream = unpack(data, begin)
            kind = length & 0xFF
            end = begin + _HEAD_BYTES + (length >> 8)
            if length >> 8 > FRAME_SIZE:
                self.wrong = WrongFrames(FRAME_SIZE_ERROR, f"a frame of {length >> 8} bytes")
                self._rest = b""
                return found
            if end > size:
                break
            found.append((kind, flags, stream & _ID_BITS, data[begin + _HEAD_BYTES : end]))
            begin = end
        self._rest = data[begin:] if begin else data
        return found


def number(payload: bytes) -> int:
    """Return the number that RST_STREAM or WINDOW_UPDATE is; raises `WrongFrames` if it has another length."""
    if len(payload) != _NUMBER.size:
        raise WrongFrames(FRAME_SIZE_ERROR, f"{len(payload)} bytes in the place of a number")
    found: int = _NUMBER.unpack(payload)[0]
    return found


def two_numbers(payload: bytes) -> tuple[int, int]:
    """Return the last stream and the error code of GOAWAY; raises `WrongFrames` if it is too short."""
    if len(payload) < _TWO_NUMBERS.size:
        raise WrongFrames(FRAME_SIZE_ERROR, f"GOAWAY of {len(payload)} bytes")
    last, code = _TWO_NUMBERS.unpack_from(payload)
    return last & _ID_BITS, code


def settings_of(payload: bytes) -> dict[int, int]:
    """Return identifiers and values of SETTINGS, of each the last; raises `WrongFrames` if they are not whole."""
    if len(payload) % _SETTING.size:
        raise WrongFrames(FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
    return dict(_SETTING.iter_unpack(payload))


def unpadded(flags: int, payload: bytes) -> bytes:
    """Return a payload without its padding (RFC 9113, 6.1); raises `WrongFrames` where there is more than payload."""
    if not flags & PADDED:
        return payload
    padding = payload[0] if payload else 0
    if padding >= len(payload):
        raise WrongFrames(PROTOCOL_ERROR, "more padding than there are bytes")
    return payload[1 : len(payload) - padding]


def block_of(flags: int, stream: int, payload: bytes) -> bytes:
    """Return the piece of a header block that HEADERS has; raises `WrongFrames`."""
    if not flags & (PADDED | WITH_PRIORITY):
        return payload
    block = unpadded(flags, payload)
    if not flags & WITH_PRIORITY:
        return block
    if len(block) < 5:  # noqa: PLR2004
        raise WrongFrames(FRAME_SIZE_ERROR, "HEADERS too short for its priority")
    if number(block[:4]) & _ID_BITS == stream:
        raise WrongFrames(PROTOCOL_ERROR, "a stream that depends on itself")
    return block[5:]
