"""The client's end of a connection with many streams (RFC 9113)."""

from collections.abc import Mapping
from typing import ClassVar

from proxyreload.http2 import frames
from proxyreload.http2.heard import Head
from proxyreload.http2.hpack import LIST_LIMIT, Field
from proxyreload.http2.peer import AWAITED, Streams
from proxyreload.http2.wellformed import INTERIM, NotWellFormed, answer_length

#: What may come on a connection before more is asked for.
_WINDOW = 2**30


class ClientStreams(Streams):
    """Opens streams, and hears what is answered, also behind a GOAWAY: it is for the client to open no more.

    Nothing is concluded from a GOAWAY: streams above its last id stay as they are, and are told of if they are answered
    all the same; who takes the peer at its word ends them with `reset`, or forgets them.
    """

    #: Of a stream, more than any of our bodies has.
    SETTINGS: ClassVar[Mapping[int, int]] = {
        frames.ENABLE_PUSH: 0,
        frames.INITIAL_WINDOW_SIZE: 2**24,
        frames.MAX_HEADER_LIST_SIZE: LIST_LIMIT,
    }

    def __init__(self) -> None:
        """Begin with the first stream."""
        super().__init__()
        self._next = 1

    def begin(self) -> bytes:
        """Return what a client says first."""
        window = frames.window_update(0, _WINDOW - frames.FIRST_WINDOW)
        return frames.PREFACE + frames.settings(self.SETTINGS) + window

    @property
    def exhausted(self) -> bool:
        """Whether there are no more ids for streams."""
        return self._next >= frames.TWO_GIB

    @property
    def awaited(self) -> int:
        """How many streams have not been answered to their end."""
        return len(self._in)

    def open(self, block: bytes, *, end: bool) -> tuple[int, bytes]:
        """Open a stream with this header block; returns its id, and what is to be written.

        `end`: nothing follows. The caller minds `max_streams` and `exhausted`.
        """
        stream = self._next
        self._next = stream + 2
        self._in[stream] = AWAITED
        if not end:
            self._out.open(stream)
        return stream, frames.headers(stream, block, end=end)

    def _was_opened(self, stream: int) -> bool:
        return stream & 1 == 1 and stream < self._next

    def _take_block(self, stream: int, fields: list[Field], *, end: bool) -> None:
        if stream not in self._in:
            self._stray(stream, "HEADERS")
            return
        length = answer_length(fields)
        if fields[0][1].startswith(INTERIM):
            if end or fields[0][1] == b"101":
                msg = f"status {fields[0][1].decode('ascii')} as an answer"
                raise NotWellFormed(msg)
            return
        if end:  # an answer to HEAD has a length, and no body
            del self._in[stream]
        else:
            self._in[stream] = length
        self._events.append(Head(stream, fields, end))

    def _set(self, setting: int, value: int) -> None:
        if setting == frames.ENABLE_PUSH and value:
            raise frames.WrongFrames(frames.PROTOCOL_ERROR, "a server that asks for pushes")
        super()._set(setting, value)
