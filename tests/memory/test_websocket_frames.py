"""WebSocket's frames, beside somebody else's reading of RFC 6455 (wsproto), in whatever pieces they come."""

from collections.abc import Iterable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from proxyreload.websocket import closecodes
from proxyreload.websocket.masking import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, masked
from proxyreload.websocket.opening import accept_of, is_asked_for, key_of, switching, what_is_wrong
from proxyreload.websocket.reassembly import Message, Reassembly, Wrong

from .clocks import some_examples
from .connections import parts
from .kinds import cuts_st

LIMIT = 100_000

texts_st = st.tuples(st.just(TEXT), st.text(max_size=40).map(str.encode))
binaries_st = st.tuples(st.just(BINARY), st.binary(max_size=300))
longer_st = st.tuples(st.just(BINARY), st.integers(60_000, 70_000).map(bytes))
controls_st = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
messages_st = st.lists(st.one_of(texts_st, binaries_st, controls_st, longer_st), max_size=6)
sides = pytest.mark.parametrize("by_client", [True, False], ids=["client", "server"])


def read(pieces: Iterable[bytes], *, by_client: bool, limit: int = LIMIT) -> tuple[list[Message], Wrong | None]:
    """Return what is made of frames that a client, or a server, has written."""
    reassembly = Reassembly(masked=by_client, limit=limit)
    messages = [message for piece in pieces for message in reassembly.take(piece)]
    return messages, reassembly.wrong


@attrs.frozen
class Theirs:
    """What wsproto makes of frames."""

    messages: list[Message]
    code: int  #: of what it finds wrong, 0: nothing

    @classmethod
    def of(cls, stream: bytes, *, by_client: bool) -> "Theirs":
        protocol = FrameProtocol(client=not by_client, extensions=[])
        messages: list[Message] = []
        parts_of: list[bytes] = []
        opcode = 0
        protocol.receive_bytes(stream)
        try:
            for each in protocol.received_frames():
                told: Any = each.payload
                if each.opcode is Opcode.CLOSE:
                    code, reason = told
                    messages.append((CLOSE, b"" if code == 1005 else code.to_bytes(2, "big") + (reason or "").encode()))
                    break  # what stands behind it is nobody's
                payload = told.encode() if isinstance(told, str) else bytes(told)
                if each.opcode.iscontrol():
                    messages.append((int(each.opcode), payload))
                    continue
                opcode = opcode or int(each.opcode)
                parts_of.append(payload)
                if each.message_finished:
                    messages.append((opcode, b"".join(parts_of)))
                    opcode, parts_of = 0, []
        except ParseFailed as error:
            return cls(messages, int(error.code))
        return cls(messages, 0)


# What is right.


@sides
@some_examples
@given(messages=messages_st, cuts=cuts_st)
def test_what_is_written_is_read_in_whatever_pieces(
    messages: list[Message], cuts: list[int], *, by_client: bool
) -> None:
    write = masked if by_client else frame
    stream = b"".join(write(opcode, payload) for opcode, payload in messages)
    assert read(parts(stream, cuts), by_client=by_client) == (messages, None)
    assert Theirs.of(stream, by_client=by_client) == Theirs(messages, 0)


@sides
@some_examples
@given(messages=messages_st, cuts=cuts_st)
def test_so_is_what_others_write(messages: list[Message], cuts: list[int], *, by_client: bool) -> None:
    theirs = FrameProtocol(client=by_client, extensions=[])
    stream = b""
    for opcode, payload in messages:
        if opcode == PING:
            stream += theirs.ping(payload)
        elif opcode == PONG:
            stream += theirs.pong(payload)
        else:
            half = 0 if opcode == TEXT else len(payload) // 2
            said = payload.decode() if opcode == TEXT else payload
            stream += theirs.send_data(said[:half], fin=False) if half else b""
            stream += theirs.send_data(said[half:], fin=True)
    stream += theirs.close(1001, "bye")
    assert read(parts(stream, cuts), by_client=by_client) == ([*messages, (CLOSE, b"\x03\xe9bye")], None)


@sides
@some_examples
@given(payloads=st.lists(st.binary(max_size=50), min_size=2, max_size=5), ping=st.integers(0, 3), cuts=cuts_st)
def test_a_message_in_parts_with_a_ping_within_is_one(
    payloads: list[bytes], ping: int, cuts: list[int], *, by_client: bool
) -> None:
    write = masked if by_client else frame
    frames = [
        write(CONTINUATION if number else BINARY, payload, last=number == len(payloads) - 1)
        for number, payload in enumerate(payloads)
    ]
    frames.insert(1 + ping % (len(frames) - 1), write(PING, b"?"))
    stream = b"".join(frames)
    expected = [(PING, b"?"), (BINARY, b"".join(payloads))]
    assert read(parts(stream, cuts), by_client=by_client) == (expected, None)


def test_the_examples_of_the_specification() -> None:
    hello = b"\x81\x05Hello"
    key = b"\x37\xfa\x21\x3d"
    assert frame(TEXT, b"Hello") == hello
    assert read([hello], by_client=False) == ([(TEXT, b"Hello")], None)
    assert read([b"\x81\x85" + key + b"\x7f\x9f\x4d\x51\x58"], by_client=True) == ([(TEXT, b"Hello")], None)
    assert read([b"\x01\x03Hel\x80\x02lo"], by_client=False) == ([(TEXT, b"Hello")], None)
    assert frame(BINARY, bytes(256))[:4] == b"\x82\x7e\x01\x00"
    assert frame(BINARY, bytes(65536))[:10] == b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"


def test_no_two_frames_have_one_mask() -> None:
    assert len({masked(TEXT, b"")[2:] for _ in range(3000)}) > 2990


# What is wrong.


def raw(first: int, payload: bytes, *, mask: bool, told: int | None = None) -> bytes:
    """Return a frame as it must not be; `told` are the bytes of its length: 0, 2 or 8."""
    length = len(payload)
    if told is None:
        told = 0 if length < 126 else 2 if length < 1 << 16 else 8
    second = (0x80 if mask else 0) | {0: length, 2: 126, 8: 127}[told]
    return bytes([first, second]) + length.to_bytes(8, "big")[8 - told :] + (b"\0" * 4 if mask else b"") + payload


#: 1014 is newer than wsproto.
codes_st = st.integers(0, 5100).filter(lambda code: code != 1014)
anything_st = st.one_of(
    st.tuples(st.sampled_from([0x00, 0x01, 0x02, 0x80, 0x81, 0x82]), st.integers(0, 200).map(lambda n: b"x" * n)),
    st.tuples(st.sampled_from([0x89, 0x8A, 0x88]), st.just(b"")),
    st.tuples(
        st.just(0x88), st.builds(lambda code, why: code.to_bytes(2, "big") + why, codes_st, st.binary(max_size=9))
    ),
    st.tuples(st.integers(0, 255), st.integers(0, 130).map(lambda n: b"x" * n)),
)


@sides
@some_examples
@given(
    frames=st.lists(
        st.tuples(anything_st, st.integers(0, 9), st.sampled_from([None, None, None, 2, 8])), min_size=1, max_size=5
    ),
    cuts=cuts_st,
)
def test_what_is_wrong_is_so_for_others_too_and_at_the_same_place(
    frames: list[tuple[tuple[int, bytes], int, int | None]], cuts: list[int], *, by_client: bool
) -> None:
    stream = b"".join(
        raw(first, payload, mask=by_client is bool(how), told=told) for (first, payload), how, told in frames
    )
    messages, wrong = read(parts(stream, cuts), by_client=by_client)
    assert read([stream], by_client=by_client) == (messages, wrong)
    assert Theirs(messages, 0 if wrong is None else wrong.code) == Theirs.of(stream, by_client=by_client)


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (b"\x82\x7f\x80\0\0\0\0\0\0\0", closecodes.PROTOCOL_ERROR),
        (b"\x81\x01\xff", closecodes.INVALID_PAYLOAD),
        (b"\x01\x01\xc3\x80\x01\x28", closecodes.INVALID_PAYLOAD),
        (b"\x88\x03\x03\xe8\xff", closecodes.INVALID_PAYLOAD),
        (b"\x88\x01\x03", closecodes.PROTOCOL_ERROR),
        (b"\x88\x02\x03\xed", closecodes.PROTOCOL_ERROR),
    ],
)
def test_each_is_told_by_its_code_and_nothing_is_read_behind_it(stream: bytes, code: int) -> None:
    for pieces in ([stream + b"\x81\x01x"], parts(stream + b"\x81\x01x", range(len(stream) + 2))):
        messages, wrong = read(pieces, by_client=False)
        assert (messages, wrong is not None and wrong.code) == ([], code)


def test_a_character_that_is_cut_between_two_frames_is_whole_in_the_message() -> None:
    assert read([b"\x01\x01\xc3\x80\x01\xa9"], by_client=False) == ([(TEXT, "é".encode())], None)


@pytest.mark.parametrize("length", [11, 126, 1 << 20, 1 << 62])
def test_what_is_too_long_is_refused_before_it_has_come(length: int) -> None:
    told = 0 if length < 126 else 2 if length < 1 << 16 else 8
    head = bytes([0x82, {0: length, 2: 126, 8: 127}[told]]) + length.to_bytes(8, "big")[8 - told :]
    messages, wrong = read([head], by_client=False, limit=10)
    assert (messages, wrong) == ([], Wrong(closecodes.TOO_BIG, "a message of more than 10 bytes"))


def test_so_is_one_whose_parts_are_too_long_together_and_a_ping_is_no_part() -> None:
    stream = frame(BINARY, b"x" * 6, last=False) + frame(PING, b"y" * 100)
    messages, wrong = read([stream, frame(CONTINUATION, b"x" * 4)], by_client=False, limit=10)
    assert (messages, wrong) == ([(PING, b"y" * 100), (BINARY, b"x" * 10)], None)
    assert read([stream, frame(CONTINUATION, b"x" * 5)], by_client=False, limit=10)[1] is not None


def test_behind_a_close_frame_nothing_is_read() -> None:
    stream = frame(CLOSE, closecodes.closing(1000)) + b"\xff\xff" + frame(TEXT, b"late")
    for pieces in ([stream], parts(stream, range(len(stream)))):
        assert read(pieces, by_client=False) == ([(CLOSE, b"\x03\xe8")], None)


def test_what_a_close_frame_says() -> None:
    assert closecodes.spoken(closecodes.closing(1001)) == "1001 (going away)"
    assert closecodes.spoken(closecodes.closing(4000, b"why")) == "4000"
    assert closecodes.spoken(b"") == "without a code"
    assert (closecodes.code_of(b"\x03\xe9why"), closecodes.reason_of(b"\x03\xe9why")) == (1001, b"why")
    assert len(closecodes.closing(1000, b"x" * 200)) == 125


# How one is opened.


def test_the_specifications_key_is_accepted_as_it_says() -> None:
    assert accept_of(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_each_request_has_a_key_of_its_own() -> None:
    keys = {key_of(b"3-%d" % number) for number in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {24}


ASKED = {b"upgrade": b"websocket", b"sec-websocket-key": b"x", b"sec-websocket-version": b"13"}


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({}, True),
        ({b"upgrade": b"h2c, WebSocket"}, True),
        ({b"upgrade": b"h2c"}, False),
        ({b"sec-websocket-key": b""}, False),
        ({b"sec-websocket-version": b"8"}, False),
    ],
)
def test_what_asks_for_one(change: dict[bytes, bytes], *, asked: bool) -> None:
    assert is_asked_for({**ASKED, **change}) is asked


def test_the_answer_is_right_for_its_key_alone_and_with_nothing_unasked() -> None:
    told = {name.lower(): value for name, value in switching(b"key")}
    assert what_is_wrong(told, b"key") == ""
    assert what_is_wrong(told, b"other") == "Sec-WebSocket-Accept is not that of the request's key"
    assert what_is_wrong({**told, b"upgrade": b"h2c"}, b"key") == "switched to something else than a WebSocket"
    extended = {**told, b"sec-websocket-extensions": b"permessage-deflate"}
    assert what_is_wrong(extended, b"key") == "Sec-WebSocket-Extensions, which nobody asked for"


@some_examples
@given(messages=messages_st, cuts=cuts_st)
def test_somebody_elses_connection_understands_ours(messages: list[Message], cuts: list[int]) -> None:
    theirs = Connection(ConnectionType.CLIENT)
    for part in parts(b"".join(frame(*message) for message in messages) + frame(CLOSE, b"\x03\xe8"), cuts):
        theirs.receive_data(part)
    heard = "".join(type(event).__name__[0] for event in theirs.events() if getattr(event, "message_finished", True))
    assert heard == "".join({TEXT: "T", BINARY: "B", PING: "P", PONG: "P"}[opcode] for opcode, _ in messages) + "C"
