"""Bytes of HTTP/2, which must mean the same in whatever pieces they come, to a client and to a server."""

from collections.abc import Callable, Sequence
from unittest.mock import patch

import jh2._hazmat as hpack

import proxyreload.http2.hpack as hpack_of_ours
from proxyreload.http2 import frames
from proxyreload.http2.frames import PREFACE
from proxyreload.http2.heard import Request, Wrong
from proxyreload.http2.hpack import Field, encoded, string
from proxyreload.http2.peer import Streams
from proxyreload.http2.serverstreams import ServerStreams
from proxyreload.http2.streams import ClientStreams
from tests.memory.http2ends import GET, OK, POST

from .streams import cut_and_uncut, split
from .target import Target


class _Whole:
    """The decoder for blocks that are whole: of others it prints to standard error what it thinks, each time."""

    def __init__(self, limit: int) -> None:
        self._decode = hpack.Decoder(limit).decode

    def decode(self, block: bytes) -> list[Field]:
        at = 0
        while at < len(block):
            first = block[at]
            bits = 7 if first & 0x80 else 6 if first & 0x40 else 5 if first & 0x20 else 4
            index, at = self._integer(block, at, bits)
            if bits in (6, 4):
                for _string in range(1 if index else 2):
                    size, at = self._integer(block, at, 7)
                    at += size
        if at > len(block):
            raise hpack.HPACKError
        found: list[Field] = self._decode(block)
        return found

    @staticmethod
    def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
        if at >= len(block):
            raise hpack.HPACKError
        block += bytes(9)
        value, most = block[at] & ((1 << bits) - 1), (1 << bits) - 1
        if value < most:
            return value, at + 1
        for shift in range(5):
            at += 1
            value += (block[at] & 127) << 7 * shift
            if block[at] < 128:
                break
        return value, at + 1


_HELLO = frames.settings({frames.MAX_CONCURRENT_STREAMS: 100, frames.INITIAL_WINDOW_SIZE: 10})


def _asking() -> ClientStreams:
    client = ClientStreams()
    client.begin()
    for _ in range(2):
        client.open(encoded(GET), end=True)
    stream, _asked = client.open(encoded(POST), end=False)
    client.data(stream, bytes(100_000), end=True)
    return client


def _made_of(begin: Callable[[], Streams], pieces: Sequence[bytes]) -> tuple[list[object], bytes]:
    """Return what an end hears, and all that it answers; a server answers every request, with a body and trailers."""
    end = _begun(begin)
    events: list[object] = []
    answers = b""
    for piece in pieces:
        heard = end.received(piece)
        events += heard
        answers += end.answers()
        if isinstance(end, ServerStreams):
            for each in heard:
                if isinstance(each, Request):
                    end.head(each.stream, OK, end=False)
                    end.data(each.stream, bytes(5), end=False)
    return events, answers


def _begun(begin: Callable[[], Streams]) -> Streams:
    with patch.object(hpack_of_ours, "Decoder", _Whole):
        return begin()


def _take(begin: Callable[[], Streams]) -> Callable[[bytes], None]:
    """Return what looks whether an end hears the same however it is cut, and of one error at most."""

    def take(data: bytes) -> None:
        _end, pieces, stream = split(data)
        events, answers = _made_of(begin, [stream])
        wrong = [each for each in events if isinstance(each, Wrong)]
        assert not wrong or (len(wrong) == 1 and events[-1] is wrong[0] and wrong[0].message.isprintable()), wrong
        if begin is _asking:  # when a server answers depends on when it is asked
            assert _made_of(begin, pieces) == (events, answers)
        else:
            assert _made_of(begin, pieces)[0] == events

    return take


def _frame_each() -> list[bytes]:
    """Return a frame of each type, and header blocks of each form."""
    head = encoded(OK)
    kept = b"\x88\x40\x01x" + string(b"y")
    return [
        frames.headers(1, head, end=True),
        frames.headers(3, kept, end=False) + frames.frame(frames.DATA, 1, 3, b"hi"),
        frames.headers(1, kept + b"\xbe", end=False) + frames.headers(1, encoded([(b"grpc-status", b"0")]), end=True),
        frames.headers(5, encoded([(b":status", b"100")]), end=False) + frames.headers(5, b"\x20" + head, end=True),
        frames.headers(5, encoded([*OK, (b"content-length", b"2")]), end=False)
        + frames.frame(frames.DATA, 9, 5, b"\0hi"),
        frames.frame(frames.HEADERS, 0x20, 1, bytes(5) + b"\x88") + frames.frame(frames.CONTINUATION, 4, 1, b"\xbe"),
        frames.rst_stream(3, 8) + frames.goaway(1, 0, b"bye") + frames.goaway(2**31 - 1, 0),
        frames.window_update(5, 70_000) + frames.window_update(0, 70_000),
        frames.frame(frames.PING, 0, 0, bytes(8)) + frames.settings({frames.INITIAL_WINDOW_SIZE: 70_000}),
        frames.frame(frames.PRIORITY, 0, 3, bytes(5)) + frames.frame(frames.PUSH_PROMISE, 4, 3, bytes(5)),
    ]


def _answers() -> list[bytes]:
    each = _frame_each()
    return cut_and_uncut([_HELLO + frame for frame in each] + [_HELLO + b"".join(each)])


def _requests() -> list[bytes]:
    asked = [
        *(frames.headers(1, encoded(GET), end=True), frames.headers(1, encoded(POST), end=False)),
        frames.headers(1, encoded(POST), end=False) + frames.frame(frames.DATA, 1, 1, b"hi"),
        frames.headers(3, b"\x82\x86\x84\x40\x01x" + string(b"y"), end=True) + frames.rst_stream(3, 8),
    ]
    each = [PREFACE + _HELLO + frame for frame in (*asked, *_frame_each())]
    return cut_and_uncut([*each, PREFACE + _HELLO + b"".join(asked[1:] + _frame_each())])


_WORDS = (
    *(bytes([0, 0, size, kind, flags, 0, 0, 0, 1]) for size in (0, 1, 4, 8) for kind in range(10) for flags in (0, 5)),
    *(_HELLO, PREFACE, encoded(GET), encoded(OK), b"\x88", b"\x82\x86\x84", b"\xbe", b"\x20", b"\x40\x01x\x01y"),
)
HTTP2_ANSWERS = Target("http2-answers", _take(_asking), _answers, _WORDS, 1024)
HTTP2_REQUESTS = Target("http2-requests", _take(ServerStreams), _requests, _WORDS, 1024)
