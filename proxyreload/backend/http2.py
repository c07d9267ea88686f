"""Carries a backend's resource over HTTP/2, with many requests at once on a connection."""

import time
from email.utils import formatdate
from functools import partial
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from proxyreload.backend.connection import SocketConnection
from proxyreload.backend.replying import Replying
from proxyreload.backend.served import BackendSite
from proxyreload.history.events import Arrival
from proxyreload.http2.frames import NO_ERROR
from proxyreload.http2.heard import Data, GoAway, Malformed, Request, Reset, Settings, Trailers, Wrong
from proxyreload.http2.hpack import encoded
from proxyreload.http2.serverstreams import ServerStreams
from proxyreload.traffic.content import Digest
from proxyreload.traffic.get import Answering
from proxyreload.traffic.identity import ID_FIELD, ID_LIMIT, KIND_FIELD, is_under_test
from proxyreload.traffic.interfaces import BackendEnd, Received, Reply
from proxyreload.traffic.registry import FIELD_LIMIT, backend_end

_ID, _KIND, _METHOD, _PATH, _TYPE = ID_FIELD.lower(), KIND_FIELD.lower(), b":method", b":path", b"content-type"
_READ = frozenset({_ID, _KIND, _METHOD, _PATH, _TYPE})
#: Requests of this type are gRPC's also where no kind is named: other people's clients ask so.
_GRPC_TYPE, _GRPC = b"application/grpc", b"grpc"
#: What is kept of the body of a request that says by its path what it wants.
_MESSAGE_KEPT = 64 * 1024
_PATH_KEPT = 200
#: No id has this byte, nor has anything else of a header block that is made here.
_PLACEHOLDER = b"\xff"
#: While so many bytes of answers wait for the kernel nothing is read: each that is read may bring another.
_WAITING_MOST = 2**20
#: How long a proxy that has been sent away may take to close as well. If this end closed both ways at once, whatever
#: the proxy still sends would reset what it has not read yet.
_LINGER_S = 1.0


@attrs.define(eq=False)
class Asked:
    """A request that is not answered at once."""

    stream: int
    request_id: bytes
    kind: bytes  #: as it names it; empty: a small GET
    path: bytes
    head_only: bool
    carried: int
    received_ns: int
    partly: bool = False  #: whether it has been told that it is not whole
    body: Digest = attrs.field(factory=Digest)
    message: bytes = b""
    arrival: Arrival | None = None  #: once it is whole
    replying: Replying | None = None


@attrs.frozen
class StreamForm:
    """How a reply is written on a stream; what has to wait for the proxy's windows comes later."""

    streams: ServerStreams
    stream: int
    trailers: tuple[tuple[bytes, bytes], ...]
    head_only: bool

    def whole(self, reply: Reply) -> bytes:
        """Return head, body and trailers; a reply without a body is its head alone."""
        if not reply.body or self.head_only:
            return self._head(reply, end=True)
        length = () if self.trailers else ((b"content-length", b"%d" % len(reply.body)),)
        head = self._head(reply, length, end=False)
        body = self.streams.data(self.stream, reply.body, end=not self.trailers)
        return head + body + (self.streams.trailers(self.stream, self.trailers) if self.trailers else b"")

    def head(self, reply: Reply) -> bytes:
        """Return the head."""
        return self._head(reply, end=self.head_only)

    def piece(self, piece: bytes) -> bytes:
        """Return a piece."""
        return self.streams.data(self.stream, piece, end=False)

    def last(self) -> bytes:
        """Return what ends it."""
        if self.trailers:
            return self.streams.trailers(self.stream, self.trailers)
        return self.streams.data(self.stream, b"", end=True)

    def _head(self, reply: Reply, more: tuple[tuple[bytes, bytes], ...] = (), *, end: bool) -> bytes:
        lower = ((name.lower(), value) for name, value in reply.fields)
        date = (b"date", formatdate(usegmt=True).encode("ascii"))
        return self.streams.head(self.stream, ((b":status", b"200"), date, *lower, *more), end=end)


class HTTP2Connection(SocketConnection):
    """One connection of a proxy to a backend that speaks HTTP/2 with prior knowledge.

    `carried` counts requests by their heads: that many were begun on the connection before.
    """

    def __init__(self, site: BackendSite) -> None:
        """Belong to `site`."""
        super().__init__(site)
        self._streams = ServerStreams()
        self._asked: dict[int, Asked] = {}  # by stream, until the whole answer has been made
        self._late: dict[int, Arrival] = {}  # whose answers wait for the proxy's windows
        self._fresh: list[Arrival] = []  # executed and not told of, their answers not written yet
        self._new: list[Asked] = []  # whose heads have just come
        self._said: list[bytes] = [self._streams.begin()]
        self._collecting = False  # what is said is written later
        self._waiting_bytes = 0  # that the kernel has not taken, at least
        self._resting = False
        self._sent_away = False
        self._wrong = False
        self._lingering: IDelayedCall | None = None
        self._pieces: dict[int, tuple[list[bytes], list[bytes]]] = {}
        self._pieces_s = 0
        self._takes: dict[type, Any] = {
            Request: self._take_request,
            Data: self._take_data,
            Trailers: self._take_trailers,
            Reset: self._take_end,
            Malformed: self._take_end,
            Wrong: self._take_wrong,
            GoAway: lambda _event: None,  # it closes when it has its answers
            Settings: lambda _event: None,
        }

    # The socket group's side.

    def received(self, data: bytes, at_ns: int) -> None:
        """Take what was read, and make the answers to every request that is whole."""
        if self._wrong or self._lingering is not None:
            return
        self._at_ns = at_ns
        self._collecting = True
        takes = self._takes
        for event in self._streams.received(data):
            takes[type(event)](event)
        answers = self._streams.answers()
        if answers:
            self._said.append(answers)
        if self._late:
            self._look_at_late()
        if self._new:
            self._tell_received()
        self._collecting = False
        if self._said and self._socket_send is not None and self.site.group is not None:
            self.site.group.to_transmit(self._descriptor, self)

    def transmit(self, *, readable: bool) -> None:  # noqa: ARG002
        """Write what is said."""
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say that the proxy closed it, and what it gave up with it."""
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        super().connectionLost(reason)

    @property
    def rests(self) -> bool:
        """Whether no request is on it."""
        return not (self._asked or self._late or self._fresh or self._said or self._unanswered)

    def leave(self) -> None:
        """Send the proxy away; close once what is under way is answered."""
        if not self._sent_away:
            self._sent_away = True
            self._say(self._streams.goaway(self._streams.last, NO_ERROR))
            for asked in tuple(self._asked.values()):
                if asked.replying is not None and asked.replying.reply.farewell is not None:
                    asked.replying.finish()
        self._close_if_at_rest()

    def resumeProducing(self) -> None:
        """Say that what was buffered is with the kernel, and read on."""
        super().resumeProducing()
        if not self._buffered:
            self._waiting_bytes = 0
            if self._resting:
                self._resting = False
                self._read_on()

    # What has come.

    def _take_request(self, event: Request) -> None:
        given = {name: value for name, value, _ in event.fields if name in _READ}
        request_id = given.get(_ID, b"")[:ID_LIMIT]
        carried = self.carried
        self.carried = carried + 1
        if self.probe_only and is_under_test(request_id):
            self.probe_only = False
        kind = given.get(_KIND, b"")[:FIELD_LIMIT]
        grpc = given.get(_TYPE, b"").startswith(_GRPC_TYPE)
        head_only = given[_METHOD] == b"HEAD"
        if event.end and not (kind or grpc or head_only):
            arrival = self._arrival_of(request_id, carried, self._at_ns)
            self._answer_small(event.stream, request_id, arrival)
            return
        path = given[_PATH][:_PATH_KEPT] if grpc and not kind else b""
        asked = Asked(event.stream, request_id, kind or (_GRPC if grpc else b""), path, head_only, carried, self._at_ns)
        self._asked[event.stream] = asked
        if event.end:
            self._act_on(asked)
        else:
            self._new.append(asked)

    def _take_data(self, event: Data) -> None:
        asked = self._asked.get(event.stream)
        if asked is None or asked.arrival is not None:
            return
        if asked.kind:
            asked.body.take(event.data)
        if asked.path and len(asked.message) < _MESSAGE_KEPT:
            asked.message += event.data
        if event.end:
            self._act_on(asked)

    def _take_trailers(self, event: Trailers) -> None:
        """Take the end of a request that has some: what stands in them is nobody's."""
        asked = self._asked.get(event.stream)
        if asked is not None and asked.arrival is None:
            self._act_on(asked)

    def _take_end(self, event: Reset | Malformed) -> None:
        """Tell that a request is given up."""
        asked = self._asked.pop(event.stream, None)
        arrival = self._late.pop(event.stream, None) if asked is None else self._stop(asked)
        if arrival is not None:
            arrival.given_up_ns = self._at_ns
            self._log.told(arrival)

    def _take_wrong(self, _event: Wrong) -> None:
        """Close, once the proxy has been told why."""
        self._wrong = True

    # Answers.

    def _answer_small(self, stream: int, request_id: bytes, arrival: Arrival) -> None:
        """Answer a small GET, of which no more is told than that it has been answered, if that is soon."""
        head, body = self._pieces_around(len(request_id))
        streams = self._streams
        self._said.append(streams.head_block(stream, request_id.join(head), end=False))
        self._said.append(streams.data(stream, request_id.join(body), end=True))
        if streams.waits(stream):
            self._tell_as_executed(arrival)
            self._late[stream] = arrival
        else:
            self._fresh.append(arrival)

    def _act_on(self, asked: Asked) -> None:
        """Act on a whole request, which is to begin with its answer."""
        arrival = self._arrival_of(asked.request_id, asked.carried, asked.received_ns)
        arrival.again = asked.partly
        asked.arrival = arrival
        if not (asked.kind or asked.head_only):
            del self._asked[asked.stream]
            self._answer_small(asked.stream, asked.request_id, arrival)
            return
        self._tell_as_executed(arrival)
        end: BackendEnd = backend_end(asked.kind) or Answering()
        body = asked.body
        instance = self.site.resource.instance
        reply = end.reply(
            Received(instance, asked.request_id, self.source_port, body.length, body.told(), asked.path, asked.message)
        )
        form = StreamForm(self._streams, asked.stream, reply.trailers, asked.head_only)
        asked.replying = Replying(self.site.reactor, reply, form, self._say, partial(self._replied, asked))
        asked.replying.start()

    def _replied(self, asked: Asked) -> None:
        """Note that an answer has been made; it is with the kernel when it is written, and the windows let it be."""
        del self._asked[asked.stream]
        assert asked.arrival is not None  # noqa: S101
        if self._streams.waits(asked.stream):
            self._late[asked.stream] = asked.arrival
        else:
            self._unanswered.append(asked.arrival)
        if not self._collecting:
            self._flush()

    def _look_at_late(self) -> None:
        """See which answers the proxy's windows have let through."""
        for stream in [stream for stream in self._late if not self._streams.waits(stream)]:
            self._unanswered.append(self._late.pop(stream))

    def _say(self, data: bytes) -> None:
        """Write it, with all else that is said in this turn."""
        if data:
            self._said.append(data)
        if not self._collecting:
            self._flush()

    def _flush(self) -> None:
        said = b"".join(self._said)
        self._said.clear()
        if said and not self._write(said):
            for arrival in self._fresh:
                self._tell_as_executed(arrival)
            self._wait_for_kernel(len(said))
        self._unanswered += self._fresh
        self._fresh.clear()
        if self._unanswered and not self._buffered and not self._gone:
            self._tell_answered()
        if self._wrong:
            super()._end()
        elif self._sent_away:
            self._close_if_at_rest()

    def _wait_for_kernel(self, size: int) -> None:
        """Read nothing more while too much waits to be written."""
        self._waiting_bytes += size
        if self._waiting_bytes > _WAITING_MOST and not self._resting:
            self._resting = True
            if self.site.group is not None and self._descriptor >= 0:
                self.site.group.rest(self._descriptor)

    def _read_on(self) -> None:
        if self.site.group is not None and self._descriptor >= 0:
            self.site.group.read_on(self._descriptor)

    def _close_if_at_rest(self) -> None:
        if self.rests and not self._buffered and self._lingering is None and not self._gone:
            self._end()

    def _end(self) -> None:
        """Close this end, and the other one with the proxy or soon."""
        self.ours = True
        transport: Any = self.transport
        transport.loseWriteConnection()
        self._lingering = self.site.reactor.callLater(_LINGER_S, super()._end)

    def _pieces_around(self, id_length: int) -> tuple[list[bytes], list[bytes]]:
        """Return header block and body around the request's id, for ids of this length, made anew each second."""
        now_s = int(time.time())
        if now_s != self._pieces_s:
            self._pieces_s = now_s
            self._pieces.clear()
        pieces = self._pieces.get(id_length)
        if pieces is None:
            placeholder = _PLACEHOLDER * id_length
            answer = self.site.resource.answer(placeholder, self.source_port)
            block = encoded(
                (
                    (b":status", b"200"),
                    (b"date", formatdate(now_s, usegmt=True).encode("ascii")),
                    *((name.lower(), value) for name, value in answer.fields),
                    (b"content-length", b"%d" % len(answer.body)),
                )
            )
            head, body = (each.split(placeholder) if placeholder else [each] for each in (block, answer.body))
            pieces = self._pieces[id_length] = head, body
        return pieces

    # What it tells.

    def _arrival_of(self, request_id: bytes, carried: int, received_ns: int) -> Arrival:
        """Return a whole request."""
        return Arrival(
            self._instance, request_id.decode("latin-1"), self.source_port, carried, received_ns, self._at_ns
        )

    def _tell_received(self) -> None:
        """Tell of requests that are not whole yet."""
        for asked in self._new:
            if asked.arrival is None and asked.stream in self._asked:
                asked.partly = True
                self._log.told(self._incomplete(asked))
        self._new.clear()

    def _tell_as_executed(self, arrival: Arrival) -> None:
        self._log.told(attrs.evolve(arrival))
        arrival.again = True

    def _incomplete(self, asked: Asked) -> Arrival:
        return self._log.received(self.source_port, asked.request_id, asked.carried, asked.received_ns)

    def _stop(self, asked: Asked) -> Arrival:
        """Reply no more to a request, and return what was to be answered."""
        if asked.replying is not None:
            asked.replying.stop()
        if asked.arrival is not None:
            return asked.arrival
        arrival = self._incomplete(asked)
        arrival.again = asked.partly
        return arrival

    def _stop_replying(self) -> list[Arrival]:
        arrivals = [*self._fresh, *self._late.values(), *map(self._stop, self._asked.values())]
        self._fresh.clear()
        self._late.clear()
        self._asked.clear()
        return arrivals
