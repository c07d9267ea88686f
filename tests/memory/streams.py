"""A front that speaks HTTP/2, in memory: every frame is in the test's hands."""

from collections.abc import Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client.http2 import HTTP2Connection
from proxyreload.client.interfaces import IConnection, IConnectionOwner, IConnector
from proxyreload.client.multiplexed import Multiplexed
from proxyreload.client.request import HTTP2Request
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Event, Exchange, FrontClosed, WentAway
from proxyreload.http2 import frames, hpack
from proxyreload.http2.frames import PREFACE, FrameReader
from proxyreload.system.clock import ns
from proxyreload.traffic.get import from_numbered_backend, numbered_body
from proxyreload.traffic.identity import KIND_FIELD
from proxyreload.traffic.interfaces import ClientEnd
from proxyreload.traffic.registry import field_of, kind_named, values_of

from .clocks import Time
from .connections import MemoryTransport
from .happened import record

REQUEST = HTTP2Request.of("GET", "http://front.test/", [])


@attrs.define(eq=False)
class StreamWire:
    """One connection as the proxy sees it."""

    connection: HTTP2Connection
    transport: MemoryTransport
    _read: int = 0
    _reader: FrameReader = attrs.field(factory=FrameReader)
    _decode: Any = attrs.field(factory=lambda: hpack.FieldDecoder().decode)
    sent: list[frames.Frame] = attrs.field(factory=list)  #: by the client
    ids: dict[int, bytes] = attrs.field(factory=dict)  #: of the requests, by stream, in their order

    def look(self) -> "StreamWire":
        """Take what has been written to it."""
        written = self.transport.value()[self._read :]
        if not self._read and written:
            assert written.startswith(PREFACE)
            written = written[len(PREFACE) :]
        self._read = len(self.transport.value())
        for frame in self._reader.take(written):
            self.sent.append(frame)
            kind, _flags, stream, payload = frame
            if kind == frames.HEADERS:
                fields = {name: value for name, value, _never in self._decode(payload)}
                self.ids[stream] = fields[b"proxyreload-id"]
        return self

    @property
    def open(self) -> list[int]:
        """The streams that were opened, in their order."""
        return list(self.look().ids)

    def says(self, data: bytes) -> None:
        """Send bytes to the client."""
        if not self.transport.disconnecting:
            self.connection.dataReceived(data)

    def greets(self, **settings: int) -> None:
        """Send SETTINGS, by their names in lower case."""
        self.says(frames.settings({getattr(frames, name.upper()): value for name, value in settings.items()}))

    def answer(self, stream: int, instance: bytes = b"0", body: bytes | None = None, status: bytes = b"200") -> bytes:
        """Return the frames of the answer that a backend owes to a stream."""
        request_id = self.look().ids[stream]
        fields = [
            *((b":status", status), (b"backend-id", instance), (b"source-port", b"50000")),
            (b"proxyreload-id", request_id),
        ]
        body = numbered_body(instance, request_id) if body is None else body
        head = frames.headers(stream, hpack.encoded(fields), end=False)
        return head + frames.frame(frames.DATA, frames.END_STREAM, stream, body)

    def answers(self, *streams: int, **how: Any) -> None:
        """Answer streams, in one read."""
        self.says(b"".join(self.answer(stream, **how) for stream in streams))

    def closes(self) -> None:
        """Close in order (FIN)."""
        self.connection.connectionLost(Failure(ConnectionDone()))

    def resets(self) -> None:
        """Reset (RST)."""
        self.connection.connectionLost(Failure(ConnectionLost("Connection reset by peer")))


@implementer(IConnector)
@attrs.define(eq=False)
class StreamFront:
    """A proxy's front in memory."""

    time: Time
    refuses: Exception | None = None
    greeting: bool = True  #: whether it sends SETTINGS itself
    wires: list[StreamWire] = attrs.field(factory=list)
    attempts: int = 0

    def connect(self, owner: IConnectionOwner, timeout_s: float) -> Deferred[IConnection]:
        self.attempts += 1
        if self.refuses is not None:
            return fail(self.refuses)
        transport = MemoryTransport(40000 + len(self.wires))
        connection = HTTP2Connection(owner, self.time.ns, self.time.ns())
        connection.makeConnection(transport)
        self.wires.append(StreamWire(connection, transport))
        if self.greeting:
            self.wire.greets()
        return succeed(connection)

    @property
    def wire(self) -> StreamWire:
        """The latest connection."""
        return self.wires[-1]


def streaming(streams: int = 3, rest_s: tuple[float, float] | None = (1.0, 1.0)) -> ClientEnd:
    """Return a client's end with several exchanges at once."""
    end = ClientEnd()
    end.streams, end.rest_s = streams, rest_s
    return end


def asking(name: str, given: Mapping[str, object]) -> tuple[ClientEnd, HTTP2Request]:
    """Return a client's end of a kind with these settings, and what it sends, as a run makes it."""
    kind = kind_named(name)
    values = values_of(kind, given.items())
    end, field = kind.client(values), field_of(kind, values)
    told = [(KIND_FIELD, field)] if field else []
    return end, HTTP2Request.of(end.method, "http://front.test/", [*end.fields, *told], end.path)


@attrs.define(eq=False)
class StreamBench:
    """One client with several exchanges at once before a front in memory, and all it published."""

    end: ClientEnd = attrs.field(factory=streaming)
    prepared: HTTP2Request = REQUEST
    open_loop: bool = False
    kind: type[Multiplexed] = Multiplexed
    more: dict[str, Any] = attrs.field(factory=dict)
    timeout_s: float = 4.0
    time: Time = attrs.field(factory=Time)
    bus: EventBus = attrs.field(factory=EventBus)
    front: StreamFront = attrs.field(init=False)
    events: list[Event] = attrs.field(init=False)
    client: Multiplexed = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.front = StreamFront(self.time)
        self.events = record(self.bus)
        self.client = self.kind(
            number=3,
            reactor=self.time,
            connector=self.front,
            prepared=self.prepared,
            expectation=from_numbered_backend,
            sink=self.bus,
            clock_ns=self.time.ns,
            timeout_ns=ns(self.timeout_s),
            open_loop=self.open_loop,
            end=self.end,
            **self.more,
        )

    def of(self, kind: type[Any]) -> list[Any]:
        """Return what was published of one kind."""
        self.bus.flush()
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def exchanges(self) -> list[Exchange]:
        """Those published so far."""
        return self.of(Exchange)

    @property
    def failures(self) -> list[str]:
        """The failures of the exchanges, empty for successes."""
        return [exchange.failure for exchange in self.exchanges]

    @property
    def endings(self) -> list[str]:
        """How its connections ended."""
        return [event.ending.value for event in self.of(FrontClosed)]

    @property
    def partings(self) -> list[WentAway]:
        """The GOAWAYs."""
        return self.of(WentAway)
