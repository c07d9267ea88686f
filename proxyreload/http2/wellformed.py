"""Whether a header block is that of an answer, of a request, or of trailers (RFC 9113, 8.2 and 8.3)."""

import re
from collections.abc import Sequence

from proxyreload.http2.hpack import Field
from proxyreload.system.untrusted import printable

#: The body's length is not told.
UNTOLD = -1
#: Of a status that stands before another one.
INTERIM = b"1"

_STATUS = re.compile(rb"[1-9][0-9]{2}")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
#: A length has so many digits at most.
_LENGTH = re.compile(rb"[0-9]{1,18}")
_OF_HTTP11 = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
_NEEDED = frozenset({b":method", b":scheme", b":path"})
_KNOWN = _NEEDED | {b":authority"}

#: Names that are fine and mean nothing here, so that each is looked at once. Bounded: the peer chooses them.
_NAMES_KEPT = 1024
_plain: set[bytes] = set()


class NotWellFormed(Exception):
    """A block is none of what it should be: a stream error."""


def answer_length(fields: Sequence[Field]) -> int:
    """Return the length that an answer's body is told to have, or `UNTOLD`; raises `NotWellFormed`."""
    name, status, _ = fields[0] if fields else (b"", b"", False)
    if name != b":status" or not _STATUS.fullmatch(status):
        raise NotWellFormed("no status" if name != b":status" else f"status {printable(status, 20)}")
    return _length(fields, 1)


def request_length(fields: Sequence[Field]) -> int:
    """Return the length that a request's body is told to have, or `UNTOLD`; raises `NotWellFormed`."""
    given = {}
    for name, value, _ in fields:
        if name[:1] != b":":
            break
        if name not in _KNOWN or name in given or (name != b":authority" and not value):
            msg = f"{printable(name, 40)} that may not be there"
            raise NotWellFormed(msg)
        given[name] = value
    if given.get(b":method") == b"CONNECT":
        msg = "CONNECT"
        raise NotWellFormed(msg)
    if not given.keys() >= _NEEDED:
        msg = "method, scheme or path are missing"
        raise NotWellFormed(msg)
    return _length(fields, len(given))


def look_at_trailers(fields: Sequence[Field]) -> None:
    """Raise `NotWellFormed` where these may not stand behind a body."""
    _length(fields, 0)


def _length(fields: Sequence[Field], begin: int) -> int:
    """Look at all fields but the first ones, and return the body's length."""
    length, plain = UNTOLD, _plain
    for each in range(begin, len(fields)):
        name = fields[each][0]
        if name in plain:
            continue
        if name == b"content-length":
            length = _length_of(fields[each][1], length)
        else:
            _look_at(name, fields[each][1])
    return length


def _length_of(value: bytes, before: int) -> int:
    if not _LENGTH.fullmatch(value) or before not in (UNTOLD, int(value)):
        msg = f"content-length {printable(value, 40)}"
        raise NotWellFormed(msg)
    return int(value)


def _look_at(name: bytes, value: bytes) -> None:
    if not _NAME.fullmatch(name) or name in _OF_HTTP11:
        msg = f"a field {printable(name, 40)}"
        raise NotWellFormed(msg)
    if name == b"te" and value != b"trailers":
        msg = f"te {printable(value, 40)}"
        raise NotWellFormed(msg)
    if name != b"te" and len(_plain) < _NAMES_KEPT:
        _plain.add(name)
