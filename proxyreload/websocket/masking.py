"""Frames as they are written: a server's as they are, a client's masked (RFC 6455, 5.2 and 5.3)."""

import os
from collections.abc import Iterator

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, MASKED = 0x80, 0x80

#: How many bytes of a payload the second byte of a frame can tell, and what stands there where two, or eight, do.
SHORT, TWO_BYTES, EIGHT_BYTES = 125, 126, 127
KEY_BYTES = 4
_TWO_BYTES_MAX = 0xFFFF
#: The kernel is asked for so many keys at a time: for one alone it takes as long as for all the rest of a frame.
_KEYS_DRAWN = 1024


def frame(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
    """Return a server's frame; `last`: of its message."""
    return _head(opcode, len(payload), 0, last=last) + payload


def masked(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
    """Return a client's frame, masked with a key that nobody can foresee."""
    key = next(_keys)
    return _head(opcode, len(payload), MASKED, last=last) + key + unmasked(payload, key)


def unmasked(payload: bytes, key: bytes) -> bytes:
    """Return a payload with its mask taken away, or put on: either is the other."""
    length = len(payload)
    mask = (key * (length // KEY_BYTES + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(length, "little")


def _head(opcode: int, length: int, mask: int, *, last: bool) -> bytes:
    first = opcode | FIN if last else opcode
    if length <= SHORT:
        return bytes((first, mask | length))
    if length <= _TWO_BYTES_MAX:
        return bytes((first, mask | TWO_BYTES)) + length.to_bytes(2, "big")
    return bytes((first, mask | EIGHT_BYTES)) + length.to_bytes(8, "big")


def _drawn() -> Iterator[bytes]:
    while True:
        drawn = os.urandom(KEY_BYTES * _KEYS_DRAWN)
        for at in range(0, len(drawn), KEY_BYTES):
            yield drawn[at : at + KEY_BYTES]


_keys = _drawn()
