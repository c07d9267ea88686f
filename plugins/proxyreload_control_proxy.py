"""The small reverse proxy behind the plugin `proxyreload_control`: honest, HTTP/1.1, one request after another."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import httptools
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.proxy.interfaces import IProxy
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.traffic.identity import ID_FIELD, client_of

_ID_FIELD = ID_FIELD.lower()
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
#: So long after its last answer a removed backend's clients have read it. Also how long a fault lasts that takes the
#: port away: clients wait thrice as long before they connect again.
OUTAGE_S = 0.03


class Front(Protocol):
    """One client's connection: takes a request, and hands it over when it is whole."""

    def __init__(self, proxy: "Runtime") -> None:
        self.proxy = proxy
        self.client = b""
        self.carried = 0
        self.harmed = False  # by a fault that this connection will end of
        self._request = b""
        self._parser = httptools.HttpRequestParser(self)

    def connectionMade(self) -> None:
        """Be known to the proxy."""
        self.proxy.fronts.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Collect a request."""
        self._request += data
        self._parser.feed_data(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Be known no more."""
        self.proxy.fronts.discard(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Learn whose it is."""
        if name.lower() == _ID_FIELD:
            self.client = client_of(value)

    def on_message_complete(self) -> None:
        """Hand the request over."""
        request, self._request = self._request, b""
        self.carried += 1
        self.proxy.requested(self, request)

    def write(self, data: bytes) -> None:
        """Write to the client."""
        if self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        """Close with a FIN."""
        if self.transport is not None:
            self.transport.loseConnection()

    def reset(self) -> None:
        """Close with a RST."""
        transport: Any = self.transport
        transport.abortConnection()


class Back(Protocol):
    """One connection to a backend: passes a request on, and its answer back when it is whole."""

    def __init__(self, proxy: "Runtime", upstream: Upstream) -> None:
        self.proxy = proxy
        self.upstream = upstream
        self.front: Front | None = None
        self.delivered = False  # an answer to a client
        self._answer = b""
        self._parser = httptools.HttpResponseParser(self)

    def send(self, front: Front, request: bytes) -> None:
        """Pass a request on."""
        self.front = front
        if self.transport is not None:
            self.transport.write(request)

    def dataReceived(self, data: bytes) -> None:
        """Collect an answer."""
        self._answer += data
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Hand the answer over."""
        answer, self._answer = self._answer, b""
        front, self.front = self.front, None
        if front is not None:
            self.proxy.answered(front, self, answer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Answer in place of a backend that is gone."""
        self.proxy.lost(self)
        if self.front is not None:
            self.front.write(UNAVAILABLE)

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
        self.fronts: set[Front] = set()
        self.port: Any = None
        self._upstreams: list[Upstream] = []
        self._turn = 0
        self._idle: dict[int, list[Back]] = {}
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
        for pool in self._idle.values():
            for back in tuple(pool):
                back.close()

    def listen(self) -> None:
        """Open the front port."""
        workspace: Any = self.workspace
        self.port = workspace.reactor.listenTCP(
            workspace.front_port, Fronts(self), backlog=128, interface=workspace.front_host
        )

    def requested(self, front: Front, request: bytes) -> None:
        """Pass a request on."""
        self._turn += 1
        self.forward(front, request, self._upstreams[self._turn % len(self._upstreams)])

    def forward(self, front: Front, request: bytes, upstream: Upstream) -> None:
        """Pass a request on to this backend."""
        self._busy[upstream.instance] += 1
        pool = self._idle.setdefault(upstream.instance, [])
        if pool:
            pool.pop().send(front, request)
            return
        factory = Factory.forProtocol(lambda: Back(self, upstream))
        factory.noisy = False
        opening: Deferred[Any] = TCP4ClientEndpoint(self.workspace.reactor, upstream.host, upstream.port).connect(
            factory
        )
        opening.addCallbacks(lambda back: back.send(front, request), lambda _reason: front.write(UNAVAILABLE))

    def answered(self, front: Front, back: Back, answer: bytes) -> None:
        """Pass an answer back."""
        self.keep(back)
        front.write(answer)

    def keep(self, back: Back) -> None:
        """Put a backend connection back into its pool."""
        self._busy[back.upstream.instance] -= 1
        self._idle.setdefault(back.upstream.instance, []).append(back)

    def lost(self, back: Back) -> None:
        """Forget a backend connection."""
        pool = self._idle.get(back.upstream.instance, [])
        if back in pool:
            pool.remove(back)


async def pause(reactor: Any, seconds: float) -> None:  # noqa: ANN401
    """Wait, and then until everything that was under way in this reactor has been seen to."""
    await deferLater(reactor, seconds)
    for _turn in range(3):
        await deferLater(reactor, 0)
