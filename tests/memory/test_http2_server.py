"""A server's streams beside another implementation's client: what each hears, whatever pieces it comes in."""

from typing import Any

import pytest
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.http2 import frames
from proxyreload.http2.frames import PREFACE
from proxyreload.http2.heard import Data, GoAway, Malformed, Request, Reset, Trailers, Wrong
from proxyreload.http2.hpack import encoded
from proxyreload.http2.serverstreams import STREAMS_AT_ONCE, ServerStreams

from .clocks import some_examples
from .connections import parts
from .http2ends import GET, OK, POST, Pair, plain, told
from .kinds import cuts_st

HELLO = PREFACE + frames.settings({})


def asks(stream: int, *fields: tuple[bytes, bytes], end: bool = True) -> bytes:
    """Return a request's header block."""
    return frames.headers(stream, encoded(fields or GET), end=end)


def greeted() -> ServerStreams:
    server = ServerStreams()
    server.received(HELLO)
    server.answers()
    return server


def test_a_request_is_told_and_answered() -> None:
    pair = Pair.server()
    server: Any = pair.ours
    pair.theirs.send_headers(1, GET, end_stream=True)
    [request] = pair.talk()
    assert isinstance(request, Request)
    assert (request.stream, plain(request.fields), request.end) == (1, GET, True)
    pair.write(server.head(1, OK, end=False))
    pair.write(server.data(1, b"hi", end=True))
    pair.talk()
    assert [type(each) for each in pair.they_heard] == [ResponseReceived, DataReceived, StreamEnded]
    assert pair.body_they_heard(1) == b"hi"
    assert server.unanswered == 0


@some_examples
@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=5), cuts=cuts_st)
def test_bodies_are_told_in_whatever_pieces_they_come(sizes: list[int], cuts: list[int]) -> None:
    pair = Pair.server()
    for number in range(len(sizes)):
        pair.theirs.send_headers(2 * number + 1, POST)
    for number, size in enumerate(sizes):
        pair.theirs.send_data(2 * number + 1, bytes(size), end_stream=True)
    events, _answers = told(pair.ours, parts(pair.theirs.data_to_send(), cuts))
    assert [each.stream for each in events if isinstance(each, Request)] == [2 * each + 1 for each in range(len(sizes))]
    bodies = [each for each in events if isinstance(each, Data)]
    assert [(each.stream, len(each.data), each.end) for each in bodies] == [
        (2 * number + 1, size, True) for number, size in enumerate(sizes)
    ]


def test_a_large_body_waits_for_the_clients_windows_and_trailers_wait_for_it() -> None:
    pair = Pair.server()
    server: Any = pair.ours
    pair.theirs.send_headers(1, GET, end_stream=True)
    pair.talk()
    sent = bytes(each % 251 for each in range(200_000))
    pair.write(server.head(1, OK, end=False) + server.data(1, sent, end=False))
    pair.write(server.trailers(1, [(b"grpc-status", b"0")]))
    assert server.waits(1)
    got = b""
    while server.waits(1):
        pair.talk()
        got += pair.body_they_heard(1)
        pair.they_credit()
        pair.talk()
    got += pair.body_they_heard(1)
    assert got == sent
    assert [type(each) for each in pair.they_heard][-2:] == [TrailersReceived, StreamEnded]
    assert server.unanswered == 0


def test_trailers_alone_are_a_head_that_ends() -> None:
    pair = Pair.server()
    server: Any = pair.ours
    pair.theirs.send_headers(1, GET, end_stream=True)
    pair.talk()
    pair.write(server.head(1, [*OK, (b"grpc-status", b"5")], end=True))
    pair.talk()
    assert [type(each) for each in pair.they_heard] == [ResponseReceived, StreamEnded]
    assert server.data(1, b"more", end=True) == b""


def test_trailers_behind_a_head_alone_end_it() -> None:
    pair = Pair.server()
    server: Any = pair.ours
    pair.theirs.send_headers(1, GET, end_stream=True)
    pair.talk()
    pair.write(server.head(1, OK, end=False) + server.trailers(1, [(b"grpc-status", b"5")]))
    pair.talk()
    assert [type(each) for each in pair.they_heard] == [ResponseReceived, TrailersReceived, StreamEnded]
    assert server.trailers(1, [(b"x", b"y")]) == b""


def test_what_the_client_gives_up_is_over() -> None:
    server = greeted()
    [_request, reset] = server.received(asks(1) + frames.rst_stream(1, frames.CANCEL))
    assert reset == Reset(1, frames.CANCEL)
    assert server.head(1, OK, end=True) == server.data(1, b"x", end=True) == b""


def test_a_reset_is_heard_by_the_client() -> None:
    pair = Pair.server()
    pair.theirs.send_headers(1, POST)
    pair.talk()
    pair.write(pair.ours.reset(1, frames.INTERNAL_ERROR))
    pair.talk()
    [reset] = pair.they_heard
    assert isinstance(reset, StreamReset)
    assert reset.error_code == frames.INTERNAL_ERROR


def test_after_a_goaway_later_streams_are_not_told_and_earlier_ones_are_answered() -> None:
    server = greeted()
    server.received(asks(1) + asks(3, *POST, end=False))
    assert server.goaway(server.last, frames.NO_ERROR) == frames.goaway(3, 0)
    late = asks(5, *POST, end=False) + frames.frame(frames.DATA, 1, 5, b"late") + asks(7)
    assert server.received(late) == []
    assert server.received(frames.frame(frames.DATA, 1, 3, b"body")) == [Data(3, b"body", True)]  # noqa: FBT003
    assert server.head(1, OK, end=True) != b""
    assert server.head(3, OK, end=True) != b""
    assert server.unanswered == 0


def test_more_streams_than_were_announced_are_refused_and_nothing_else_is() -> None:
    server = greeted()
    many = b"".join(asks(2 * each + 1) for each in range(STREAMS_AT_ONCE))
    assert len(server.received(many)) == STREAMS_AT_ONCE
    refused = 2 * STREAMS_AT_ONCE + 1
    assert server.received(asks(refused, *POST, end=False) + frames.frame(frames.DATA, 1, refused, b"x")) == []
    assert server.answers() == frames.rst_stream(refused, frames.REFUSED_STREAM)
    assert server.head(1, OK, end=True) != b""
    assert len(server.received(asks(refused + 2))) == 1


def test_what_is_reset_again_and_again_before_it_is_answered_ends_the_connection() -> None:
    server = greeted()
    for number in range(3000):  # answered ones do not count
        stream = 2 * number + 1
        assert (
            len(server.received(asks(stream) + (frames.rst_stream(stream, 8) if number % 2 else b""))) == 1 + number % 2
        )
        server.head(stream, OK, end=True)
    rapid = b"".join(asks(stream) + frames.rst_stream(stream, 8) for stream in range(6001, 9001, 2))
    last = server.received(rapid)[-1]
    assert isinstance(last, Wrong)
    assert last.code == frames.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "fields",
    [
        GET[1:],
        (*GET, (b":path", b"/")),
        (*GET, (b":protocol", b"websocket")),
        ((b"x", b"y"), *GET),
        (*GET, (b"te", b"gzip")),
        (*GET, (b"Host", b"x")),
        (*GET, (b"transfer-encoding", b"chunked")),
        ((b":method", b"CONNECT"), (b":authority", b"x:1")),
        ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"")),
    ],
)
def test_what_is_no_request_ends_its_stream_alone(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    server = greeted()
    [malformed] = server.received(asks(1, *fields))
    assert isinstance(malformed, Malformed)
    assert server.answers() == frames.rst_stream(1, frames.PROTOCOL_ERROR)
    assert len(server.received(asks(3))) == 1


def test_a_body_shorter_than_its_length_is_no_request() -> None:
    server = greeted()
    body = frames.frame(frames.DATA, 1, 1, b"hi")
    events = server.received(asks(1, *POST, (b"content-length", b"3"), end=False) + body)
    assert events[-1] == Malformed(1, "a body that ends 1 bytes before its content-length", True)  # noqa: FBT003


def test_a_requests_trailers_are_told() -> None:
    server = greeted()
    events = server.received(asks(1, *POST, end=False) + asks(1, (b"x", b"y")))
    assert events[1:] == [Trailers(1, [(b"x", b"y", False)])]


def test_a_client_may_go_away() -> None:
    assert greeted().received(frames.goaway(0, 2, b"x" * 5000)) == [GoAway(0, 2, b"x" * 1000)]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", frames.PROTOCOL_ERROR),
        (b"PRI * HTTP/2.0\r\n\r\nSX", frames.PROTOCOL_ERROR),
        (PREFACE + asks(1), frames.PROTOCOL_ERROR),
        (HELLO + asks(2), frames.PROTOCOL_ERROR),
        (HELLO + asks(3) + asks(1), frames.STREAM_CLOSED),
        (HELLO + asks(3) + asks(3), frames.STREAM_CLOSED),
        (HELLO + frames.frame(frames.DATA, 0, 1, b""), frames.PROTOCOL_ERROR),
    ],
)
@pytest.mark.parametrize("cut", [1, 3, 20])
def test_what_is_no_http2_ends_the_connection(said: bytes, code: int, cut: int) -> None:
    server = ServerStreams()
    events, answers = told(server, [said[:cut], said[cut:]])
    wrong = events[-1]
    assert isinstance(wrong, Wrong)
    assert wrong.code == code
    assert answers.endswith(frames.goaway(server.last, code, wrong.message.encode()))


@some_examples
@given(
    pieces=st.lists(st.sampled_from([asks(1), asks(3, *POST, end=False)]) | st.binary(max_size=60), max_size=4),
    cuts=cuts_st,
)
def test_whatever_comes_is_told_the_same_in_whatever_pieces(pieces: list[bytes], cuts: list[int]) -> None:
    whole = HELLO + b"".join(pieces)
    assert told(ServerStreams(), parts(whole, cuts)) == told(ServerStreams(), [whole])
