"""Carries a backend's resource over HTTP/1.1, parsed by httptools.

`twisted.web.server.Site` serves the same resource, at an eighth of the speed: it would be the bottleneck of every run.
"""

import time
from typing import Any

import attrs
import httptools
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from proxyreload.backend.connection import SocketConnection
from proxyreload.backend.http2 import HTTP2Connection
from proxyreload.backend.replying import Replying, Turn
from proxyreload.backend.served import BackendSite
from proxyreload.backend.switched import Switched
from proxyreload.history.events import Arrival
from proxyreload.traffic.content import Digest
from proxyreload.traffic.get import Answering
from proxyreload.traffic.identity import ID_FIELD, ID_LIMIT, KIND_FIELD, is_under_test
from proxyreload.traffic.interfaces import Received, Reply
from proxyreload.traffic.registry import FIELD_LIMIT, backend_end
from proxyreload.traffic.websocket import Echoing
from proxyreload.websocket.opening import KEY_FIELD, UPGRADE_FIELD, VERSION_FIELD, is_asked_for

_ID_FIELD = ID_FIELD.lower()
#: So many bytes have to end a request's head or bring some of its body; without a bound a proxy could fill the memory.
HEAD_LIMIT = 256 * 1024
_KIND_FIELD = KIND_FIELD.lower()
#: What answers a small GET that comes behind a request whose answer takes a while.
BEHIND_OTHERS = Answering()
#: A connection that begins with it speaks HTTP/2 (RFC 9113, 3.3): no request of HTTP/1.1 does.
_PREFACE = b"PRI * HTTP/2.0\r\n"
#: What answers whoever asks for a WebSocket, ours or not.
ECHOING = Echoing()
#: By which one is asked for, and how long their names are: few others are so long.
_ASKING = frozenset(field.lower() for field in (KEY_FIELD, UPGRADE_FIELD, VERSION_FIELD))
_ASKING_BYTES = frozenset(map(len, _ASKING))
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BackendConnection(SocketConnection):
    """One connection of a proxy to a backend.

    How far each request comes, and what is answered, depends on the bytes alone, not on the pieces in which they are
    read; only that one is not whole yet is told the more often the more pieces there are.
    """

    def __init__(self, site: BackendSite) -> None:
        """Belong to `site`."""
        super().__init__(site)
        self._first: bytes | None = b""  # what has come as long as that may be the preface
        self._parser = httptools.HttpRequestParser(self)
        self._request_id = b""
        self._kind = b""  # as the request names it; empty: a small GET
        self._asked: dict[bytes, bytes] = {}  # by which fields it asks for another protocol
        self._body: Digest | None = None  # of such a request, once it has one
        self._replying: Replying | Switched | None = None  # to such a request
        self._switched: Switched | None = None  # once that is spoken
        self._arrival: Arrival | None = None  # which it answers
        self._waiting: list[Turn] = []  # what came behind it, which a proxy hardly ever does
        self._received_ns = 0  # of the request that is not whole yet, 0 if there is none
        self._partly = False  # that has been told
        self._answers: list[bytes] = []
        self._pieces: dict[int, list[bytes]] = {}
        self._pieces_s = 0
        self._keep_alive = True
        self._refused = False  # what came behind them is no request
        self._heard = 0  # bytes since the last look at what they have come to
        self._body_bytes = 0
        self._come_to = (0, False, 0)  # requests, whether a head is whole, and bytes of bodies

    # The socket group's side.

    def received(self, data: bytes, at_ns: int) -> None:
        """Parse, and make the answers to every request that is whole."""
        if self._first is not None:
            data = self._decide(self._first + data, at_ns)
        self._at_ns = at_ns
        if self._switched is not None:
            self._switched.take(data)
            return
        self._heard += len(data)
        while self._heard >= HEAD_LIMIT and self._keep_alive:
            self._heard -= HEAD_LIMIT
            first = len(data) - self._heard
            self._parse(data[:first])
            data = data[first:]
            self._look()
        if data and (self._keep_alive or self._switched is not None):
            self._parse(data)
        if self._received_ns and not self._partly:
            self._partly = True
            self._log.told(self._incomplete())
        if self._answers and self._socket_send is not None and self.site.group is not None:
            self.site.group.to_transmit(self._descriptor, self)

    def transmit(self, *, readable: bool) -> None:  # noqa: ARG002
        """Write the answers."""
        if self._answers:
            self._flush()
            if not self._keep_alive:
                self._end()

    def _decide(self, data: bytes, at_ns: int) -> bytes:
        """Return what is HTTP/1.1 of the first bytes; a connection that speaks HTTP/2 goes on as that."""
        if data.startswith(_PREFACE):
            self._become_http2(data, at_ns)
            return b""
        if _PREFACE.startswith(data):
            self._first = data
            return b""
        self._first = None
        return data

    def _become_http2(self, data: bytes, at_ns: int) -> None:
        """Leave socket, transport and place among the backend's connections to one that speaks it."""
        transport: Any = self.transport
        in_group = self._socket_send is not None
        self._forget_socket()
        other = HTTP2Connection(self.site)
        transport.protocol = other
        other.makeConnection(transport)
        self.site.connections.discard(self)
        other.received(data, at_ns)
        if not in_group:
            other.transmit(readable=False)

    def _parse(self, data: bytes) -> None:
        """Feed the parser; what stands behind the last request of a connection is nobody's, or of another protocol."""
        if self._switched is not None:
            self._switched.take(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._switched is not None:
                self._switched.take(data[upgrade.args[0] :])
                return
            self._keep_alive = False  # answered as any request, and not upgraded
            if self._replying is None and not self._answers:
                self._end()
        except httptools.HttpParserError:
            self._refuse()

    def _look(self) -> None:
        """Refuse what neither ends its head nor brings any body, at each multiple of `HEAD_LIMIT` bytes."""
        before, self._come_to = self._come_to, (self.carried, bool(self._received_ns), self._body_bytes)
        if self._come_to == before:
            self._refuse()

    @property
    def rests(self) -> bool:
        """Whether no request is on it."""
        return not (self._received_ns or self._replying is not None or self._answers or self._unanswered)

    def leave(self) -> None:
        """Close from this side, in order, once what is under way is answered."""
        if self.rests:
            self._end()
        elif self._switched is not None:
            self._switched.leave()

    # The parser's side (httptools.HTTPProtocol).

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self._request_id = self._kind = b""
        if self._asked:
            self._asked = {}
        self._body = None
        self._partly = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the request's id."""
        if len(name) == len(_ID_FIELD) and name.lower() == _ID_FIELD and not self._received_ns:  # in no trailer
            self._request_id = value[:ID_LIMIT]
        elif len(name) == len(_KIND_FIELD) and name.lower() == _KIND_FIELD and not self._received_ns:
            self._kind = value[:FIELD_LIMIT]
        elif len(name) in _ASKING_BYTES and name.lower() in _ASKING and not self._received_ns:
            self._asked[name.lower()] = value[:FIELD_LIMIT]

    def on_body(self, body: bytes) -> None:
        """Count it, and keep the digest of one that somebody will ask for."""
        self._body_bytes += len(body)
        if self._kind:
            if self._body is None:
                self._body = Digest()
            self._body.take(body)

    def on_headers_complete(self) -> None:
        """Note that it is received."""
        self._received_ns = self._at_ns

    def on_message_complete(self) -> None:
        """Act on the request, which is to answer it."""
        request_id = self._request_id
        carried = self.carried
        self.carried = carried + 1
        if self.probe_only and is_under_test(request_id):
            self.probe_only = False
        if not self._parser.should_keep_alive():
            self._keep_alive = False
        if self._kind or is_asked_for(self._asked) or self._replying is not None or self.site.leaving is not None:
            self._take_turn(request_id, carried)
            return
        answer = request_id.join(self._pieces_around(len(request_id)))
        if self._parser.get_method() == b"HEAD":
            answer = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        self._answers.append(answer)
        self._unanswered.append(
            Arrival(
                self._instance,
                request_id.decode("latin-1"),
                self.source_port,
                carried,
                self._received_ns,
                self._at_ns,
                0,
                0,
                self._partly,
            )
        )
        self._received_ns = 0

    # What is not a small GET.

    def _take_turn(self, request_id: bytes, carried: int) -> None:
        """Reply to a request, or once the one before it has its answer."""
        arrival = Arrival(
            self._instance,
            request_id.decode("latin-1"),
            self.source_port,
            carried,
            self._received_ns,
            self._at_ns,
            again=self._partly,
        )
        self._received_ns = 0
        self._log.told(attrs.evolve(arrival))
        arrival.again = True
        # What came before it has its answer first; nobody waits for that who asks for another protocol.
        asked = self._asked if self._parser.should_upgrade() and self._replying is None else {}
        end = backend_end(self._kind) or (ECHOING if is_asked_for(asked) else BEHIND_OTHERS)
        head_only = self._parser.get_method() == b"HEAD"
        body, instance = self._body or Digest(), self.site.resource.instance
        received = Received(instance, request_id, self.source_port, body.length, body.told(), asked=asked)
        turn = Turn(arrival, received, end, head_only=head_only)
        if self._replying is not None:
            self._waiting.append(turn)
        else:
            self._flush()  # the answers to what came before it
            self._reply(turn)

    def _reply(self, turn: Turn) -> None:
        """Begin with an answer that takes a while."""
        self._arrival = turn.arrival
        reply = turn.end.reply(turn.received)
        if reply.session is not None:
            self._switch(reply)
            return
        close = not self._waiting and self._is_last
        self._replying = Replying.to(turn, reply, self.site.reactor, self._write, self._replied, close=close)
        self._replying.start()

    def _switch(self, reply: Reply) -> None:
        """Speak another protocol from here on: nobody could use the connection again, so that its end is no news."""
        self._keep_alive, self.ours = False, True
        self._replying = self._switched = Switched(self.site.reactor, reply, self._write_or_rest, self._replied)
        self._switched.start()
        if self.site.leaving is not None:
            self._switched.leave()

    def _write_or_rest(self, data: bytes) -> None:
        """Write, and read no more until the kernel has all of it: who does not read is not answered without end."""
        self._write(data)
        if self._buffered:
            self._read_on(reading=False)

    def _read_on(self, *, reading: bool) -> None:
        transport: Any = self.transport
        if self.site.group is not None and self._descriptor >= 0:
            (self.site.group.read_on if reading else self.site.group.rest)(self._descriptor)
        elif self.site.group is None:
            transport.resumeProducing() if reading else transport.pauseProducing()

    def _replied(self) -> None:
        """Tell that a reply is with the kernel, now or once what is buffered is, and go on with what came behind it."""
        self._unanswered += self._stop_replying(waiting=False)
        self._executed_told = len(self._unanswered)
        if not self._buffered and not self._gone:
            self._tell_answered()
        if self._waiting:
            self._reply(self._waiting.pop(0))
        elif self._refused:
            self._answers.append(_BAD_REQUEST)
            self.transmit(readable=False)
        elif self._is_last:
            self._end()

    @property
    def _is_last(self) -> bool:
        """Whether nothing more is answered on this connection, or soon by this backend."""
        return not self._keep_alive or self.site.leaving is not None

    def _refuse(self) -> None:
        """Answer what is no request, when it has its turn; behind the last request nothing is heard."""
        if self._keep_alive:
            self._keep_alive = False
            self._refused = self._replying is not None
            if not self._refused:
                self._answers.append(_BAD_REQUEST)

    def _stop_replying(self, *, waiting: bool = True) -> list[Arrival]:
        """Reply no more, and return what was to be answered: the request, and those `waiting` behind it."""
        arrivals = [] if self._arrival is None else [self._arrival]
        replying, self._replying, self._switched, self._arrival = self._replying, None, None, None
        if replying is not None:
            replying.stop()
        if waiting:
            arrivals += [turn.arrival for turn in self._waiting]
            self._waiting.clear()
        return arrivals

    def _flush(self) -> None:
        """Write the answers to small GETs."""
        answers = b"".join(self._answers)
        self._answers.clear()
        if answers:
            if self._write(answers):
                self._tell_answered()
            else:
                self._tell_executed()

    def _pieces_around(self, id_length: int) -> list[bytes]:
        """Return the bytes of the answer around the request's id, for ids of this length, made anew each second."""
        now_s = int(time.time())
        if now_s != self._pieces_s:
            self._pieces_s = now_s
            self._pieces.clear()
        pieces = self._pieces.get(id_length)
        if pieces is None:
            placeholder = b"\x00" * id_length
            answer = self.site.encode(placeholder, self.source_port, now_s)
            pieces = self._pieces[id_length] = answer.split(placeholder) if placeholder else [answer]
        return pieces

    def resumeProducing(self) -> None:
        """Say that what was buffered is with the kernel, and read again where that was waited for."""
        super().resumeProducing()
        if self._switched is not None and not self._buffered:
            self._read_on(reading=True)

    # What it tells.

    def _incomplete(self) -> Arrival:
        """Return the request that is not whole."""
        return self._log.received(self.source_port, self._request_id, self.carried, self._received_ns)

    def _forget_requests(self) -> None:
        super()._forget_requests()
        self._received_ns = 0

    def _tell_given_up(self) -> None:
        if self._received_ns:
            arrival = self._incomplete()
            arrival.again = self._partly
            self._unanswered.append(arrival)
        super()._tell_given_up()


class BackendFactory(BackendSite, Factory):
    """Makes the connections of one backend."""

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> BackendConnection:  # noqa: ARG002
        """Make one."""
        return BackendConnection(self)
