"""Streams of bytes, which must mean the same in whatever pieces they come."""

from collections.abc import Sequence

from proxyreload.websocket.masking import BINARY, CLOSE, PING, SHORT, TEXT, frame, masked
from proxyreload.websocket.reassembly import Reassembly
from tests.memory.connections import answer_bytes, parts
from tests.memory.splitting import ENDS, answer_made_of, requests_made_of

from .target import Target

_REQUEST_ID = b"3-17"
#: A stream's first bytes say how it is cut: how it ends and how often it is cut, and then where, two bytes each.
_CUTS_AT_MOST = 7
#: Of a WebSocket.
_LONGEST_MESSAGE = 200


def split(data: bytes) -> tuple[str, list[bytes], bytes]:
    """Return how a stream ends, its pieces, and all of it."""
    first = data[0] if data else 0
    cuts = first // len(ENDS) % (_CUTS_AT_MOST + 1)
    places = [int.from_bytes(data[1 + 2 * each : 3 + 2 * each], "little") for each in range(cuts)]
    stream = data[1 + 2 * cuts :]
    return ENDS[first % len(ENDS)], parts(stream, places), stream


def cut_and_uncut(streams: Sequence[bytes]) -> list[bytes]:
    """Return these streams with every end, once whole, and once cut in the middle of what stands first and last."""
    seeds = []
    for stream in streams:
        for end in range(len(ENDS)):
            seeds.append(bytes([end]) + stream)
            cut = max(0, len(stream) - 1).to_bytes(2, "little") + (len(stream) // 2).to_bytes(2, "little")
            seeds.append(bytes([2 * len(ENDS) + end]) + cut + stream)
    return seeds


def take_answer(data: bytes) -> None:
    """An answer's class is that of the whole stream, and a known answer is taken as the parser takes it."""
    end, pieces, stream = split(data)
    whole = answer_made_of([stream] if stream else [], end)
    outcomes = [heard[0] for heard in whole[:-1]]
    assert outcomes in ([], ["answered"], ["broken"], ["answered", "closed"]), whole
    assert answer_made_of(pieces, end) == whole
    if stream:
        for _time in range(2):  # the second time it may be known
            assert answer_made_of([stream], end, _REQUEST_ID) == whole


def take_requests(data: bytes) -> None:
    """What is told of requests does not depend on the pieces."""
    end, pieces, stream = split(data)
    assert requests_made_of(pieces, end) == requests_made_of([stream] if stream else [], end)


def _answers() -> list[bytes]:
    right = answer_bytes(_REQUEST_ID)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nhi\r\n0\r\nX-Trailer: 1\r\n\r\n"
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    until_closed = b"HTTP/1.0 200 OK\r\n\r\nhi"
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    return cut_and_uncut(
        [
            *(b"", right, chunked, switch, until_closed, hint + right, right + b"\r\n", right + switch, right + right),
            *(chunked + b"\r", b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 000 \r\n\r\n" + right),
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi" + right,
            b"HTTP/1.1 503 Oops\r\nTransfer-Encoding: gzip, chunked\r\nX: a\r\n b\r\n\r\n0\r\n\r\n",
        ]
    )


def _requests() -> list[bytes]:
    get = b"GET / HTTP/1.1\r\nHost: x\r\nproxyreload-id: 4-17\r\n\r\n"
    post = b"POST / HTTP/1.1\r\nHost: x\r\nproxyreload-id: 4-18\r\nContent-Length: 3\r\n\r\nabc"
    chunked = (
        b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nhi\r\n0\r\nproxyreload-id: 5\r\n\r\n"
    )
    close = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    return cut_and_uncut(
        [
            *(b"", get, post, chunked, get + post + chunked, close + get, upgrade + get, get + b"\r\n" + get),
            *(b"HEAD / HTTP/1.0\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\n\r\n" + get, b"\x16\x03\x01\x00", post + b"junk"),
        ]
    )


_WORDS = (
    *(
        b"\r\n",
        b"\r",
        b"\n",
        b"\r\n\r\n",
        b"\0",
        b" ",
        b"\t",
        b": ",
        b"HTTP/1.1 ",
        b"HTTP/1.0 ",
        b"HTTP/0.9",
        b"HTTP/2.0",
    ),
    *(b"Content-Length: ", b"Content-Length: 2\r\n", b"Content-Length: +5\r\n", b"Content-Length: -1\r\n"),
    *(
        b"Content-Length: 18446744073709551616\r\n",
        b"Transfer-Encoding: ",
        b"Transfer-Encoding: chunked\r\n",
        b"chunked",
    ),
    *(b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Connection: upgrade\r\n", b"Upgrade: h2c\r\n"),
    *(b"0\r\n\r\n", b"2\r\nhi\r\n", b"f;x=1\r\n", b"ffffffffffffffff\r\n", b"Expect: 100-continue\r\n", b"gzip, "),
    *(b"Backend-Id: 1\r\n", b"Source-Port: 5\r\n", b"Proxyreload-Id: 3-17\r\n", b"3-17", b"X: a\r\n b\r\n"),
)
ANSWERS = Target(
    "answers",
    take_answer,
    _answers,
    (*_WORDS, b"100 Continue", b"101 Switching Protocols", b"204 No Content", b"304 Not Modified", b"000 "),
    1024,
)
REQUESTS = Target(
    "requests", take_requests, _requests, (*_WORDS, b"GET / ", b"POST / ", b"HEAD ", b"CONNECT ", b"PRI * "), 1024
)


def take_frames(data: bytes) -> None:
    """What a WebSocket's frames come to does not depend on the pieces, and no more of them is kept than is allowed."""
    _end, pieces, stream = split(data)
    for by_client in (False, True):
        whole, cut = (Reassembly(masked=by_client, limit=_LONGEST_MESSAGE) for _time in range(2))
        messages = whole.take(stream)
        assert [message for piece in pieces for message in cut.take(piece)] == messages
        assert (cut.wrong, cut.closed) == (whole.wrong, whole.closed)
        assert all(len(payload) <= max(_LONGEST_MESSAGE, SHORT) for _opcode, payload in messages)


def _frames() -> list[bytes]:
    said = [(TEXT, "hé".encode()), (BINARY, bytes(_LONGEST_MESSAGE)), (PING, b"p"), (CLOSE, b"\x03\xe9bye")]
    return cut_and_uncut([b"".join(write(*each) for each in said) for write in (frame, masked)])


FRAMES = Target("frames", take_frames, _frames, (b"\x81", b"\x01", b"\x80", b"\x88\x02\x03\xe8", b"\x7e\x00\x7e"), 1024)
