"""What may be sent of bodies, and what has to wait (RFC 9113, 5.2 and 6.9)."""

import attrs

from proxyreload.http2.frames import DATA, END_STREAM, FIRST_WINDOW, FRAME_SIZE, TWO_GIB, frame


@attrs.define(eq=False)
class _Held:
    """What waits on one stream for its window."""

    data: bytearray = attrs.field(factory=bytearray)
    end: bool = False
    trailers: bytes = b""  #: a frame behind the data, which ends the stream


@attrs.define(eq=False)
class Outflow:
    """The peer's windows, of the connection and of each stream on which there is something to send.

    Frames are never longer than any peer must take, whatever else it offers.
    """

    windows: dict[int, int] = attrs.field(factory=dict)  #: of each of those streams
    _window: int = FIRST_WINDOW  # of the connection
    _initial: int = FIRST_WINDOW
    _held: dict[int, _Held] = attrs.field(factory=dict)

    def open(self, stream: int) -> None:
        """Begin with a stream."""
        self.windows[stream] = self._initial

    def close(self, stream: int) -> bool:
        """Send nothing more on a stream; returns whether there was something to send."""
        self._held.pop(stream, None)
        return self.windows.pop(stream, None) is not None

    def unsent(self, stream: int) -> int:
        """Return how many bytes wait on a stream."""
        held = self._held.get(stream)
        return 0 if held is None else len(held.data)

    def waits(self, stream: int) -> bool:
        """Whether anything waits on it, be it only its end."""
        return stream in self._held

    def send(self, stream: int, payload: bytes, *, end: bool) -> bytes:
        """Return what may be sent of a body now; the rest waits. Nothing is sent where a stream is over."""
        window = self.windows.get(stream)
        if window is None or not (payload or end):
            return b""
        size = len(payload)
        if stream in self._held or size > window or size > self._window or size > FRAME_SIZE:
            held = self._held.setdefault(stream, _Held())
            held.data += payload
            held.end = end
            return b"".join(self._release(stream, held))
        self._window -= size
        if end:
            del self.windows[stream]
        else:
            self.windows[stream] = window - size
        return frame(DATA, int(end), stream, payload)

    def send_trailers(self, stream: int, trailers: bytes) -> bytes:
        """Return the frame that ends a stream, once all before it has been sent: then `released` returns it."""
        held = self._held.get(stream)
        if held is not None:
            held.trailers, held.end = trailers, True
            return b""
        return trailers if self.windows.pop(stream, None) is not None else b""

    def released(self) -> bytes:
        """Return what windows that have been opened let through."""
        frames: list[bytes] = []
        for stream, held in tuple(self._held.items()):
            if self._window <= 0 and held.data:
                continue
            frames += self._release(stream, held)
        return b"".join(frames)

    def credit(self, stream: int, increment: int) -> bool:
        """Open a window, the connection's for 0, which may not be opened too far; returns whether it was not."""
        if not stream:
            self._window += increment
            return self._window < TWO_GIB
        if stream in self.windows:
            self.windows[stream] += increment
            return self.windows[stream] < TWO_GIB
        return True

    def begin_with(self, initial: int) -> bool:
        """Take another initial window, which moves those of all streams; returns whether none is opened too far."""
        moved, self._initial = initial - self._initial, initial
        for stream in self.windows:
            self.windows[stream] += moved
        return all(window < TWO_GIB for window in self.windows.values())

    def _release(self, stream: int, held: _Held) -> list[bytes]:
        """Return the frames that a stream may send of what it holds."""
        frames: list[bytes] = []
        ends = held.end and not held.trailers
        while held.data:
            size = min(len(held.data), self._window, self.windows[stream], FRAME_SIZE)
            if size <= 0:
                return frames
            payload = bytes(held.data[:size])
            del held.data[:size]
            self._window -= size
            self.windows[stream] -= size
            frames.append(frame(DATA, END_STREAM if ends and not held.data else 0, stream, payload))
        if ends and not frames:
            frames.append(frame(DATA, END_STREAM, stream, b""))
        if held.trailers:
            frames.append(held.trailers)
        del self._held[stream]
        if held.end:
            del self.windows[stream]
        return frames
