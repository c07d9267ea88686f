"""Header blocks are what another implementation makes of them, and the other way round."""

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.http2 import frames
from proxyreload.http2.frames import WrongFrames
from proxyreload.http2.hpack import LIST_LIMIT, STATIC, FieldDecoder, encoded, integer, literal, string

from .clocks import some_examples
from .http2ends import plain

fields_st = st.lists(
    st.tuples(
        st.sampled_from([*{name for name, _ in STATIC}, b"proxyreload-id", b"x"]) | st.binary(min_size=1, max_size=9),
        st.sampled_from([value for _, value in STATIC]) | st.binary(max_size=300),
    ),
    max_size=12,
)


def test_the_static_table_is_the_one_of_the_rfc() -> None:
    assert hpack.table.HeaderTable.STATIC_TABLE == STATIC


@some_examples
@given(blocks=st.lists(fields_st, max_size=4))
def test_another_decoder_reads_what_is_encoded_whatever_came_before(blocks: list[list[tuple[bytes, bytes]]]) -> None:
    decoder = hpack.Decoder()
    for fields in blocks:
        assert list(plain(decoder.decode(encoded(fields), raw=True))) == fields
    assert not decoder.header_table.dynamic_entries


@some_examples
@given(blocks=st.lists(st.tuples(fields_st, st.booleans()), max_size=6), sizes=st.lists(st.integers(0, 4096)))
def test_what_another_encoder_has_encoded_is_read(
    blocks: list[tuple[list[tuple[bytes, bytes]], bool]], sizes: list[int]
) -> None:
    encoder, decoder = hpack.Encoder(), FieldDecoder()
    for fields, huffman in blocks:
        if sizes:
            encoder.header_table_size = sizes.pop()
        assert list(plain(decoder.decode(encoder.encode(fields, huffman=huffman)))) == fields


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 254, 255, 16_383, 70_000])
def test_a_block_is_bytes_around_an_id(size: int) -> None:
    value = b"7" * size
    block = literal(b"proxyreload-id") + string(value)
    assert block == encoded([(b"proxyreload-id", value)])
    if size < LIST_LIMIT:
        assert plain(FieldDecoder().decode(block)) == ((b"proxyreload-id", value),)


def test_numbers_are_those_of_the_rfc() -> None:
    assert (integer(10, 5, 0), integer(1337, 5, 0), integer(42, 8, 0)) == (b"\x0a", b"\x1f\x9a\x0a", b"\x2a")


def test_the_tables_entries_are_one_byte_each() -> None:
    assert encoded([(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")]) == b"\x82\x86\x84"


@pytest.mark.parametrize(
    "block",
    [b"\x80", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x40", b"\x40\x05ab", b"\x3f\xe2\x1f", b"\xbe"],
)
def test_what_is_no_block_is_a_compression_error(block: bytes) -> None:
    with pytest.raises(WrongFrames) as raised:
        FieldDecoder().decode(block)
    assert raised.value.code == frames.COMPRESSION_ERROR
    assert raised.value.message.isprintable()


def test_a_list_that_is_too_long_is_an_error_however_short_its_block_is() -> None:
    decoder = FieldDecoder()
    kept = b"\x40" + string(b"x") + string(b"y" * 3000)
    assert len(decoder.decode(kept + b"\xbe" * 10)) == 11
    with pytest.raises(WrongFrames):
        decoder.decode(b"\xbe" * 30)
