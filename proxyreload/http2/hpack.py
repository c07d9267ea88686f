"""Header blocks (RFC 7541): decoded by jh2's decoder, which is compiled; encoded without a table.

Nothing that is encoded here is to be kept in the peer's table, so that the bytes of a field never depend on what was
sent before: a request's block is bytes around its id.
"""

from collections.abc import Callable, Iterable

# As jh2 itself has it: what it calls public is written in Python, and takes six times as long.
from jh2._hazmat import Decoder, HPACKError, OversizedHeaderListError

from proxyreload.http2.frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, WrongFrames
from proxyreload.system.untrusted import printable

#: So many bytes may all names and values of a block have, and the block itself: more is no answer and no request.
LIST_LIMIT = 64 * 1024

#: The module of the exception, no `Exception`, that a decoder raises which has met what it did not expect: a block that
#: ends where a string should begin.
_PANICS = "pyo3_runtime"

#: A name, a value, and whether it is one of those that must never be in a table.
Field = tuple[bytes, bytes, bool]

#: RFC 7541, A. An entry's index is its place, from 1.
STATIC: tuple[tuple[bytes, bytes], ...] = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    *((b":status", status) for status in (b"200", b"204", b"206", b"304", b"400", b"404", b"500")),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    *(
        (name, b"")
        for name in (
            *(b"accept-language", b"accept-ranges", b"accept", b"access-control-allow-origin", b"age", b"allow"),
            *(b"authorization", b"cache-control", b"content-disposition", b"content-encoding", b"content-language"),
            *(b"content-length", b"content-location", b"content-range", b"content-type", b"cookie", b"date", b"etag"),
            *(b"expect", b"expires", b"from", b"host", b"if-match", b"if-modified-since", b"if-none-match"),
            *(b"if-range", b"if-unmodified-since", b"last-modified", b"link", b"location", b"max-forwards"),
            *(b"proxy-authenticate", b"proxy-authorization", b"range", b"referer", b"refresh", b"retry-after"),
            *(b"server", b"set-cookie", b"strict-transport-security", b"transfer-encoding", b"user-agent", b"vary"),
            *(b"via", b"www-authenticate"),
        )
    ),
)
_PLACES = {field: place for place, field in reversed(list(enumerate(STATIC, 1)))}
_NAMES = {field[0]: place for place, field in reversed(list(enumerate(STATIC, 1)))}


class FieldDecoder:
    """Decodes the header blocks of one connection, all of them and in their order: each may change the table."""

    def __init__(self) -> None:
        """Begin with an empty table."""
        self._decode: Callable[[bytes], list[Field]] = Decoder(LIST_LIMIT).decode

    def decode(self, block: bytes) -> list[Field]:
        """Return the fields of a whole block; raises `WrongFrames`, and then nothing more can be decoded."""
        try:
            return self._decode(block)
        except (HPACKError, OversizedHeaderListError) as error:
            raise _no_block(error) from error
        except BaseException as error:
            if type(error).__module__ != _PANICS:
                raise
            raise _no_block(error) from error


def _no_block(error: BaseException) -> WrongFrames:
    return WrongFrames(COMPRESSION_ERROR, f"a header block: {printable(str(error))}")


def too_long() -> WrongFrames:
    """Return what is wrong with a block that does not end."""
    return WrongFrames(ENHANCE_YOUR_CALM, f"a header block of more than {LIST_LIMIT} bytes")


# Encoded.


def integer(value: int, bits: int, first: int) -> bytes:
    """Return a number whose first `bits` bits stand in a byte that begins with `first` (RFC 7541, 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    encoded, value = [first | most], value - most
    while value >= 128:  # noqa: PLR2004
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def string(value: bytes) -> bytes:
    """Return a string literal, its length before it (RFC 7541, 5.2)."""
    return integer(len(value), 7, 0) + value


def literal(name: bytes) -> bytes:
    """Return what stands before the `string` of a field's value that no table is to keep (RFC 7541, 6.2.2)."""
    place = _NAMES.get(name)
    return b"\x00" + string(name) if place is None else integer(place, 4, 0)


def encoded(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the block of these fields, whose names are in lower case."""
    return b"".join(
        [
            literal(field[0]) + string(field[1]) if place is None else integer(place, 7, 128)
            for field in fields
            for place in (_PLACES.get(field),)
        ]
    )
