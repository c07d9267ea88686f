"""One TCP connection over IPv4 and Ethernet, from what is known of it: frames with right numbers and checksums.

RFC 9293, 3.1; RFC 791, 3.1; RFC 1071.
"""

import struct
from socket import inet_aton

import attrs

from proxyreload.reproduction.pcapng import Packet

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
_ETHERNET = bytes(12) + b"\x08\x00"  # from and to nobody, as over the loopback interface
_TCP, _TIME_TO_LIVE, _DO_NOT_FRAGMENT, _WINDOW = 6, 64, 0x4000, 65535
_WORDS_OF_HEAD = 5
#: Of one segment: what an IPv4 packet holds, and more than any of ours.
_SEGMENT_BYTES = 32_768


@attrs.define
class End:
    """One end of the connection, and the number of the byte that it sends next."""

    host: str
    port: int
    next: int


@attrs.define
class Conversation:
    """Collects the packets between a client and a proxy, in the order in which they are told."""

    client: End
    proxy: End
    packets: list[Packet] = attrs.field(factory=list, init=False)

    def open(self, at_us: int, comment: str = "") -> None:
        """Shake hands."""
        self._say(self.client, at_us, SYN, comment=comment)
        self._say(self.proxy, at_us, SYN | ACK)
        self._say(self.client, at_us, ACK)

    def refuse(self, at_us: int, comment: str = "") -> None:
        """Ask for a connection, and be refused."""
        self._say(self.client, at_us, SYN)
        self._say(self.proxy, at_us, RST | ACK, comment=comment)

    def ask(self, at_us: int, comment: str = "") -> None:
        """Ask for a connection, and hear nothing."""
        self._say(self.client, at_us, SYN, comment=comment)

    def request(self, at_us: int, data: bytes, comment: str = "") -> None:
        """Let the client send bytes."""
        self._send(self.client, at_us, data, comment)

    def answer(self, at_us: int, data: bytes, comment: str = "") -> None:
        """Let the proxy send bytes."""
        self._send(self.proxy, at_us, data, comment)
        self._say(self.client, at_us, ACK)

    def close(self, at_us: int, comment: str = "") -> None:
        """Let the proxy close."""
        self._say(self.proxy, at_us, FIN | ACK, comment=comment)
        self._say(self.client, at_us, ACK)

    def reset(self, at_us: int, comment: str = "") -> None:
        """Let the proxy reset it."""
        self._say(self.proxy, at_us, RST | ACK, comment=comment)

    def _send(self, sender: End, at_us: int, data: bytes, comment: str) -> None:
        for begin in range(0, len(data), _SEGMENT_BYTES):
            self._say(sender, at_us, PSH | ACK, data[begin : begin + _SEGMENT_BYTES], "" if begin else comment)

    def _say(self, sender: End, at_us: int, flags: int, data: bytes = b"", comment: str = "") -> None:
        receiver = self.proxy if sender is self.client else self.client
        segment = _segment(sender, receiver, flags, data)
        sender.next = (sender.next + len(data) + bool(flags & SYN) + bool(flags & FIN)) % 2**32
        self.packets.append(Packet(at_us, _ETHERNET + _packet(sender, receiver, len(self.packets), segment), comment))


def checksum(data: bytes) -> int:
    """Return the Internet checksum: 0 over data that holds its own."""
    words = struct.unpack(f">{len(data) // 2 + len(data) % 2}H", data + bytes(len(data) % 2))
    total: int = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def addresses(sender: End, receiver: End, length: int) -> bytes:
    """Return what a segment's checksum is of besides: who sends to whom, and how many bytes."""
    return inet_aton(sender.host) + inet_aton(receiver.host) + struct.pack(">HH", _TCP, length)


def _segment(sender: End, receiver: End, flags: int, data: bytes) -> bytes:
    acknowledged = receiver.next if flags & ACK else 0
    begin = struct.pack(">HHII", sender.port, receiver.port, sender.next, acknowledged)
    begin += struct.pack(">BBH", _WORDS_OF_HEAD << 4, flags, _WINDOW)
    without = begin + bytes(4) + data
    total = checksum(addresses(sender, receiver, len(without)) + without)
    return begin + struct.pack(">HH", total, 0) + data


def _packet(sender: End, receiver: End, number: int, segment: bytes) -> bytes:
    length = 4 * _WORDS_OF_HEAD + len(segment)
    begin = struct.pack(">BBHHH", 0x40 | _WORDS_OF_HEAD, 0, length, number, _DO_NOT_FRAGMENT)
    begin += struct.pack(">BB", _TIME_TO_LIVE, _TCP)
    hosts = inet_aton(sender.host) + inet_aton(receiver.host)
    return begin + struct.pack(">H", checksum(begin + bytes(2) + hosts)) + hosts + segment
