"""Packets as a file that Wireshark opens.

https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html
"""

import struct
from collections.abc import Iterable

import attrs

#: Types of blocks (11.1), the link (LINKTYPE_ETHERNET), and codes of options.
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_ETHERNET = 1
_COMMENT, _SECTION_PROGRAM, _INTERFACE_NAME, _RESOLUTION = 1, 4, 2, 9
#: Of the bytes' order, and where a section's length is not told.
_MAGIC, _NO_LENGTH = 0x1A2B3C4D, -1
#: Times are powers of ten of a second: µs.
_MICROSECONDS = 6
#: What one option can hold.
_OPTION_LIMIT = 0xFFFF


@attrs.frozen
class Packet:
    """One frame, when it was on the wire, and what there is to say of it."""

    at_us: int
    frame: bytes
    comment: str = ""


def pcapng(packets: Iterable[Packet], program: str, comment: str) -> bytes:
    """Return the file: one section with its comment, one interface, the packets in their order."""
    section = struct.pack("<IHHq", _MAGIC, 1, 0, _NO_LENGTH)
    interface = struct.pack("<HHI", _ETHERNET, 0, 0)
    told = [(_COMMENT, _text(comment)), (_SECTION_PROGRAM, _text(program))]
    blocks = [
        _block(_SECTION, section, told),
        _block(_INTERFACE, interface, [(_INTERFACE_NAME, b"record"), (_RESOLUTION, bytes([_MICROSECONDS]))]),
    ]
    blocks += [_block(_PACKET, _packet(packet), _commented(packet)) for packet in packets]
    return b"".join(blocks)


def _packet(packet: Packet) -> bytes:
    high, low = divmod(packet.at_us, 1 << 32)
    length = len(packet.frame)
    return struct.pack("<IIIII", 0, high, low, length, length) + _padded(packet.frame)


def _commented(packet: Packet) -> list[tuple[int, bytes]]:
    return [(_COMMENT, _text(packet.comment))] if packet.comment else []


def _block(kind: int, body: bytes, options: Iterable[tuple[int, bytes]]) -> bytes:
    """Return a block with options, and the one that ends them if there is any."""
    told = b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options)
    if told:
        told += struct.pack("<HH", 0, 0)
    length = struct.pack("<I", len(body) + len(told) + 12)
    return struct.pack("<I", kind) + length + body + told + length


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")[:_OPTION_LIMIT]


def _padded(data: bytes) -> bytes:
    """Fill up to a multiple of four bytes."""
    return data + bytes(-len(data) % 4)
