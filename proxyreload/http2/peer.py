"""What both ends of a connection do alike (RFC 9113): settings, windows, header blocks, bodies; and what is wrong."""

from collections.abc import Mapping
from typing import ClassVar, Final

from proxyreload.http2 import frames
from proxyreload.http2.frames import ACK, END_HEADERS, END_STREAM, PADDED, Frame, FrameReader, WrongFrames
from proxyreload.http2.heard import Data, Event, GoAway, Malformed, Reset, Settings, Trailers, Wrong
from proxyreload.http2.hpack import LIST_LIMIT, Field, FieldDecoder, too_long
from proxyreload.http2.outflow import Outflow
from proxyreload.http2.wellformed import UNTOLD, NotWellFormed, look_at_trailers

#: How many streams a peer that has not said so wants at once.
UNLIMITED: Final = 2**32 - 1
#: The window of a connection is opened again by what has come whenever that is so many bytes.
_CREDIT = 2**20
#: A header block has so many pieces at most.
_PIECES = 128
#: So many frames may come that bring no stream any farther, one after the other. Each is answered, or nothing.
_ASIDES = 10_000
#: Of streams that we have ended, so many are remembered: what is on the way on them is nobody's fault.
_LET_GO_KEPT = 1000
#: Of what is said with GOAWAY.
_DEBUG_KEPT = 1000

#: On a stream whose header block has not come.
AWAITED: Final = -2


class Streams:
    """One end of a connection, as bytes: it is given what was read, and returns what happened and what is to be sent.

    `received` tells what has come; whatever it makes necessary, and what could not be sent before, is in `answers`,
    which is to be written after it. A stream error ends a stream (`Malformed`), a connection error all (`Wrong`): then
    nothing more is heard, and `answers` has the GOAWAY that says why. Memory is bounded whatever comes, but for what
    waits to be sent.
    """

    #: What this end says of itself, and how large a stream's window is by it.
    SETTINGS: ClassVar[Mapping[int, int]] = {}

    def __init__(self) -> None:
        """Begin with a connection on which nothing has come."""
        self.max_streams = UNLIMITED  #: how many the peer wants at once
        self._reader = FrameReader()
        self._decode = FieldDecoder().decode
        self._events: list[Event] = []
        self._answers: list[bytes] = []
        #: Streams on which something is to come: the bytes that are missing of a body, or `UNTOLD`, or `AWAITED`.
        self._in: dict[int, int] = {}
        self._out = Outflow()
        self._let_go: dict[int, None] = {}
        self._uncredited = 0  # bytes that have come, on all streams
        self._uncredited_on: dict[int, int] = {}  # on each whose body takes more than a frame
        self._half_window = self.SETTINGS[frames.INITIAL_WINDOW_SIZE] // 2
        self._credited = False
        self._asides = 0
        self._greeted = False
        self._pieces: list[bytes] = []  # of a header block that is not whole
        self._pieces_on, self._pieces_end = 0, False
        self._exceptional = True  # not every frame may come next
        self._over = False
        self._others = {
            frames.PRIORITY: self._take_priority,
            frames.RST_STREAM: self._take_rst_stream,
            frames.SETTINGS: self._take_settings,
            frames.PUSH_PROMISE: self._take_push_promise,
            frames.PING: self._take_ping,
            frames.GOAWAY: self._take_goaway,
            frames.WINDOW_UPDATE: self._take_window_update,
            frames.CONTINUATION: self._take_continuation,
        }

    # What comes.

    def received(self, data: bytes) -> list[Event]:
        """Return what has happened, in order."""
        if self._over:
            return []
        events = self._events = []
        try:
            for kind, flags, stream, payload in self._frames(data):
                if self._exceptional:
                    self._expect(kind, flags, stream)
                if kind == frames.DATA:
                    self._take_data(flags, stream, payload)
                elif kind == frames.HEADERS:
                    self._take_headers(flags, stream, payload)
                else:
                    self._take_other(kind, flags, stream, payload)
            if self._reader.wrong is not None:
                raise self._reader.wrong
        except WrongFrames as wrong:
            self._over = True
            self._answers.append(frames.goaway(self._last_of_peer, wrong.code, wrong.message.encode("utf-8")))
            events.append(Wrong(wrong.code, wrong.message))
        return events

    def answers(self) -> bytes:
        """Return what is to be written now, and has not been returned before."""
        if self._credited:
            self._credited = False
            self._answers.append(self._out.released())
        if not self._answers:
            return b""
        answers = b"".join(self._answers)
        self._answers.clear()
        return answers

    # What is sent.

    def data(self, stream: int, payload: bytes, *, end: bool) -> bytes:
        """Return what may be sent of a body now; the rest comes out of `answers` as the peer lets it."""
        return self._out.send(stream, payload, end=end)

    def waits(self, stream: int) -> bool:
        """Whether some of what was to be sent on a stream, be it only its end, is still to come out of `answers`."""
        return self._out.waits(stream)

    def reset(self, stream: int, code: int) -> bytes:
        """End a stream, if it has not ended, and return what says so; what still comes on it is not told."""
        if not self._forget(stream):
            return b""
        if len(self._let_go) >= _LET_GO_KEPT:
            del self._let_go[next(iter(self._let_go))]
        self._let_go[stream] = None
        return frames.rst_stream(stream, code)

    # What the ends differ in.

    def _frames(self, data: bytes) -> list[Frame]:
        return self._reader.take(data)

    @property
    def _last_of_peer(self) -> int:
        """The last stream that the peer has opened."""
        return 0

    def _was_opened(self, stream: int) -> bool:
        """Whether a stream is, or was, one."""
        raise NotImplementedError

    def _take_block(self, stream: int, fields: list[Field], *, end: bool) -> None:
        """Take the whole header block of what is no stream's trailers."""
        raise NotImplementedError

    def _ended_by_peer(self) -> None:
        """Take notice of a stream that the peer has reset."""

    # Frame by frame.

    def _expect(self, kind: int, flags: int, stream: int) -> None:
        """Look whether this frame may come: SETTINGS at first, and behind a piece of a header block the next."""
        if not self._greeted:
            if kind != frames.SETTINGS or flags & ACK:
                raise WrongFrames(frames.PROTOCOL_ERROR, "something else than SETTINGS at first")
            self._greeted = True
            self._exceptional = False
        elif kind != frames.CONTINUATION or stream != self._pieces_on:
            raise WrongFrames(frames.PROTOCOL_ERROR, "something else in the middle of a header block")

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        self._uncredited += size
        if self._uncredited >= _CREDIT:
            self._answers.append(frames.window_update(0, self._uncredited))
            self._uncredited = 0
        left = self._in.get(stream)
        if left is None:
            self._stray(stream, "DATA")
            return
        if flags & PADDED:
            payload = frames.unpadded(flags, payload)
        end = bool(flags & END_STREAM)
        if left != UNTOLD and not self._fits(stream, left, len(payload), end=end):
            return
        if end:
            del self._in[stream]
            if self._uncredited_on:
                self._uncredited_on.pop(stream, None)
        elif size:
            self._credit(stream, size)
        if payload:
            self._asides = 0
        elif not end:
            self._count_aside()
            return
        self._events.append(Data(stream, payload, end))

    def _fits(self, stream: int, left: int, size: int, *, end: bool) -> bool:
        """Whether this much of a body may come, of which so much is missing."""
        if left == AWAITED:
            self._malformed(stream, "a body before its head")
        elif size > left:
            self._malformed(stream, "a body longer than its content-length")
        elif end and size < left:
            self._malformed(stream, f"a body that ends {left - size} bytes before its content-length", short=True)
        else:
            self._in[stream] = left - size
            return True
        return False

    def _credit(self, stream: int, size: int) -> None:
        """Let as much come again on a stream, once half of its window is used."""
        come = self._uncredited_on.get(stream, 0) + size
        if come >= self._half_window:
            self._answers.append(frames.window_update(stream, come))
            come = 0
        self._uncredited_on[stream] = come

    def _take_headers(self, flags: int, stream: int, payload: bytes) -> None:
        block = frames.block_of(flags, stream, payload)
        if flags & END_HEADERS:
            self._take_whole_block(stream, block, end=bool(flags & END_STREAM))
            return
        self._pieces = [block]
        self._pieces_on, self._pieces_end = stream, bool(flags & END_STREAM)
        self._exceptional = True

    def _take_continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if not self._pieces:
            raise WrongFrames(frames.PROTOCOL_ERROR, "a piece of no header block")
        self._pieces.append(payload)
        if len(self._pieces) > _PIECES or sum(map(len, self._pieces)) > LIST_LIMIT:
            raise too_long()
        if flags & END_HEADERS:
            block = b"".join(self._pieces)
            self._pieces = []
            self._exceptional = False
            self._take_whole_block(stream, block, end=self._pieces_end)

    def _take_whole_block(self, stream: int, block: bytes, *, end: bool) -> None:
        """Decode a header block, whosever it is: the table must see each."""
        self._asides = 0
        fields = self._decode(block)
        left = self._in.get(stream, AWAITED)
        try:
            if left == AWAITED:
                self._take_block(stream, fields, end=end)
            else:
                self._take_trailers(stream, fields, left, end=end)
        except NotWellFormed as error:
            self._malformed(stream, str(error))

    def _take_trailers(self, stream: int, fields: list[Field], left: int, *, end: bool) -> None:
        if not end:
            msg = "a second head"
            raise NotWellFormed(msg)
        look_at_trailers(fields)
        if left > 0:
            self._malformed(stream, f"a body that ends {left} bytes before its content-length", short=True)
            return
        del self._in[stream]
        self._uncredited_on.pop(stream, None)
        self._events.append(Trailers(stream, fields))

    def _take_other(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Take a frame that brings no message any farther; of one that nobody knows only the number counts."""
        take = self._others.get(kind)
        if kind != frames.WINDOW_UPDATE:  # a long body has one for each of its pieces
            self._count_aside()
        if take is not None:
            take(flags, stream, payload)

    def _take_priority(self, _flags: int, stream: int, payload: bytes) -> None:
        if not stream:
            raise WrongFrames(frames.PROTOCOL_ERROR, "PRIORITY of no stream")
        if len(payload) != 5:  # noqa: PLR2004
            raise WrongFrames(frames.FRAME_SIZE_ERROR, f"PRIORITY of {len(payload)} bytes")

    def _take_rst_stream(self, _flags: int, stream: int, payload: bytes) -> None:
        code = frames.number(payload)
        if not self._was_opened(stream):
            raise WrongFrames(frames.PROTOCOL_ERROR, f"RST_STREAM of stream {stream}, which nobody opened")
        self._let_go.pop(stream, None)
        if self._forget(stream):
            self._events.append(Reset(stream, code))
            self._ended_by_peer()

    def _take_settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise WrongFrames(frames.PROTOCOL_ERROR, f"SETTINGS of stream {stream}")
        if flags & ACK:
            if payload:
                raise WrongFrames(frames.FRAME_SIZE_ERROR, "SETTINGS that acknowledge and say something")
            return
        for setting, value in frames.settings_of(payload).items():
            self._set(setting, value)
        self._answers.append(frames.SETTINGS_ACK)
        self._events.append(Settings(self.max_streams))

    def _set(self, setting: int, value: int) -> None:
        """Take one setting of the peer; those that are not for this end, or that nobody knows, say nothing."""
        if setting == frames.MAX_CONCURRENT_STREAMS:
            self.max_streams = value
        elif setting == frames.INITIAL_WINDOW_SIZE:
            if value >= frames.TWO_GIB or not self._out.begin_with(value):
                raise WrongFrames(frames.FLOW_CONTROL_ERROR, f"a window of {value} bytes")
            self._credited = True
        elif setting == frames.MAX_FRAME_SIZE and not frames.FRAME_SIZE <= value <= frames.FRAME_SIZE_MOST:
            raise WrongFrames(frames.PROTOCOL_ERROR, f"frames of {value} bytes")
        elif setting == frames.ENABLE_PUSH and value > 1:
            raise WrongFrames(frames.PROTOCOL_ERROR, f"ENABLE_PUSH {value}")

    def _take_push_promise(self, _flags: int, _stream: int, _payload: bytes) -> None:
        raise WrongFrames(frames.PROTOCOL_ERROR, "PUSH_PROMISE, which was forbidden")

    def _take_ping(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise WrongFrames(frames.PROTOCOL_ERROR, f"PING of stream {stream}")
        if len(payload) != 8:  # noqa: PLR2004
            raise WrongFrames(frames.FRAME_SIZE_ERROR, f"PING of {len(payload)} bytes")
        if not flags & ACK:
            self._answers.append(frames.frame(frames.PING, ACK, 0, payload))

    def _take_goaway(self, _flags: int, stream: int, payload: bytes) -> None:
        last, code = frames.two_numbers(payload)
        if stream:
            raise WrongFrames(frames.PROTOCOL_ERROR, f"GOAWAY of stream {stream}")
        self._events.append(GoAway(last, code, payload[8 : 8 + _DEBUG_KEPT]))

    def _take_window_update(self, _flags: int, stream: int, payload: bytes) -> None:
        increment = frames.number(payload) & (frames.TWO_GIB - 1)
        if stream and not self._was_opened(stream):
            raise WrongFrames(frames.PROTOCOL_ERROR, f"WINDOW_UPDATE of stream {stream}, which nobody opened")
        self._credited = True
        if increment and self._out.credit(stream, increment):
            return
        code = frames.FLOW_CONTROL_ERROR if increment else frames.PROTOCOL_ERROR
        message = "a window opened too far" if increment else "a window opened by nothing"
        if not stream:
            raise WrongFrames(code, message)
        self._malformed(stream, message, code)

    # Of one stream.

    def _stray(self, stream: int, what: str) -> None:
        """Take what came on a stream on which nothing is to come; it is in order where we have ended it."""
        if stream in self._let_go:
            return
        if self._was_opened(stream):
            raise WrongFrames(frames.STREAM_CLOSED, f"{what} on stream {stream}, which has ended")
        raise WrongFrames(frames.PROTOCOL_ERROR, f"{what} on stream {stream}, which nobody opened")

    def _malformed(self, stream: int, message: str, code: int = frames.PROTOCOL_ERROR, *, short: bool = False) -> None:
        """End a stream for what came on it, if it has not ended."""
        said = self.reset(stream, code)
        if said:
            self._answers.append(said)
            self._events.append(Malformed(stream, message, short))

    def _forget(self, stream: int) -> bool:
        """Let a stream be over in both directions; returns whether it was not."""
        self._uncredited_on.pop(stream, None)
        came = self._in.pop(stream, None) is not None
        return self._out.close(stream) or came

    def _count_aside(self) -> None:
        self._asides += 1
        if self._asides > _ASIDES:
            raise WrongFrames(frames.ENHANCE_YOUR_CALM, f"more than {_ASIDES} frames that bring nothing")
