"""Surgery on the body of a message on its way, in whatever pieces it comes: what comes out is the same for all of them.

A body is divided into units, server-sent events by what ends them, other bytes by a size, and something is done to one.
"""

from collections.abc import Callable, Iterator

#: What ends a server-sent event.
BLANK = b"\n\n"

#: A server's close frame, 1001 (RFC 6455, 5.5.1).
GOING_AWAY = b"\x88\x02\x03\xe9"
_CLOSE, _OPCODE, _LENGTH, _MASK = 0x8, 0x0F, 0x7F, 0x80

#: Takes a unit and the one that follows it (empty if there is none), and returns what comes in their place.
Operation = Callable[[bytes, bytes], bytes]


def spoiled(data: bytes) -> bytes:
    """Return bytes of which the last one is another."""
    return data[:-1] + bytes([data[-1] ^ 1]) if data else data


def swallow(_unit: bytes, following: bytes) -> bytes:
    """Let it vanish."""
    return following


def repeat(unit: bytes, following: bytes) -> bytes:
    """Let it come twice."""
    return unit + unit + following


def swap(unit: bytes, following: bytes) -> bytes:
    """Let it come behind the one that follows it."""
    return following + unit


def spoil(unit: bytes, following: bytes) -> bytes:
    """Change its last byte."""
    return spoiled(unit) + following


def hang_up(_unit: bytes, _following: bytes) -> bytes:
    """Let a close frame come in the place of frames."""
    return GOING_AWAY


class Surgery:
    """Leaves a body as it is; ``grows`` is by how many bytes it gets longer, ``done`` whether anything was done."""

    grows = 0
    done = False

    def take(self, data: bytes) -> bytes:
        """Take the next bytes, and return what goes on by now."""
        return data

    def end(self) -> bytes:
        """Return the rest."""
        return b""


class Tail(Surgery):
    """Does something to the last bytes of a body."""

    def __init__(self, number: int, then: Callable[[bytes], bytes], grows: int = 0) -> None:
        """Hold back so many bytes, and return what `then` makes of them at the end."""
        self._number, self._then, self.grows = number, then, grows
        self._held = b""

    def take(self, data: bytes) -> bytes:
        """Hold the last ones back."""
        data = self._held + data
        at = max(0, len(data) - self._number)
        self._held = data[at:]
        return data[:at]

    def end(self) -> bytes:
        """Return what becomes of them."""
        self.done = bool(self._held)
        return self._then(self._held)


def last_byte() -> Tail:
    """Return what changes the last byte."""
    return Tail(1, spoiled)


def cut(number: int) -> Tail:
    """Return what leaves the last bytes out."""
    return Tail(number, lambda _held: b"", -number)


class Units(Surgery):
    """Does something to one unit of a body; the last one may be shorter than a size, or have no end."""

    def __init__(self, number: int, operation: Operation, size: int = 0) -> None:
        """Operate on the unit `number`, from 0: of events, or of blocks of `size` bytes."""
        self._number, self._operation, self._size = number, operation, size
        if operation is swallow or operation is repeat:
            self.grows = size if operation is repeat else -size
        self._rest = b""  # of a unit that is not whole yet
        self._next = 0
        self._unit: bytes | None = None  # the one in question, while the one behind it has not come

    def take(self, data: bytes) -> bytes:
        """Let units go on as they are whole."""
        self._rest += data
        return b"".join([self._done_to(unit) for unit in self._whole()])

    def end(self) -> bytes:
        """Let the last one go on, whole or not."""
        rest, self._rest = self._rest, b""
        last = self._done_to(rest) if rest else b""
        unit, self._unit = self._unit, None
        return last if unit is None else last + self._operated(unit, b"")

    def _whole(self) -> Iterator[bytes]:
        """Take the units that are whole from what has come."""
        while at := self._first_end():
            unit, self._rest = self._rest[:at], self._rest[at:]
            yield unit

    def _first_end(self) -> int:
        """Return where the first unit ends, 0 if it is not whole yet."""
        if self._size:
            return self._size if self._size <= len(self._rest) else 0
        at = self._rest.find(BLANK)
        return 0 if at < 0 else at + len(BLANK)

    def _done_to(self, unit: bytes) -> bytes:
        number = self._next
        self._next += 1
        if number == self._number:
            self._unit = unit
            return b""
        held, self._unit = self._unit, None
        return unit if held is None else self._operated(held, unit)

    def _operated(self, unit: bytes, following: bytes) -> bytes:
        """Operate; two that are the same, or one with none behind it, cannot be swapped."""
        come = self._operation(unit, following)
        self.done = come != unit + following
        return come


class FrameUnits(Units):
    """Does something to one frame of a WebSocket, on either way."""

    def _first_end(self) -> int:
        return frame_end(self._rest)


class MessageUnits(Units):
    """Does something to one message of gRPC."""

    def _first_end(self) -> int:
        end = 5 + int.from_bytes(self._rest[1:5], "big")
        return end if len(self._rest) >= end else 0


def frame_end(data: bytes) -> int:
    """Return where the frame ends with which `data` begins, 0 if it is not whole (RFC 6455, 5.2)."""
    at, length = 2, data[1] & _LENGTH if len(data) > 1 else 0
    if length > 125:  # noqa: PLR2004
        at += 2 if length == 126 else 8  # noqa: PLR2004
        length = int.from_bytes(data[2:at], "big")
    at += 4 if len(data) > 1 and data[1] & _MASK else 0
    return at + length if len(data) >= at + length else 0


class Frames:
    """Counts the frames that go one way."""

    def __init__(self) -> None:
        """Begin with none."""
        self.whole = 0
        self.closed = False  # one of them was a close frame
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        self._rest += data
        while end := frame_end(self._rest):
            self.whole += 1
            self.closed = self.closed or self._rest[0] & _OPCODE == _CLOSE
            self._rest = self._rest[end:]
