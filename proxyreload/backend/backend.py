"""One backend: a number, a port, and who connects to it."""

from typing import Any, cast

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorTime
from zope.interface import implementer

from proxyreload.backend.http11 import BackendFactory
from proxyreload.backend.interfaces import IBackend
from proxyreload.backend.log import BackendLog
from proxyreload.backend.resource import BackendResource
from proxyreload.errors import StartError
from proxyreload.history.interfaces import Sink
from proxyreload.system.clock import ClockNs
from proxyreload.system.sockets import SocketGroup

HOST = "127.0.0.1"


@implementer(IBackend)
@attrs.define(eq=False)
class Backend:
    """A numbered backend on a port of its own."""

    instance: int
    port: int
    sink: Sink
    clock_ns: ClockNs
    host: str = HOST
    group: SocketGroup | None = None  #: reads and writes its connections, beside those of other backends
    _factory: BackendFactory | None = attrs.field(default=None, init=False)
    _listening: IListeningPort | None = attrs.field(default=None, init=False)

    @property
    def address(self) -> str:
        """``host:port``, as most proxies want it."""
        return f"{self.host}:{self.port}"

    async def start(self, reactor: IReactorTCP) -> None:
        """Listen; raises `StartError` if that cannot be done."""
        log = BackendLog(str(self.instance), self.sink, self.clock_ns)
        self._factory = BackendFactory(BackendResource(self.instance), log, cast(IReactorTime, reactor), self.group)
        try:
            self._listening = reactor.listenTCP(self.port, cast(Any, self._factory), backlog=1024, interface=self.host)
        except CannotListenError as error:
            msg = f"port {self.port} (backend {self.instance}) cannot be listened on: {error.socketError}"
            raise StartError(msg) from error
        self.port = cast(IPv4Address, self._listening.getHost()).port

    async def leave(self) -> None:
        """Listen no more, close what rests, and be gone with the last answer."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await maybeDeferred(listening.stopListening)
        if self._factory is not None:
            await self._factory.leave()

    async def kill(self) -> None:
        """As the kernel does when a process dies: close every socket."""
        await self.stop()

    def hurry(self) -> None:
        """It takes no time as it is."""

    async def stop(self) -> None:
        """Listen no more, and drop every connection."""
        listening, self._listening = self._listening, None
        if self._factory is not None:
            for connection in tuple(self._factory.connections):
                connection.close()
        if listening is not None:
            await maybeDeferred(listening.stopListening)
