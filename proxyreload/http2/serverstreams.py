"""A server's end of a connection with many streams (RFC 9113)."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from proxyreload.http2 import frames
from proxyreload.http2.frames import PREFACE, Frame, WrongFrames
from proxyreload.http2.heard import Request
from proxyreload.http2.hpack import LIST_LIMIT, Field, encoded
from proxyreload.http2.peer import Streams
from proxyreload.http2.wellformed import request_length

#: So many streams may be open at once; more are refused.
STREAMS_AT_ONCE = 250
#: So many more streams may be reset by the client than have been answered: what a client gives up is not work for ever.
_RESETS = 1000
#: What may come on a connection before more is asked for.
_WINDOW = 2**24


class ServerStreams(Streams):
    """Hears requests, and answers them.

    After `goaway` requests on later streams are not told any more; those before it are answered as ever.
    """

    SETTINGS: ClassVar[Mapping[int, int]] = {
        frames.MAX_CONCURRENT_STREAMS: STREAMS_AT_ONCE,
        frames.INITIAL_WINDOW_SIZE: 2**20,
        frames.MAX_HEADER_LIST_SIZE: LIST_LIMIT,
    }

    def __init__(self) -> None:
        """Begin with a connection that has not said what it speaks."""
        super().__init__()
        self.last = 0  #: the last stream that the client has opened
        self._unsaid = PREFACE  # what is missing of it
        self._last_wanted = frames.TWO_GIB
        self._resets = 0

    def begin(self) -> bytes:
        """Return what a server says first."""
        return frames.settings(self.SETTINGS) + frames.window_update(0, _WINDOW - frames.FIRST_WINDOW)

    @property
    def unanswered(self) -> int:
        """How many streams have not been answered to their end."""
        return len(self._out.windows)

    def is_open(self, stream: int) -> bool:
        """Whether something can still be sent on a stream."""
        return stream in self._out.windows

    def head(self, stream: int, fields: Iterable[tuple[bytes, bytes]], *, end: bool) -> bytes:
        """Return an answer's header block, ``:status`` first and names in lower case; nothing if the stream is over."""
        return self.head_block(stream, encoded(fields), end=end)

    def head_block(self, stream: int, block: bytes, *, end: bool) -> bytes:
        """Return it where it is encoded already."""
        if stream not in self._out.windows:
            return b""
        if end:
            self._answered(stream)
        return frames.headers(stream, block, end=end)

    def data(self, stream: int, payload: bytes, *, end: bool) -> bytes:
        """Return what may be sent of a body now; the rest comes out of `answers` as the client lets it."""
        sent = super().data(stream, payload, end=end)
        if end:
            self._resets = max(0, self._resets - 1)
        return sent

    def trailers(self, stream: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return fields behind a body, which end the answer; they come out of `answers` where the body does."""
        self._resets = max(0, self._resets - 1)
        return self._out.send_trailers(stream, frames.headers(stream, encoded(fields), end=True))

    def goaway(self, last: int, code: int, debug: bytes = b"") -> bytes:
        """Say that streams above `last` are not acted on."""
        self._last_wanted = min(last, self._last_wanted)
        return frames.goaway(last, code, debug)

    def _answered(self, stream: int) -> None:
        self._out.close(stream)
        self._resets = max(0, self._resets - 1)

    def _frames(self, data: bytes) -> list[Frame]:
        """Take the preface off what comes first."""
        if self._unsaid:
            said = self._unsaid[: len(data)]
            if data[: len(said)] != said:
                raise WrongFrames(frames.PROTOCOL_ERROR, "no preface of HTTP/2")
            self._unsaid, data = self._unsaid[len(said) :], data[len(said) :]
        return self._reader.take(data)

    @property
    def _last_of_peer(self) -> int:
        return self.last

    def _was_opened(self, stream: int) -> bool:
        return stream & 1 == 1 and stream <= self.last

    def _take_block(self, stream: int, fields: list[Field], *, end: bool) -> None:
        if stream <= self.last or not stream & 1:
            self._stray(stream, "HEADERS")
            return
        self.last = stream
        if stream > self._last_wanted:
            self._ignore(stream, end=end)
            return
        self._in[stream] = 0  # so that it can be reset
        length = request_length(fields)
        if len(self._out.windows) >= STREAMS_AT_ONCE:
            self._answers.append(self.reset(stream, frames.REFUSED_STREAM))
            return
        if end:
            del self._in[stream]
        else:
            self._in[stream] = length
        self._out.open(stream)
        self._events.append(Request(stream, fields, end))

    def _ignore(self, stream: int, *, end: bool) -> None:
        """Take no notice of a stream, nor of what comes on it: GOAWAY has said so."""
        if not end:
            self._in[stream] = 0
            self.reset(stream, frames.REFUSED_STREAM)

    def _ended_by_peer(self) -> None:
        self._resets += 1
        if self._resets > _RESETS:
            raise WrongFrames(frames.ENHANCE_YOUR_CALM, f"more than {_RESETS} streams that were reset unanswered")
