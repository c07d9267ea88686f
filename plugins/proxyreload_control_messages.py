"""HTTP/1.1 messages taken apart on their way, in whatever pieces they come, and put together again."""

from collections.abc import Sequence
from typing import Any, Protocol

import httptools

LAST_CHUNK = b"0\r\n\r\n"
_HEAD_END = b"\r\n\r\n"


class Hearer(Protocol):
    """Who hears what has come of a message."""

    def head_came(self, head: bytes, *, chunked: bool) -> None:
        """Take the head, with its empty line; `chunked`: that is how its body comes."""

    def piece_came(self, data: bytes) -> None:
        """Take the next bytes of the body, without chunks' marks."""

    def end_came(self) -> None:
        """Learn that the message is whole."""


class Messages:
    """Takes messages apart that come one after the other, each after the one before has been worked on.

    Behind one that asks for another protocol, or switches to it, all are pieces of its body, which has no end.
    """

    def __init__(self, hearer: Hearer, parser: Any) -> None:  # noqa: ANN401  (a class of httptools)
        """Tell `hearer`; `parser` is the class for requests, or for answers."""
        self._hearer = hearer
        self._raw = b""
        self._in_head = True
        self.switched = False  #: whether no more messages come
        self.trailers: list[tuple[bytes, bytes]] = []  #: of the one that has come last
        self.on_body = hearer.piece_came
        self._parser = parser(self)

    def feed(self, data: bytes) -> None:
        """Take the next bytes; raises `httptools.HttpParserError` for what is no message."""
        if self.switched:
            self._hearer.piece_came(data)
            return
        if self._in_head:
            self._raw += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.switched = True
            rest = data[upgrade.args[0] :]
            if rest:
                self._hearer.piece_came(rest)

    @property
    def switches(self) -> bool:
        """Whether the message that has come asks for another protocol, or switches to it."""
        switches: bool = self._parser.should_upgrade()
        return switches

    # The parser's side (httptools.HTTPProtocol).

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep it if it is a trailer."""
        if not self._in_head:
            self.trailers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hand the head over as it came."""
        self.trailers = []
        head = self._raw.partition(_HEAD_END)[0] + _HEAD_END
        self._raw, self._in_head = b"", False
        self._hearer.head_came(head, chunked=b"transfer-encoding: chunked" in head.lower())

    def on_message_complete(self) -> None:
        """Hand the end over."""
        self._in_head = True
        self._hearer.end_came()


def last_chunk(trailers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the last chunk, and trailers behind it (RFC 9112, 7.1.2)."""
    return b"0\r\n" + b"".join([b"%b: %b\r\n" % field for field in trailers]) + b"\r\n"


def framed(data: bytes, *, chunked: bool) -> bytes:
    """Return bytes of a body as they are sent; an empty chunk would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if chunked and data else data


def field_value(head: bytes, name: bytes) -> bytes:
    """Return the value of a field of a head, empty if it has none of that name (in any case)."""
    for line in head.split(b"\r\n")[1:]:
        given, _colon, value = line.partition(b":")
        if given.lower() == name.lower():
            return value.strip()
    return b""


def with_length(head: bytes, grows: int) -> bytes:
    """Return a head that says that its body is longer by so many bytes, where it says how long it is.

    Of a body that is shorter than what is to be taken from it nothing is left: a refused call has none.
    """
    length = field_value(head, b"Content-Length")
    if not grows or not length.isdigit():
        return head
    lines = head.split(b"\r\n")
    told = [b"Content-Length: %d" % max(0, int(length) + grows) if _is_length(line) else line for line in lines]
    return b"\r\n".join(told)


def _is_length(line: bytes) -> bool:
    return line.lower().startswith(b"content-length:")
