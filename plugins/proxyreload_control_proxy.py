"""The small reverse proxy behind the plugin `proxyreload_control`: honest, HTTP/1.1, each message as its bytes come."""

import socket
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httptools
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.proxy.interfaces import IProxy
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.traffic.identity import ID_FIELD, client_of
from proxyreload_control_messages import LAST_CHUNK, Messages, field_value, framed, last_chunk
from proxyreload_control_streams import Stream, StreamsFront, begins

UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
#: So long after its last answer a removed backend's clients have read it. Also how long a fault lasts that takes the
#: port away: clients wait thrice as long before they connect again.
OUTAGE_S = 0.03


class Front(Protocol):
    """One client's connection: one request after another, each with a `Passing` of its own."""

    def __init__(self, proxy: "Runtime") -> None:
        self.proxy = proxy
        self.request_id = self.client = b""  # of the latest request
        self.carried = 0
        self.finished = False  # its FIN was sent
        self.passing: Passing | None = None
        self._messages = Messages(self, httptools.HttpRequestParser)

    def connectionMade(self) -> None:
        """Be known to the proxy."""
        self.proxy.fronts.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Take what has come of a request, or leave the connection to who speaks HTTP/2."""
        if not self.carried and begins(data):
            transport: Any = self.transport
            self.proxy.fronts.discard(self)
            streams = StreamsFront(self.proxy)
            if hasattr(transport, "wrappedProtocol"):  # TLS is between
                transport.wrappedProtocol = streams
            else:
                transport.protocol = streams
            streams.makeConnection(transport)
            streams.dataReceived(data)
            return
        self._messages.feed(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Learn that the client is gone."""
        self.gone()

    def gone(self) -> None:
        """Be known no more, and give up what is under way."""
        self.proxy.fronts.discard(self)
        passing, self.passing = self.passing, None
        if passing is not None:
            passing.left()

    def head_came(self, head: bytes, *, chunked: bool) -> None:
        """Learn whose it is, and let it pass."""
        self.request_id = field_value(head, ID_FIELD)
        self.client = client_of(self.request_id)
        self.carried += 1
        self.passing = self.proxy.asked(self, head, chunked=chunked)

    def piece_came(self, data: bytes) -> None:
        """Pass it on."""
        if self.passing is not None:
            self.passing.piece_came(data)

    def end_came(self) -> None:
        """Pass the end on."""
        if self.passing is not None:
            self.passing.end_came()

    def refused_to_switch(self) -> None:
        """Learn that requests come all the same."""
        self._messages.switched = False

    def write(self, data: bytes) -> None:
        """Write to the client."""
        if self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        """Close, behind what was written."""
        if self.transport is not None:
            self.transport.loseConnection()

    def finish(self) -> None:
        """Send a FIN behind what was written; what the client sends still is read."""
        if self._open:
            self.finished = True
            transport: Any = self.transport
            transport.loseWriteConnection()

    def reset(self) -> None:
        """Close with a RST."""
        if self._open:
            transport: Any = self.transport
            transport.abortConnection()

    # At rest, before each of them returns.

    def finish_now(self) -> None:
        """Send a FIN."""
        self.finished = True
        transport: Any = self.transport
        transport.getHandle().shutdown(socket.SHUT_WR)

    def say_now(self, data: bytes) -> None:
        """Say something."""
        transport: Any = self.transport
        transport.getHandle().send(data)

    def reset_now(self) -> None:
        """Send a RST."""
        transport: Any = self.transport
        transport.connectionLost(Failure(ConnectionAborted()))

    @property
    def rests(self) -> bool:
        """Whether nothing is under way, nothing has come that has not been read, and nothing is to be written."""
        return self.passing is None and bool(self.carried) and self.quiet

    @property
    def quiet(self) -> bool:
        """Whether nothing has come that has not been read, and nothing is to be written."""
        transport: Any = self.transport
        if not self._open or transport in self.proxy.workspace.reactor.getWriters():
            return False
        try:
            transport.getHandle().recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @property
    def _open(self) -> bool:
        return self in self.proxy.fronts and not self.finished


class Passing:
    """One request on its way to a backend, and its answer on the way back; each piece passes as it comes."""

    def __init__(self, front: Front | Stream, head: bytes, upstream: Upstream, *, chunked: bool) -> None:
        """Be ready to `begin`."""
        self.front, self.upstream = front, upstream
        self.proxy = front.proxy
        self.back: Back | None = None
        self.request_chunked, self.answer_chunked = chunked, False
        self.whole = False  # the request
        self.answering = False  # the client has the answer's head
        self.switched = False  # which switches to another protocol
        self.begun = self.over = False
        self._head = head
        self._waiting = b""  # for the connection to the backend

    def begin(self) -> None:
        """Pass the head on."""
        self.begun = True
        self.proxy.forward(self, self.upstream)
        self.to_backend(self._head)

    def to_backend(self, data: bytes) -> None:
        """Write to the backend, once there is a connection to it."""
        if self.back is None:
            self._waiting += data
        else:
            self.back.write(data)

    def connected(self, back: "Back") -> None:
        """Use this connection, for a request that may have been given up meanwhile."""
        if self.over:
            back.close()
            return
        self.back, back.passing = back, self
        back.write(self._waiting)
        self._waiting = b""

    def give_up(self) -> None:
        """Let it pass no further."""
        if not self.over:
            self._end()
            if self.back is not None:
                self.back.passing = None
                self.back.close()

    def left(self) -> None:
        """Learn that the client is gone."""
        self.give_up()

    def failed(self) -> None:
        """Answer in place of a backend that is gone, or break an answer off that it has begun."""
        if self.over:
            return
        self._end()
        if self.answering:
            self.front.close()
        else:
            self.front.refused_to_switch()
            self.front.write(UNAVAILABLE)

    # From the client.

    def piece_came(self, data: bytes) -> None:
        """Pass bytes of the request's body on."""
        self.to_backend(framed(data, chunked=self.request_chunked))

    def end_came(self) -> None:
        """Pass its end on."""
        self.whole = True
        if self.request_chunked:
            self.to_backend(LAST_CHUNK)

    # From the backend.

    def answer_head_came(self, head: bytes, *, chunked: bool) -> None:
        """Pass the answer's head on."""
        self.answering, self.answer_chunked = True, chunked
        self.switched = self.back is not None and self.back.switches
        if not self.switched:
            self.front.refused_to_switch()
        self.front.write(head)

    def answer_piece_came(self, data: bytes) -> None:
        """Pass bytes of its body on."""
        self.front.write(framed(data, chunked=self.answer_chunked))

    def answer_end_came(self) -> None:
        """Pass its end on."""
        if self.answer_chunked:
            self.front.write(last_chunk(self.trailers))
        self.let_go()

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """What stands behind the answer's body."""
        return [] if self.back is None else self.back.trailers

    def let_go(self) -> None:
        """Give the backend's connection back, if it is at its end."""
        back = self.back
        self._end()
        if back is not None:
            back.passing = None
            if self.whole:
                back.pool.append(back)
            else:
                back.close()

    def _end(self) -> None:
        self.over = True
        if self.begun:
            self.proxy.passed(self)
        if self.front.passing is self:
            self.front.passing = None


class Back(Protocol):
    """One connection to a backend, which carries one request after another."""

    def __init__(self, proxy: "Runtime", upstream: Upstream, pool: "list[Back]") -> None:
        self.proxy = proxy
        self.upstream = upstream
        self.pool = pool
        self.port = 0
        self.passing: Passing | None = None
        self._messages = Messages(self, httptools.HttpResponseParser)

    def connectionMade(self) -> None:
        """Learn its own port."""
        transport: Any = self.transport
        self.port = transport.getHost().port

    def write(self, data: bytes) -> None:
        """Write to the backend."""
        if self.transport is not None:
            self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        """Take what has come of an answer."""
        self._messages.feed(data)

    def head_came(self, head: bytes, *, chunked: bool) -> None:
        """Pass it back."""
        if self.passing is not None:
            self.passing.answer_head_came(head, chunked=chunked)

    def piece_came(self, data: bytes) -> None:
        """Pass it back."""
        if self.passing is not None:
            self.passing.answer_piece_came(data)

    def end_came(self) -> None:
        """Pass it back; another protocol ends with its connection."""
        if self.passing is not None and not self._messages.switches:
            self.passing.answer_end_came()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Tell whoever waits for an answer."""
        if self in self.pool:
            self.pool.remove(self)
        passing, self.passing = self.passing, None
        if passing is not None:
            passing.failed()

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """What stands behind the body of its latest answer."""
        return self._messages.trailers

    @property
    def switches(self) -> bool:
        """Whether its answer switches to another protocol."""
        return self._messages.switches

    def close(self) -> None:
        """Close."""
        if self.transport is not None:
            self.transport.loseConnection()


class Fronts(Factory):
    """Makes the clients' connections."""

    noisy = False

    def __init__(self, proxy: "Runtime") -> None:
        self._proxy = proxy

    def buildProtocol(self, addr: IAddress | None) -> Front:  # noqa: ARG002
        """Make one."""
        return Front(self._proxy)


@implementer(IProxy)
class Runtime:
    """An honest proxy: round robin over its backends, a pool of connections to each."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.fronts: set[Front | StreamsFront] = set()
        self.port: Any = None
        self._upstreams: list[Upstream] = []
        self._turn = 0
        self._pools: dict[tuple[int, str], list[Back]] = {}
        self._busy: Counter[int] = Counter()

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Listen."""
        self._upstreams = list(upstreams)
        self.listen()

    async def add_backend(self, upstream: Upstream) -> None:
        """Take it into the round."""
        self._upstreams.append(upstream)

    async def remove_backend(self, upstream: Upstream) -> None:
        """Take it out of the round, and wait until its last answer is with its client."""
        self._upstreams.remove(upstream)

        async def drained() -> bool:
            return not self._busy[upstream.instance]

        await self.workspace.until(drained, f"{upstream.name} drained")
        await pause(self.workspace.reactor, OUTAGE_S)

    async def stop(self) -> None:
        """Listen no more, and close everything."""
        if self.port is not None:
            await maybeDeferred(self.port.stopListening)
        for front in tuple(self.fronts):
            front.close()
            front.gone()  # its client, whose end a busy machine may not have told yet
        for pool in self._pools.values():
            for back in tuple(pool):
                back.close()

    def listen(self) -> None:
        """Open the front port."""
        workspace: Any = self.workspace
        self.port = workspace.reactor.listenTCP(
            workspace.front_port, self.taking(), backlog=128, interface=workspace.front_host
        )

    def taking(self) -> IProtocolFactory:
        """Return what makes the clients' connections."""
        return Fronts(self)

    def next_upstream(self) -> Upstream:
        """Return the backend whose turn it is."""
        self._turn += 1
        return self._upstreams[self._turn % len(self._upstreams)]

    def asked(self, front: Front | Stream, head: bytes, *, chunked: bool) -> Passing | None:
        """Let a request pass; None: not this one."""
        passing = Passing(front, head, self.next_upstream(), chunked=chunked)
        passing.begin()
        return passing

    def forward(self, passing: Passing, upstream: Upstream) -> None:
        """Find a connection to this backend."""
        self._busy[upstream.instance] += 1
        pool = self._pools.setdefault((upstream.instance, self.pool_of(passing)), [])
        if pool:
            passing.connected(pool.pop())
        else:
            self.open(passing, upstream, pool)

    def open(self, passing: Passing, upstream: Upstream, pool: list[Back]) -> None:
        """Open a connection to this backend, which is of `pool` later."""
        factory = Factory.forProtocol(lambda: Back(self, upstream, pool))
        factory.noisy = False
        opening: Deferred[Any] = TCP4ClientEndpoint(self.workspace.reactor, upstream.host, upstream.port).connect(
            factory
        )
        opening.addCallbacks(passing.connected, lambda _reason: passing.failed())

    def pool_of(self, passing: Passing) -> str:  # noqa: ARG002
        """Name the pool, of those for its backend, that a request takes a connection from."""
        return ""

    def turned_away(self, client: bytes) -> None:
        """Learn of a client's request that was not read, for it is above the last stream of a GOAWAY."""

    def passed(self, passing: Passing) -> None:
        """Learn that a request is over."""
        self._busy[passing.upstream.instance] -= 1


async def pause(reactor: Any, seconds: float) -> None:  # noqa: ANN401
    """Wait, and then until everything that was under way in this reactor has been seen to."""
    await deferLater(reactor, seconds)
    for _turn in range(3):
        await deferLater(reactor, 0)
