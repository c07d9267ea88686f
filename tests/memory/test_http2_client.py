"""A client's streams beside another implementation's server: what each hears, whatever pieces it comes in."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.http2 import frames
from proxyreload.http2.heard import Data, GoAway, Head, Malformed, Reset, Settings, Trailers, Wrong
from proxyreload.http2.hpack import LIST_LIMIT, encoded, string
from proxyreload.http2.streams import ClientStreams

from .clocks import some_examples
from .connections import parts
from .http2ends import GET, OK, POST, Pair, plain, told
from .kinds import cuts_st

few_examples = settings(max_examples=30)
BLOCK = encoded(GET)
HELLO = frames.settings({})


def head(stream: int, *fields: tuple[bytes, bytes], end: bool = False) -> bytes:
    """Return an answer's header block, ``:status 200`` if nothing else is asked for."""
    return frames.headers(stream, encoded(fields or OK), end=end)


def data(stream: int, payload: bytes, *, end: bool = False) -> bytes:
    return frames.frame(frames.DATA, int(end), stream, payload)


def asking(streams: int = 1) -> ClientStreams:
    """Return a client that has asked for so much, and been greeted."""
    client = ClientStreams()
    client.begin()
    for _ in range(streams):
        client.open(BLOCK, end=True)
    client.received(HELLO)
    client.answers()
    return client


def test_a_get_is_answered() -> None:
    pair = Pair.client()
    client: Any = pair.ours
    stream, asked = client.open(BLOCK, end=True)
    pair.write(asked)
    pair.talk()
    assert plain(pair.they_heard[0].headers) == GET  # type: ignore[attr-defined]
    pair.theirs.send_headers(stream, [*OK, (b"content-length", b"2")])
    pair.theirs.send_data(stream, b"hi", end_stream=True)
    came, body = pair.talk()
    assert isinstance(came, Head)
    assert plain(came.fields) == (*OK, (b"content-length", b"2"))
    assert body == Data(1, b"hi", True)  # noqa: FBT003
    assert client.awaited == 0


@some_examples
@given(draw=st.data(), cuts=cuts_st, number=st.integers(1, 6))
def test_streams_that_are_answered_in_any_order_are_told_apart(
    draw: st.DataObject, cuts: list[int], number: int
) -> None:
    pair = Pair.client()
    client: Any = pair.ours
    for each in range(number):
        stream, asked = client.open(encoded([*GET, (b"proxyreload-id", b"%d" % each)]), end=True)
        pair.write(asked)
    pair.talk()
    expected: dict[int, list[bytes]] = {stream: [] for stream in range(1, 2 * number, 2)}
    begun: set[int] = set()
    left = sorted(expected)
    while left:
        stream = draw.draw(st.sampled_from(left))
        if stream not in begun:
            begun.add(stream)
            pair.theirs.send_headers(stream, [*OK, (b"proxyreload-id", b"%d" % stream)])
            continue
        piece, end = draw.draw(st.binary(max_size=50)), not draw.draw(st.booleans())
        pair.theirs.send_data(stream, piece, end_stream=end)
        expected[stream].append(piece)
        if end:
            left.remove(stream)
    events, _answers = told(client, parts(pair.theirs.data_to_send(), cuts))
    for stream, pieces in expected.items():
        [came] = [each for each in events if isinstance(each, Head) and each.stream == stream]
        assert (b"proxyreload-id", b"%d" % stream) in plain(came.fields)
        bodies = [each for each in events if isinstance(each, Data) and each.stream == stream]
        assert b"".join(each.data for each in bodies) == b"".join(pieces)
        assert [each.end for each in bodies][-1]
    assert client.awaited == 0


@few_examples
@given(body=st.integers(0, 150_000), piece=st.integers(5000, 100_000), window=st.integers(0, 200_000))
def test_a_body_waits_for_the_peers_windows_and_comes_whole(body: int, piece: int, window: int) -> None:
    pair = Pair.client()
    client: Any = pair.ours
    pair.theirs.update_settings({4: window})
    pair.talk()
    sent = bytes(each % 251 for each in range(body))
    stream, asked = client.open(encoded(POST), end=False)
    pair.write(asked)
    for begin in range(0, body, piece):
        pair.write(client.data(stream, sent[begin : begin + piece], end=False))
    pair.write(client.data(stream, b"", end=True))
    pair.theirs.update_settings({4: max(window, 20_000)})  # opens, or moves, the window of a stream under way
    got = b""
    while not any(type(each).__name__ == "StreamEnded" for each in pair.they_heard):
        pair.talk()
        got += pair.body_they_heard(stream)
        pair.they_credit()
    assert got == sent
    assert not client.waits(stream)


def test_what_has_been_said_in_between_is_left_out() -> None:
    client = asking()
    said = head(1, (b":status", b"103"), (b"link", b"</x>")) + head(1, (b":status", b"100")) + head(1, end=True)
    [only] = client.received(said)
    assert isinstance(only, Head)
    assert only.end


def test_trailers_end_an_answer() -> None:
    client = asking()
    events = client.received(head(1) + data(1, b"hi") + head(1, (b"grpc-status", b"0"), end=True))
    assert [type(each) for each in events] == [Head, Data, Trailers]
    assert isinstance(events[2], Trailers)
    assert plain(events[2].fields) == ((b"grpc-status", b"0"),)
    assert client.awaited == 0


def test_the_streams_under_a_goaway_are_answered_and_both_of_a_pair_are_told() -> None:
    client = asking(3)
    assert client.received(frames.goaway(2**31 - 1, 0)) == [GoAway(2**31 - 1, 0, b"")]
    assert client.received(head(1, end=True))
    assert client.received(frames.goaway(3, 0, b"bye")) == [GoAway(3, 0, b"bye")]
    assert client.received(head(3, end=True))
    # Above the last id, which is a lie of the peer's that we want to see.
    assert client.received(head(5, end=True))
    assert client.open(BLOCK, end=True)[0] == 7


def test_a_stream_that_the_peer_resets_is_over() -> None:
    client = asking(2)
    assert client.received(head(1) + frames.rst_stream(1, frames.CANCEL)) == [
        client_head(1),
        Reset(1, frames.CANCEL),
    ]
    assert client.reset(1, frames.CANCEL) == b""
    assert client.received(frames.rst_stream(1, frames.CANCEL)) == []
    assert client.received(head(3, end=True)) != []


def client_head(stream: int) -> Head:
    return Head(stream, [(*field, False) for field in OK], False)  # noqa: FBT003


def test_what_comes_on_a_stream_that_was_given_up_is_nobodys_fault_and_is_decoded() -> None:
    pair = Pair.client()
    client: Any = pair.ours
    for _ in range(2):
        pair.write(client.open(BLOCK, end=True)[1])
    pair.talk()
    kept = (b"x-kept", b"in the table")
    pair.theirs.send_headers(1, [*OK, kept])  # on its way when the reset is sent
    pair.theirs.send_data(1, b"hi", end_stream=True)
    assert client.reset(1, frames.CANCEL) == frames.rst_stream(1, frames.CANCEL)
    assert pair.talk() == []
    pair.theirs.send_headers(3, [*OK, kept], end_stream=True)
    [came] = pair.talk()
    assert isinstance(came, Head)
    assert kept in plain(came.fields)


def test_settings_and_pings_are_acknowledged() -> None:
    client = ClientStreams()
    assert client.max_streams == 2**32 - 1
    ping = frames.frame(frames.PING, 0, 0, b"12345678")
    events, answers = told(client, [frames.settings({frames.MAX_CONCURRENT_STREAMS: 7}) + ping, frames.SETTINGS_ACK])
    assert events == [Settings(7)]
    assert client.max_streams == 7
    assert answers == frames.SETTINGS_ACK + frames.frame(frames.PING, frames.ACK, 0, b"12345678")
    assert client.answers() == b""


def test_windows_are_opened_again_as_bodies_come() -> None:
    client = asking()
    piece = data(1, bytes(frames.FRAME_SIZE))
    client.received(head(1))
    answers = b""
    for _ in range(2**23 // frames.FRAME_SIZE):  # half of the stream's window
        client.received(piece)
        answers += client.answers()
    assert answers == frames.window_update(0, 2**20) * 8 + frames.window_update(1, 2**23)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (head(1, (b"content-type", b"x")), "no status"),
        (head(1, (b":status", b"abc")), "status abc"),
        (head(1, (b":status", b"101")), "status 101 as an answer"),
        (head(1, (b":status", b"103"), end=True), "status 103 as an answer"),
        (head(1, (b":status", b"200"), (b":status", b"200")), "a field :status"),
        (head(1, (b":status", b"200"), (b"Upper", b"x")), "a field Upper"),
        (head(1, (b":status", b"200"), (b"connection", b"close")), "a field connection"),
        (head(1, (b":status", b"200"), (b"content-length", b"+1")), "content-length +1"),
        (head(1, (b":status", b"200"), *[(b"content-length", each) for each in (b"1", b"2")]), "content-length 2"),
        (data(1, b"hi"), "a body before its head"),
        (head(1) + head(1), "a second head"),
        (head(1) + head(1, (b":status", b"200"), end=True), "a field :status"),
        (head(1, *OK, (b"content-length", b"1")) + data(1, b"hi"), "a body longer than its content-length"),
        (frames.window_update(1, 0), "a window opened by nothing"),
    ],
)
def test_what_is_no_answer_ends_its_stream_alone(said: bytes, message: str) -> None:
    client = asking(2)
    events = client.received(said)
    assert events[-1] == Malformed(1, message)
    assert client.answers() == frames.rst_stream(1, frames.PROTOCOL_ERROR)
    assert client.received(data(1, b"what is on its way", end=True)) == []
    assert client.received(head(3, end=True)) != []


@pytest.mark.parametrize("trailers", [False, True])
def test_a_body_that_ends_too_early_is_told_as_that(trailers: bool) -> None:  # noqa: FBT001
    client = asking()
    end = head(1, (b"x", b"y"), end=True) if trailers else data(1, b"", end=True)
    events = client.received(head(1, *OK, (b"content-length", b"5")) + data(1, b"hi") + end)
    assert events[-1] == Malformed(1, "a body that ends 3 bytes before its content-length", True)  # noqa: FBT003


def test_the_answer_to_a_head_has_a_length_and_no_body() -> None:
    [came] = asking().received(head(1, *OK, (b"content-length", b"5"), end=True))
    assert isinstance(came, Head)


WRONG = {
    "no settings first": (frames.goaway(0, 0), frames.PROTOCOL_ERROR),
    "an acknowledgement first": (frames.SETTINGS_ACK, frames.PROTOCOL_ERROR),
    "a stream nobody opened": (HELLO + head(3), frames.PROTOCOL_ERROR),
    "a stream of the server's": (HELLO + head(2), frames.PROTOCOL_ERROR),
    "the stream 0": (HELLO + head(0), frames.PROTOCOL_ERROR),
    "data on the stream 0": (HELLO + data(0, b"x"), frames.PROTOCOL_ERROR),
    "behind the end": (HELLO + head(1, end=True) + data(1, b"x"), frames.STREAM_CLOSED),
    "answered twice": (HELLO + head(1, end=True) + head(1, end=True), frames.STREAM_CLOSED),
    "a push": (HELLO + frames.frame(frames.PUSH_PROMISE, 4, 1, bytes(4)), frames.PROTOCOL_ERROR),
    "a reset of nothing": (HELLO + frames.rst_stream(3, 0), frames.PROTOCOL_ERROR),
    "a short reset": (HELLO + frames.frame(frames.RST_STREAM, 0, 1, b"123"), frames.FRAME_SIZE_ERROR),
    "settings of a stream": (frames.frame(frames.SETTINGS, 0, 1, b""), frames.PROTOCOL_ERROR),
    "settings that are not whole": (frames.frame(frames.SETTINGS, 0, 0, b"12345"), frames.FRAME_SIZE_ERROR),
    "an acknowledgement that says something": (
        HELLO + frames.frame(frames.SETTINGS, frames.ACK, 0, bytes(6)),
        frames.FRAME_SIZE_ERROR,
    ),
    "pushes asked for": (frames.settings({frames.ENABLE_PUSH: 1}), frames.PROTOCOL_ERROR),
    "a window of 2 GiB": (frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31}), frames.FLOW_CONTROL_ERROR),
    "small frames": (frames.settings({frames.MAX_FRAME_SIZE: 16_383}), frames.PROTOCOL_ERROR),
    "a ping of a stream": (HELLO + frames.frame(frames.PING, 0, 1, bytes(8)), frames.PROTOCOL_ERROR),
    "a short ping": (HELLO + frames.frame(frames.PING, 0, 0, bytes(7)), frames.FRAME_SIZE_ERROR),
    "a goaway of a stream": (HELLO + frames.frame(frames.GOAWAY, 0, 1, bytes(8)), frames.PROTOCOL_ERROR),
    "a short goaway": (HELLO + frames.frame(frames.GOAWAY, 0, 0, bytes(7)), frames.FRAME_SIZE_ERROR),
    "a priority of nothing": (HELLO + frames.frame(frames.PRIORITY, 0, 0, bytes(5)), frames.PROTOCOL_ERROR),
    "a short priority": (HELLO + frames.frame(frames.PRIORITY, 0, 1, bytes(4)), frames.FRAME_SIZE_ERROR),
    "the connection's window opened by nothing": (HELLO + frames.window_update(0, 0), frames.PROTOCOL_ERROR),
    "the connection's window opened too far": (
        HELLO + frames.window_update(0, 2**31 - 1),
        frames.FLOW_CONTROL_ERROR,
    ),
    "a window of a stream nobody opened": (HELLO + frames.window_update(3, 1), frames.PROTOCOL_ERROR),
    "a piece of nothing": (HELLO + frames.frame(frames.CONTINUATION, 4, 1, b""), frames.PROTOCOL_ERROR),
    "something between two pieces": (
        HELLO + frames.frame(frames.HEADERS, 0, 1, b"\x88") + frames.frame(frames.PING, 0, 0, bytes(8)),
        frames.PROTOCOL_ERROR,
    ),
    "another stream's piece": (
        HELLO + frames.frame(frames.HEADERS, 0, 1, b"\x88") + frames.frame(frames.CONTINUATION, 4, 3, b""),
        frames.PROTOCOL_ERROR,
    ),
    "no header block": (HELLO + frames.frame(frames.HEADERS, 4, 1, b"\x80"), frames.COMPRESSION_ERROR),
    "endless pieces of nothing": (
        HELLO + frames.frame(frames.HEADERS, 0, 1, b"\x88") + frames.frame(frames.CONTINUATION, 0, 1, b"") * 200,
        frames.ENHANCE_YOUR_CALM,
    ),
    "endless pieces": (
        HELLO
        + frames.frame(frames.HEADERS, 0, 1, b"\x88")
        + frames.frame(frames.CONTINUATION, 0, 1, bytes(16_384)) * (LIST_LIMIT // 16_384 + 1),
        frames.ENHANCE_YOUR_CALM,
    ),
    "too much of a header": (
        HELLO + frames.headers(1, b"\x88\x40\x01x" + string(b"y" * 3000) + b"\xbe" * 30, end=True),
        frames.COMPRESSION_ERROR,
    ),
    "a frame that is too long": (HELLO + frames.frame(frames.DATA, 0, 1, bytes(16_385)), frames.FRAME_SIZE_ERROR),
    "more padding than there is": (
        HELLO + head(1) + frames.frame(frames.DATA, frames.PADDED, 1, b"\x05abc"),
        frames.PROTOCOL_ERROR,
    ),
    "nothing but pings": (HELLO + frames.frame(frames.PING, 0, 0, bytes(8)) * 10_001, frames.ENHANCE_YOUR_CALM),
    "nothing but settings": (HELLO * 10_001, frames.ENHANCE_YOUR_CALM),
    "nothing but nothing": (HELLO + head(1) + data(1, b"") * 10_001, frames.ENHANCE_YOUR_CALM),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_http2_ends_the_connection_and_is_told_once(name: str) -> None:
    said, code = WRONG[name]
    client = ClientStreams()
    client.begin()
    client.open(BLOCK, end=True)
    events = client.received(said)
    wrong = [each for each in events if isinstance(each, Wrong)]
    assert [each.code for each in wrong] == [code]
    assert events[-1] is wrong[0]
    assert wrong[0].message.isprintable()
    assert client.answers().endswith(frames.goaway(0, code, wrong[0].message.encode()))
    assert client.received(HELLO) == []
    assert client.answers() == b""


def test_frames_that_nobody_knows_are_passed_over() -> None:
    client = asking()
    assert client.received(frames.frame(0xFA, 0xFF, 7, b"grease") + head(1, end=True)) != []
    assert client.received(frames.settings({0xFA: 1})) == [Settings(2**32 - 1)]
    assert client.received(frames.frame(frames.PRIORITY, 0, 1, bytes(5))) == []


def test_a_long_request_head_is_read_by_others() -> None:
    pair = Pair.client()
    client: Any = pair.ours
    fields = (*GET, (b"x", b"y" * 40_000))
    pair.write(client.open(encoded(fields), end=True)[1])
    pair.talk()
    assert plain(pair.they_heard[0].headers) == fields  # type: ignore[attr-defined]


def test_nothing_is_sent_on_a_stream_that_is_over() -> None:
    client = ClientStreams()
    stream, _asked = client.open(encoded(POST), end=False)
    assert client.data(stream, b"hi", end=False) == data(stream, b"hi")
    assert client.data(stream, bytes(100_000), end=True) != b""
    assert client.waits(stream)
    assert client.received(HELLO + frames.rst_stream(stream, 0)) == [Settings(2**32 - 1), Reset(stream, 0)]
    assert not client.waits(stream)
    assert client.data(stream, b"hi", end=True) == b""
    assert client.answers() == frames.SETTINGS_ACK


def test_ids_are_not_endless() -> None:
    client = ClientStreams()
    assert not client.exhausted
    client._next = 2**31 - 1
    assert not client.exhausted
    assert client.open(BLOCK, end=True)[0] == 2**31 - 1
    assert client.exhausted


@some_examples
@given(
    pieces=st.lists(
        st.sampled_from([said for said, _code in WRONG.values() if len(said) < 300]) | st.binary(max_size=60),
        max_size=4,
    ),
    cuts=cuts_st,
)
def test_whatever_comes_is_told_the_same_in_whatever_pieces(pieces: list[bytes], cuts: list[int]) -> None:
    whole = HELLO + head(1) + b"".join(pieces)
    [once, cut] = [asking(3), asking(3)]
    assert told(cut, parts(whole, cuts)) == told(once, [whole])
