"""What a stream means does not depend on the pieces in which it is read."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxyreload.backend.http11 import HEAD_LIMIT as REQUEST_HEAD_LIMIT
from proxyreload.client.http11 import HEAD_LIMIT
from proxyreload.client.surplus import surplus
from proxyreload.history import failures
from proxyreload.history.events import Ending
from proxyreload.system import sockets
from proxyreload.system.sockets import SocketGroup

from .clocks import Readers, some_examples
from .connections import KernelTransport, Owner, Wire, answer_bytes, parts
from .splitting import ENDS, answer_made_of, judged, requests_made_of

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
ANNOUNCED = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
UNASKED = ("closed", Ending.UNSOLICITED.value)
GET = b"GET / HTTP/1.1\r\nHost: x\r\nproxyreload-id: 4-17\r\n\r\n"
CLOSING = GET.replace(b"Host: x", b"Connection: close")

# Streams, of what is right, odd and broken.

_BEGINNINGS = (
    *(
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 503 \r\n",
        b"HTTP/1.1 503\r\n",
    ),
    *(b"HTTP/1.1 204 No\r\n", b"HTTP/1.1 304 Not\r\n", b"HTTP/1.1 100 Continue\r\n", b"HTTP/1.1 103 Early\r\n"),
    *(
        b"HTTP/1.1 101 Switch\r\n",
        b"HTTP/1.1 000 \r\n",
        b"HTTP/1.1 099 x\r\n",
        b"HTTP/1.1 999 x\r\n",
        b"HTTP/2 200\r\n",
    ),
    *(b"HTTP/1.1 200 OK\n", b"HTTP/1.1 20\r\n", b"ICY 200 OK\r\n", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n"),
    *(
        b"GET / HTTP/1.1\r\n",
        b"HEAD / HTTP/1.0\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n",
        b"PUT  / HTTP/1.1\r\n",
        b"get / HTTP/1.1\n",
    ),
)
_FIELDS = (
    *(b"Content-Length: 2\r\n", b"Content-Length: 2\r\n", b"Content-Length: 0\r\n", b"Content-Length: +2\r\n"),
    *(b"Content-Length: -2\r\n", b"Content-Length:\r\n", b"Content-Length: 2, 2\r\n", b"Content-Length: 2 \r\n"),
    *(
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\n",
    ),
    *(b"Transfer-Encoding: gzip\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: chunked, gzip\r\n"),
    *(
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding:\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
    ),
    *(b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Backend-Id: 3-17\r\n", b"Backend-Id:\r\n", b"Source-Port: 5\r\n"),
    *(
        b"Proxyreload-Id: x3-17\r\n",
        b"Proxyreload-Id: 3-17\r\n",
        b"Expect: 100-continue\r\n",
        b"X: a\r\n b\r\n",
        b" x\r\n",
    ),
    *(b"X: \0\r\n", b"X\r\n", b"X: a\n", b"X : a\r\n", b": a\r\n", b"X: a\r\r\n", b"Host: x\r\n"),
)
_BODIES = (
    *(b"", b"hi", b"\r\n", b"hi\n", b"\n", b"0\r\n\r\n", b"2\r\nhi\r\n0\r\n\r\n", b"2;x=1\r\nhi\r\n0\r\nX: y\r\n\r\n"),
    *(b"0\r\nBackend-Id: 9\r\nProxyreload-Id: 9\r\n\r\n", b"0\r\nContent-Length: 9\r\n\r\n", b"g\r\n", b"2\nhi\n0\n\n"),
    *(b"-1\r\n", b"ffffffffffffffffff\r\n", b"2\r\nhiX\r\n", b"2;" + b"x" * 40),
)
_JUNK = (b"\r", b"\n", b"\r\n", b"x", b"HTTP", b"\0", b"GET ")
_MESSAGES = st.tuples(
    st.sampled_from(_BEGINNINGS),
    st.lists(st.sampled_from(_FIELDS), max_size=4).map(b"".join),
    st.sampled_from((b"\r\n", b"\r\n", b"\r\n", b"\n", b"")),
    st.sampled_from(_BODIES),
).map(b"".join)
STREAMS = st.lists(st.one_of(_MESSAGES, st.sampled_from(_JUNK)), max_size=3).map(b"".join)
CUTS = st.lists(st.integers(0, 1000), max_size=8)
ENDINGS = st.sampled_from(ENDS)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw a stream in which something is lost, or stands in place of it."""
    stream = draw(STREAMS)
    place = draw(st.integers(0, len(stream)))
    return stream[:place] + draw(st.binary(max_size=4)) + stream[place + draw(st.integers(0, 4)) :]


ANY = st.one_of(STREAMS, damaged())


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


# A client's connection.


@some_examples
@given(ANY, CUTS, ENDINGS)
@example(OK + b"\r\n", [len(OK)], "")
@example(OK + SWITCH, [len(OK)], "")
@example(OK + OK, [len(OK)], "closes")
@example(b"HTTP/1.1 200 OK\r\nBackend-Id: 3\r\nX\r\n\r\n", [37], "")
def test_an_answer_is_judged_the_same_in_whatever_pieces_it_comes(stream: bytes, cuts: list[int], end: str) -> None:
    whole = answer_made_of([stream] if stream else [], end)
    assert answer_made_of(parts(stream, cuts), end) == whole
    assert answer_made_of(bytewise(stream), end) == whole


@some_examples
@given(ANY, ENDINGS)
def test_an_answer_is_judged_the_same_whether_or_not_it_is_known(stream: bytes, end: str) -> None:
    parsed = answer_made_of([stream] if stream else [], end)
    for request_id in (b"3-17", b"4-18", b"4-18", b"3-17", b"12-345"):
        known = stream.replace(b"3-17", request_id)
        expected = answer_made_of([known] if known else [], end)
        assert answer_made_of([known] if known else [], end, request_id) == expected
    assert answer_made_of([stream] if stream else [], end) == parsed


def read_by_a_group(stream: bytes, pieces: Sequence[bytes], end: str) -> tuple[object, ...]:
    """Return what is made of a stream that comes over a socket of a group."""
    time, owner = Readers(), Owner()
    group = SocketGroup.on(time, time.ns)
    assert group is not None
    transport = KernelTransport()
    try:
        wire = Wire.open(owner, time, transport, group=group)
        transport.protocol = wire.connection
        pending = wire.send()
        for piece in pieces:
            if not transport.disconnecting:
                transport.far.send(piece)
                group.doRead()
        if end and not transport.disconnecting:
            getattr(wire, end)()
        return judged(owner, pending)
    finally:
        group.close()
        transport.release()


@some_examples
@given(ANY, CUTS, ENDINGS)
def test_an_answer_is_judged_the_same_by_a_socket_group(stream: bytes, cuts: list[int], end: str) -> None:
    assert read_by_a_group(stream, parts(stream, cuts), end) == answer_made_of([stream] if stream else [], end)


@pytest.mark.parametrize("answer", [OK, CHUNKED, EMPTY, answer_bytes(b"3-17")])
@pytest.mark.parametrize(
    "behind", [b"\r", b"\n", b"\r\n", b"\r\n\r\n\n", b"x", SWITCH, OK, b"HTTP/1.1 100 Continue\r\n\r\n"]
)
@pytest.mark.parametrize("request_id", [b"", b"3-17"])
def test_an_answer_stands_and_what_is_behind_it_ends_the_connection(
    answer: bytes, behind: bytes, request_id: bytes
) -> None:
    whole = answer_made_of([answer + behind], "", request_id)
    assert whole[:-1] == (("answered",), UNASKED)
    assert answer_made_of([answer, behind], "", request_id) == whole
    assert answer_made_of([answer[:-1], answer[-1:] + behind], "", request_id) == whole


@pytest.mark.parametrize("behind", [b"\n", b"\r\n", b"<html>", SWITCH])
def test_what_is_behind_an_answer_is_quoted(behind: bytes) -> None:
    for answer in (OK, CHUNKED, EMPTY, b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK):
        assert surplus(answer + behind) == behind
        owner = Owner()
        wire = Wire.open(owner, Readers())
        wire.send()
        wire.says(answer + behind)
        assert owner.heard[1][2].startswith(behind.decode().encode("unicode_escape").decode()[:30])


def test_a_body_of_line_ends_has_no_more_of_them_than_it_should() -> None:
    blank = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\n\n"
    for stream, outcomes in ((blank, [("answered",)]), (blank + b"\n", [("answered",), UNASKED])):
        for pieces in ([stream], bytewise(stream)):
            assert list(answer_made_of(pieces)[:-1]) == outcomes


@pytest.mark.parametrize("status", [b"000", b"099"])
def test_a_code_that_is_no_status_is_malformed(status: bytes) -> None:
    stream = b"HTTP/1.1 %b Oops\r\nContent-Length: 0\r\n\r\n" % status + OK
    for pieces in ([stream], bytewise(stream)):
        assert answer_made_of(pieces)[0] == ("broken", failures.MALFORMED, f"status {status.decode()}")


def test_another_protocol_is_not_an_interim_answer_even_if_it_is_not_named() -> None:
    stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK
    for pieces in ([stream], bytewise(stream)):
        assert answer_made_of(pieces)[0] == ("broken", failures.MALFORMED, "switched protocols unasked")


def test_a_trailer_is_not_taken_for_the_heads() -> None:
    [answered, answer] = answer_made_of([CHUNKED.replace(b"0\r\n", b"0\r\nBackend-Id: 9\r\nProxyreload-Id: 9\r\n")])
    assert answered == ("answered",)
    assert answer[1] == answer[3] == b""


def test_of_a_head_that_never_became_whole_nothing_counts() -> None:
    stream = b"HTTP/1.1 200 OK\r\nBackend-Id: 3\r\nSource-Port: 5\r\nX-More: 1\r\nX"
    for pieces in ([stream], bytewise(stream)):
        for end in ("closes", "resets"):
            assert answer_made_of(pieces, end)[1][:4] == (0, b"", b"", b"")


@pytest.mark.parametrize("coding", [b"chunked\r\nTransfer-Encoding: gzip", b"chunked, gzip", b"xchunked"])
def test_the_last_coding_says_whether_a_body_ends_by_itself(coding: bytes) -> None:
    stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %b\r\n\r\nhi" % coding
    assert answer_made_of([stream], "closes")[0] == ("answered",)


HEAD = b"HTTP/1.1 200 OK\r\nX: "
AT_ITS_END = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
SIZES = st.sampled_from((HEAD_LIMIT, HEAD_LIMIT - 1, 65536, 16384, 10_007))


def in_pieces(stream: bytes, size: int) -> list[bytes]:
    return [stream[at : at + size] for at in range(0, len(stream), size)]


@pytest.mark.parametrize(
    ("stream", "outcome"),
    [
        (HEAD.ljust(HEAD_LIMIT - 4, b"x") + b"\r\n\r\n", None),
        (HEAD.ljust(HEAD_LIMIT - 3, b"x") + b"\r\n\r\n", f"the head is longer than {HEAD_LIMIT} bytes"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 12_000 + OK, f"the head is longer than {HEAD_LIMIT} bytes"),
        (AT_ITS_END + b"X: ".ljust(HEAD_LIMIT // 2, b"x") + b"\r\n\r\n", None),
        (AT_ITS_END + b"X: ".ljust(HEAD_LIMIT * 2, b"x"), f"{HEAD_LIMIT} bytes without any of the body"),
        (AT_ITS_END + b"X: y\r\n" * (HEAD_LIMIT // 2), f"{HEAD_LIMIT} bytes without any of the body"),
        (AT_ITS_END[:-3] + b"0;" + b"x" * HEAD_LIMIT * 2, f"{HEAD_LIMIT} bytes without any of the body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * HEAD_LIMIT + b"0\r\n\r\n", None),
    ],
)
def test_heads_and_trailers_have_a_bound_to_the_byte(stream: bytes, outcome: str | None) -> None:
    for size in (len(stream), HEAD_LIMIT - 1, 65536, 10_007):
        made = answer_made_of(in_pieces(stream, size), "resets")
        if outcome is None:
            assert made[0] in (("answered",), ("broken", failures.RESET_MID_RESPONSE, made[0][-1]))
        else:
            assert made[0] == ("broken", failures.MALFORMED, outcome)


@pytest.mark.parametrize("size", [1, 7, 1 << 14])
def test_what_has_come_with_an_answer_is_seen_before_the_next_request_is_written(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a group reads in one go: the next request goes over another connection."""
    monkeypatch.setattr(sockets, "_READ_SIZE", size)

    class Asker(Owner):
        def answered(self, connection: object, pending: object) -> None:
            super().answered(wire.connection, wire.pending)
            wire.send(b"GET 1!\n")

    time, owner = Readers(), Asker()
    group = SocketGroup.on(time, time.ns)
    assert group is not None
    transport = KernelTransport()
    wire = Wire.open(owner, time, transport, group=group)
    transport.protocol = wire.connection
    wire.send()
    transport.far.send(OK + b"\r\nmore")
    for _read in range(len(OK) + 6):
        group.doRead()
    assert [heard[:2] for heard in owner.heard] == [("answered",), UNASKED]
    assert wire.pending.written_ns == 0
    assert transport.arrived() == b"GET 0!\n"
    group.close()
    transport.release()


def test_without_a_group_the_next_request_is_not_written_behind_a_surplus_either() -> None:
    class Asker(Owner):
        def answered(self, connection: object, pending: object) -> None:
            super().answered(wire.connection, wire.pending)
            wire.send(b"GET 1!\n")

    owner = Asker()
    wire = Wire.open(owner, Readers())
    wire.send()
    wire.says(OK + b"\r\n")
    assert [heard[:2] for heard in owner.heard] == [("answered",), UNASKED]
    assert wire.written == b"GET 0!\n"


# A backend's connection.


@some_examples
@given(ANY, CUTS, ENDINGS)
@example(CLOSING + GET, [len(CLOSING)], "closes")
@example(GET + b"junk\r\n\r\n", [len(GET)], "")
def test_what_a_backend_tells_of_requests_is_the_same_in_whatever_pieces_they_come(
    stream: bytes, cuts: list[int], end: str
) -> None:
    whole = requests_made_of([stream] if stream else [], end)
    assert requests_made_of(parts(stream, cuts), end) == whole
    assert requests_made_of(bytewise(stream), end) == whole


def test_what_stands_behind_the_last_request_is_not_answered() -> None:
    for pieces in ([CLOSING + GET], [CLOSING, GET]):
        told, _ends, answers, closed = requests_made_of(pieces)
        assert (len(told), answers.count(b"HTTP/1.1"), closed) == (1, 1, True)


def test_an_id_in_a_trailer_is_not_the_requests() -> None:
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nproxyreload-id: 4-17\r\nTransfer-Encoding: chunked\r\n\r\n"
    stream = head + b"2\r\nhi\r\n0\r\nproxyreload-id: 9-9\r\n\r\n"
    for pieces in ([stream], bytewise(stream)):
        assert requests_made_of(pieces)[0][0][1].request_id == "4-17"


@pytest.mark.parametrize(
    ("stream", "refused"),
    [
        (b"GET / HTTP/1.1\r\nX: ".ljust(REQUEST_HEAD_LIMIT + 1, b"x"), True),
        (b"GET / HTTP/1.1\r\nX: ".ljust(REQUEST_HEAD_LIMIT - 4, b"x") + b"\r\n\r\n", False),
        (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ".ljust(REQUEST_HEAD_LIMIT * 3, b"x"), True),
        (b"PUT / HTTP/1.1\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000, False),
        (GET * 9000, False),
    ],
)
def test_a_backends_memory_has_a_bound_whatever_a_proxy_sends(stream: bytes, *, refused: bool) -> None:
    for size in (len(stream), 65536, 10_007):
        _told, _ends, answers, closed = requests_made_of(in_pieces(stream, size))
        assert ((b"400 Bad Request" in answers), closed) == (refused, refused)
