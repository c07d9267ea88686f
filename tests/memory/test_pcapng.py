"""The example as packets: blocks as the format has them, frames as the protocols have them."""

import struct
from collections.abc import Iterator
from pathlib import Path
from socket import inet_ntoa
from typing import NamedTuple

import pytest

from proxyreload.command.reproduce import reproduce
from proxyreload.reproduction.conversation import Conversation, End, addresses, checksum
from proxyreload.reproduction.pcapng import Packet, pcapng

from .lost import loss, run_of, write_lossy_run
from .written import lost, row, write_rows

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
COMMENT, PROGRAM, RESOLUTION = 1, 4, 9
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10


class Block(NamedTuple):
    kind: int
    body: bytes


class Frame(NamedTuple):
    at_us: int
    sender: tuple[str, int]
    receiver: tuple[str, int]
    begin: int
    acknowledged: int
    flags: int
    data: bytes
    comment: str


def blocks(data: bytes) -> Iterator[Block]:
    """Yield the blocks of a file, each by its length at both of its ends."""
    while data:
        kind, length = struct.unpack("<II", data[:8])
        assert length % 4 == 0
        assert 12 <= length <= len(data)
        assert struct.unpack("<I", data[length - 4 : length]) == (length,)
        yield Block(kind, data[8 : length - 4])
        data = data[length:]


def options(data: bytes) -> dict[int, bytes]:
    """Return what stands behind a block's fixed part, up to the option that ends it."""
    found: dict[int, bytes] = {}
    while data:
        code, length = struct.unpack("<HH", data[:4])
        if not code:
            assert (length, len(data)) == (0, 4)
            return found
        found[code] = data[4 : 4 + length]
        data = data[4 + length + -length % 4 :]
    assert not found
    return found


def frames(data: bytes) -> list[Frame]:
    """Return the packets of a file, their checksums checked."""
    section, interface, *packets = blocks(data)
    assert (section.kind, interface.kind, {each.kind for each in packets}) == (SECTION, INTERFACE, {PACKET})
    return [_frame(packet.body) for packet in packets]


def _frame(body: bytes) -> Frame:
    number, high, low, kept, whole = struct.unpack("<IIIII", body[:20])
    assert (number, kept) == (0, whole)
    frame = body[20 : 20 + kept]
    told = options(body[20 + kept + -kept % 4 :])
    assert frame[12:14] == b"\x08\x00"
    packet = frame[14:]
    assert packet[0] == 0x45
    assert checksum(packet[:20]) == 0
    assert struct.unpack(">H", packet[2:4]) == (len(packet),)
    assert packet[9] == 6
    segment = packet[20:]
    pseudo = packet[12:20] + struct.pack(">HH", 6, len(segment))
    assert checksum(pseudo + segment) == 0
    source, target, begin, acknowledged = struct.unpack(">HHII", segment[:12])
    return Frame(
        (high << 32) + low,
        (inet_ntoa(packet[12:16]), source),
        (inet_ntoa(packet[16:20]), target),
        begin,
        acknowledged,
        segment[13],
        segment[4 * (segment[12] >> 4) :],
        told.get(COMMENT, b"").decode("utf-8"),
    )


def test_a_section_an_interface_and_packets() -> None:
    data = pcapng([Packet(2**40 + 7, b"abcde", "höre"), Packet(9, b"")], "it 1.0", "made up")
    section, interface, first, second = blocks(data)
    assert struct.unpack("<IHHq", section.body[:16]) == (0x1A2B3C4D, 1, 0, -1)
    assert options(section.body[16:]) == {COMMENT: b"made up", PROGRAM: b"it 1.0"}
    assert struct.unpack("<HHI", interface.body[:8]) == (1, 0, 0)
    assert options(interface.body[8:])[RESOLUTION] == b"\x06"
    assert struct.unpack("<IIIII", first.body[:20]) == (0, 2**8, 7, 5, 5)
    assert first.body[20:28] == b"abcde\0\0\0"
    assert options(first.body[28:]) == {COMMENT: "höre".encode()}
    assert second.body == struct.pack("<IIIII", 0, 0, 9, 0, 0)


def test_a_comment_is_bounded() -> None:
    section = next(blocks(pcapng([], "it", "ä" * 100_000)))
    assert len(options(section.body[16:])[COMMENT]) == 0xFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # RFC 1071, 3
        (bytes.fromhex("0001f203f4f5f6f7"), 0x220D),
        (b"", 0xFFFF),
        (b"\xff", 0x00FF),
    ],
)
def test_the_checksum(data: bytes, expected: int) -> None:
    assert checksum(data) == expected
    assert addresses(End("1.2.3.4", 1, 0), End("5.6.7.8", 1, 0), 9) == bytes([1, 2, 3, 4, 5, 6, 7, 8, 0, 6, 0, 9])


def test_numbers_follow_each_other_and_wrap() -> None:
    conversation = Conversation(End("127.0.0.1", 1, 2**32 - 1), End("127.0.0.1", 2, 50))
    conversation.open(0)
    conversation.request(1, b"x" * 40_000)
    conversation.answer(2, b"ab")
    conversation.close(3)
    told = frames(pcapng(conversation.packets, "", ""))
    assert [(each.begin, each.acknowledged, each.flags, len(each.data)) for each in told] == [
        (2**32 - 1, 0, SYN, 0),
        (50, 0, SYN | ACK, 0),
        (0, 51, ACK, 0),
        (0, 51, PSH | ACK, 32_768),
        (32_768, 51, PSH | ACK, 40_000 - 32_768),
        (51, 40_000, PSH | ACK, 2),
        (40_000, 53, ACK, 0),
        (53, 40_000, FIN | ACK, 0),
        (40_000, 54, ACK, 0),
    ]


def captured(folder: Path, **told: object) -> list[Frame]:
    """Return the packets of a loss."""
    file = write_lossy_run(folder, run_of("nginx:reload"), [loss(**told)])
    assert reproduce([str(file), "--into", str(folder)]) == 0
    return frames((folder / "proxyreload-loss-1" / "example.pcapng").read_bytes())


def test_a_connection_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    before = row(1_000_300, 3, carried=0, request=0, connection=0, connect=200)
    write_rows(
        tmp_path / "data.csv", [before, lost(2_013_000, 3, request=7, connection=0, carried=7, written=2_012_400)]
    )
    told = captured(tmp_path)
    assert [(each.at_us, each.flags) for each in told] == [
        (999_800, SYN),
        (999_800, SYN | ACK),
        (999_800, ACK),
        (2_012_400, PSH | ACK),
        (2_013_000, FIN | ACK),
        (2_013_000, ACK),
    ]
    assert (told[0].sender, told[0].receiver) == (("127.0.0.1", 40003), ("127.0.0.1", 8080))
    assert told[3].data.endswith(b"\r\nProxyreload-Id: 3-7\r\n\r\n")
    assert told[3].comment == "request 3-7: the connection had carried 7, it had rested for 5000 µs"
    assert told[4].comment == "closed before response, reused"


def test_it_says_that_it_was_not_captured(tmp_path: Path) -> None:
    captured(tmp_path)
    section = next(blocks((tmp_path / "proxyreload-loss-1" / "example.pcapng").read_bytes()))
    assert b"from the record of a run, not captured" in options(section.body[16:])[COMMENT]


def test_without_rows_the_beginning_is_not_known(tmp_path: Path) -> None:
    first = captured(tmp_path)[0]
    assert (first.at_us, first.comment) == (2_012_000, "the connection of client 3; when it was opened is not known")


@pytest.mark.parametrize(
    ("failure", "cause", "flags"),
    [
        ("reset before response, reused", "keep-alive race", [RST | ACK]),
        ("truncated", "proxy cut it", [FIN | ACK, ACK]),
        ("status 503", "stale generation", [PSH | ACK, ACK]),
    ],
)
def test_how_it_ends(tmp_path: Path, failure: str, cause: str, flags: list[int]) -> None:
    told = captured(tmp_path, failure=failure, cause=cause)
    assert [each.flags for each in told[4:]] == flags
    if failure.startswith("status"):
        assert told[4].data == b"HTTP/1.1 503 \r\n\r\n"
        assert "made up" in told[4].comment
