"""gRPC's messages in a body, and its statuses in trailers.

See https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote_to_bytes

import attrs

CONTENT_TYPE: Final = (b"content-type", b"application/grpc")
_STATUS, _MESSAGE = b"grpc-status", b"grpc-message"

STATUSES: Final = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
OK, INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, UNIMPLEMENTED, UNAVAILABLE = (
    STATUSES.index(name)
    for name in ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "UNAVAILABLE")
)

#: Whether it is compressed, and its length, stand before a message.
_PREFIX_BYTES = 5
#: Of a message here; no call has a longer one.
MESSAGE_LIMIT: Final = 16 * 1024


def status_name(status: int) -> str:
    """Return ``UNAVAILABLE`` for 14; the number of one that has no name."""
    return STATUSES[status] if 0 <= status < len(STATUSES) else str(status)


def status_fields(status: int, message: str = "") -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields that say what a call has come to."""
    said = quote(message, safe=" !#$&'()*+,/:;<=>?@[]^_`{|}~").encode("ascii")
    return ((_STATUS, b"%d" % status), *([(_MESSAGE, said)] if said else []))


def status_of(fields: Sequence[tuple[bytes, bytes, bool]]) -> tuple[int, bytes] | None:
    """Return the status and the message that such fields say; None if they say no status."""
    said = {name: value for name, value, _never_indexed in fields if name in (_STATUS, _MESSAGE)}
    status = said.get(_STATUS, b"")
    if not status.isdigit() or len(status) > 3:  # noqa: PLR2004
        return None
    return int(status), unquote_to_bytes(said.get(_MESSAGE, b""))


def framed(message: bytes) -> bytes:
    """Return a message as it stands in a body."""
    return b"\x00" + len(message).to_bytes(4, "big") + message


@attrs.define(eq=False)
class MessageReader:
    """Finds the messages in a body, however that is cut."""

    wrong: str = attrs.field(default="", init=False)  #: why what comes is no message; none is found behind that
    rest: bytes = attrs.field(default=b"", init=False)  #: of a message that is not whole

    def take(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole now."""
        found: list[bytes] = []
        self.rest += data
        while len(self.rest) >= _PREFIX_BYTES and not self.wrong:
            length = int.from_bytes(self.rest[1:_PREFIX_BYTES], "big")
            if self.rest[0]:
                self.wrong = "a message that says it is compressed"
            elif length > MESSAGE_LIMIT:
                self.wrong = f"a message of {length} bytes"
            elif len(self.rest) < _PREFIX_BYTES + length:
                break
            else:
                found.append(self.rest[_PREFIX_BYTES : _PREFIX_BYTES + length])
                self.rest = self.rest[_PREFIX_BYTES + length :]
        return found


def only_message(body: bytes) -> bytes | None:
    """Return the message of a body that has exactly one; None for any other."""
    reader = MessageReader()
    found = reader.take(body)
    return found[0] if len(found) == 1 and not reader.rest else None
