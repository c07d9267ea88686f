"""HTTP/2 before the control proxy: each stream passes as a request of HTTP/1.1 does."""

from typing import TYPE_CHECKING

import httptools
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from proxyreload.http2.frames import INTERNAL_ERROR, NO_ERROR, PREFACE, REFUSED_STREAM
from proxyreload.http2.heard import Data, Request, Reset
from proxyreload.http2.serverstreams import ServerStreams
from proxyreload.traffic.identity import ID_FIELD, client_of
from proxyreload_control_messages import Messages, field_value

if TYPE_CHECKING:
    from proxyreload_control_proxy import Passing, Runtime

#: Of the graceful pair the first GOAWAY has this last stream (RFC 9113, 6.8).
LARGEST = 2**31 - 1
_ID_FIELD = ID_FIELD.lower()
#: What an answer over HTTP/2 has not (RFC 9113, 8.2.2).
_OF_CONNECTIONS = (b"connection", b"keep-alive", b"transfer-encoding")


def begins(data: bytes) -> bool:
    """Whether a connection that begins so speaks HTTP/2."""
    return data.startswith(PREFACE[:3])


class StreamsFront(Protocol):
    """One client's HTTP/2 connection."""

    def __init__(self, proxy: "Runtime") -> None:
        self.proxy = proxy
        self.client = b""
        self.carried = 0
        self.finished = False  # a GOAWAY was sent: the client opens another
        self.streams: dict[int, Stream] = {}
        self.promised = LARGEST  # by the last GOAWAY
        self._http2 = ServerStreams()

    def connectionMade(self) -> None:
        """Be known to the proxy, and begin."""
        self.proxy.fronts.add(self)
        self.send(self._http2.begin())

    def dataReceived(self, data: bytes) -> None:
        """Take what has come."""
        before = self._http2.last
        for event in self._http2.received(data):
            if isinstance(event, Request):
                self._asked(event)
            elif isinstance(event, Data):
                self._sent(event)
            elif isinstance(event, Reset):
                stream = self.streams.pop(event.stream, None)
                if stream is not None and stream.passing is not None:
                    stream.passing.left()
        if self.promised < LARGEST:
            # What the client had sent before it read that is not told of here; the client knows it by its number.
            since = max(before, self.promised)
            for _stream in range(since + (2 if since & 1 else 1), self._http2.last + 1, 2):
                self.proxy.turned_away(self.client)
        self.send(self._http2.answers())

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Learn that the client is gone."""
        self.gone()

    def gone(self) -> None:
        """Be known no more, and give up what is under way."""
        self.proxy.fronts.discard(self)
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            if stream.passing is not None:
                stream.passing.left()

    def send(self, data: bytes) -> None:
        """Write to the client."""
        if data and self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        """Close, behind what was written."""
        if self.transport is not None:
            self.transport.loseConnection()

    @property
    def rests(self) -> bool:
        """It is in no volley of others."""
        return False

    @property
    def newest(self) -> int:
        """The last stream that was opened."""
        return self._http2.last

    # What is said on it.

    def head(self, stream: int, fields: list[tuple[bytes, bytes]], *, end: bool) -> None:
        """Begin an answer, which may be all of it."""
        if end:
            self.streams.pop(stream, None)
        self.send(self._http2.head(stream, fields, end=end))

    def data(self, stream: int, data: bytes, *, end: bool) -> None:
        """Go on with it."""
        if end:
            self.streams.pop(stream, None)
        self.send(self._http2.data(stream, data, end=end))

    def trailers(self, stream: int, fields: list[tuple[bytes, bytes]]) -> None:
        """End it, behind its body."""
        self.streams.pop(stream, None)
        self.send(self._http2.trailers(stream, fields))

    def reset(self, stream: int, code: int) -> None:
        """End a stream."""
        self.streams.pop(stream, None)
        self.send(self._http2.reset(stream, code))

    def go_away(self, last: int) -> None:
        """Promise to answer the streams up to this one, and no other."""
        self.finished, self.promised = True, min(self.promised, last)
        self.send(self._http2.goaway(last, NO_ERROR))

    def _asked(self, event: Request) -> None:
        fields = {name: value for name, value, _never in event.fields}
        request_id = fields.get(_ID_FIELD, b"")
        self.client = client_of(request_id)
        self.carried += 1
        stream = self.streams[event.stream] = Stream(self, event.stream, request_id)
        others = [(name, value) for name, value in fields.items() if not name.startswith(b":")]
        lines = [
            b"%b %b HTTP/1.1" % (fields[b":method"], fields[b":path"]),
            b"Host: %b" % fields.get(b":authority", b""),
            *(b"%b: %b" % field for field in others),
            *([] if event.end else [b"Transfer-Encoding: chunked"]),
        ]
        stream.passing = self.proxy.asked(stream, b"\r\n".join(lines) + b"\r\n\r\n", chunked=not event.end)
        if event.end and stream.passing is not None:
            stream.passing.end_came()

    def _sent(self, event: Data) -> None:
        stream = self.streams.get(event.stream)
        passing = None if stream is None else stream.passing
        if passing is not None and event.data:
            passing.piece_came(event.data)
        if passing is not None and event.end:
            passing.end_came()


class Stream:
    """One stream, as a request's `Passing` has its client: what is written is an answer of HTTP/1.1."""

    finished = False

    def __init__(self, connection: StreamsFront, number: int, request_id: bytes) -> None:
        self.connection, self.number, self.request_id = connection, number, request_id
        self.proxy = connection.proxy
        self.client = connection.client
        self.carried = connection.carried
        self.passing: Passing | None = None
        self.denied = False  # the client was told that it is not processed
        self.done = False  # what was to be done to it
        self._over = False  # the answer's head is all of it
        self._answer = Messages(self, httptools.HttpResponseParser)

    def write(self, data: bytes) -> None:
        """Pass an answer on."""
        if not self.denied:
            self._answer.feed(data)

    def close(self) -> None:
        """Break off."""
        self.connection.reset(self.number, INTERNAL_ERROR)

    finish = reset = close

    def refused_to_switch(self) -> None:
        """Nothing switches over HTTP/2."""

    def refuse(self) -> None:
        """Say that it is not processed."""
        self.connection.reset(self.number, REFUSED_STREAM)

    # The answer's parts.

    def head_came(self, head: bytes, *, chunked: bool) -> None:  # noqa: ARG002
        """Pass it on."""
        first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
        fields = [(b":status", first.split(b" ")[1])]
        for line in lines:
            name, _colon, value = line.partition(b":")
            if name.lower() not in _OF_CONNECTIONS:
                fields.append((name.lower(), value.strip()))
        self._over = field_value(head, b"Content-Length") == b"0"
        self.connection.head(self.number, fields, end=self._over)

    def piece_came(self, data: bytes) -> None:
        """Pass it on."""
        self.connection.data(self.number, data, end=False)

    def end_came(self) -> None:
        """Pass it on, with what trailers there are."""
        trailers = [(name.lower(), value) for name, value in self._answer.trailers]
        if trailers:
            self.connection.trailers(self.number, trailers)
        elif not self._over:
            self.connection.data(self.number, b"", end=True)
