"""Frames are the same in whatever pieces they come, and are what other people's frames are."""

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.http2 import frames
from proxyreload.http2.frames import FRAME_SIZE, FrameReader, WrongFrames

from .clocks import some_examples
from .connections import parts
from .kinds import cuts_st

frame_st = st.tuples(
    st.integers(0, 255), st.integers(0, 255), st.integers(0, frames.TWO_GIB - 1), st.binary(max_size=40)
)


def parsed(data: bytes) -> list[Frame]:
    """Return frames as hyperframe has them."""
    found = []
    while data:
        each, length = Frame.parse_frame_header(memoryview(data[:9]))
        each.parse_body(memoryview(data[9 : 9 + length]))
        found.append(each)
        data = data[9 + length :]
    return found


@some_examples
@given(written=st.lists(frame_st, max_size=8), cuts=cuts_st)
def test_frames_come_out_as_they_were_written_however_they_are_cut(
    written: list[tuple[int, int, int, bytes]], cuts: list[int]
) -> None:
    reader = FrameReader()
    stream = b"".join(frames.frame(*each) for each in written)
    assert [each for piece in parts(stream, cuts) for each in reader.take(piece)] == written
    assert reader.wrong is None


@pytest.mark.parametrize("cut", range(13))
def test_a_frame_longer_than_was_announced_is_an_error_as_soon_as_it_says_so(cut: int) -> None:
    reader = FrameReader()
    ping = frames.frame(frames.PING, 0, 0, b"12345678")
    long = frames.frame(frames.DATA, 0, 1, bytes(FRAME_SIZE + 1))[:12]
    found = [each for piece in (ping + long[:cut], long[cut:]) for each in reader.take(piece)]
    assert found == [(frames.PING, 0, 0, b"12345678")]
    assert reader.wrong is not None
    assert reader.wrong.code == frames.FRAME_SIZE_ERROR
    assert reader.take(ping) == []


def test_the_longest_that_was_announced_is_read() -> None:
    assert len(FrameReader().take(frames.frame(frames.DATA, 0, 1, bytes(FRAME_SIZE)))[0][3]) == FRAME_SIZE


def test_the_reserved_bit_of_a_stream_is_ignored() -> None:
    assert FrameReader().take(frames.frame(frames.DATA, 0, frames.TWO_GIB + 5, b"")) == [(frames.DATA, 0, 5, b"")]


def test_others_read_what_is_written() -> None:
    [settings] = parsed(frames.settings({frames.ENABLE_PUSH: 0, frames.INITIAL_WINDOW_SIZE: 70_000}))
    assert isinstance(settings, SettingsFrame)
    assert settings.settings == {2: 0, 4: 70_000}
    [away] = parsed(frames.goaway(7, 11, b"calm"))
    assert isinstance(away, GoAwayFrame)
    assert (away.last_stream_id, away.error_code, away.additional_data) == (7, 11, b"calm")
    [reset, window] = parsed(frames.rst_stream(5, 8) + frames.window_update(3, 99))
    assert isinstance(reset, RstStreamFrame)
    assert isinstance(window, WindowUpdateFrame)
    assert (reset.stream_id, reset.error_code, window.stream_id, window.window_increment) == (5, 8, 3, 99)


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("size", [0, 1, FRAME_SIZE, FRAME_SIZE + 1, 3 * FRAME_SIZE, 3 * FRAME_SIZE + 1])
def test_a_header_block_is_written_in_as_many_frames_as_it_needs(size: int, end: bool) -> None:  # noqa: FBT001
    block = bytes(each % 251 for each in range(size))
    first, *others = parsed(frames.headers(9, block, end=end))
    assert isinstance(first, HeadersFrame)
    assert all(isinstance(each, ContinuationFrame) for each in others)
    assert b"".join(getattr(each, "data") for each in (first, *others)) == block  # noqa: B009
    assert ("END_STREAM" in first.flags) == end
    assert ["END_HEADERS" in each.flags for each in (first, *others)] == [False] * len(others) + [True]
    assert len(others) == max(0, (size - 1) // FRAME_SIZE)


def test_padding_is_taken_off() -> None:
    padded = DataFrame(1, b"abc", pad_length=5, flags=["PADDED"]).serialize()
    [(_kind, flags, _stream, payload)] = FrameReader().take(padded)
    assert frames.unpadded(flags, payload) == b"abc"
    assert frames.unpadded(frames.PADDED, b"\x02\0\0") == b""


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x03\0\0", b"\xff" * 255])
def test_more_padding_than_payload_is_an_error(payload: bytes) -> None:
    with pytest.raises(WrongFrames):
        frames.unpadded(frames.PADDED, payload)


def test_a_priority_is_taken_off() -> None:
    whole = HeadersFrame(3, b"block", pad_length=2, depends_on=1, stream_weight=9, flags=["PADDED", "PRIORITY"])
    [(_kind, flags, stream, payload)] = FrameReader().take(whole.serialize())
    assert frames.block_of(flags, stream, payload) == b"block"
    with pytest.raises(WrongFrames):
        frames.block_of(flags, 1, payload)
    with pytest.raises(WrongFrames):
        frames.block_of(frames.WITH_PRIORITY, 3, b"1234")


def test_codes_have_names() -> None:
    assert frames.code_name(8) == "CANCEL"
    assert frames.code_name(frames.REFUSED_STREAM) == "REFUSED_STREAM"
    assert frames.code_name(13) == "HTTP_1_1_REQUIRED"
    assert frames.code_name(14) == "code 0xe"
