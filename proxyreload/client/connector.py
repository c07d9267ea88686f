"""Opens a client's connections."""

from typing import TYPE_CHECKING, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IReactorTCP, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from proxyreload.client.delayline import DelayLine
from proxyreload.client.far import FarEndpoint, LastAckLater
from proxyreload.client.http2 import HTTP2Connection
from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.interfaces import IConnection, IConnectionOwner, IConnector
from proxyreload.system.clock import ClockNs
from proxyreload.system.sockets import SocketGroup

if TYPE_CHECKING:
    from proxyreload.client.tls import Tickets, Trust


@implementer(IConnector)
@attrs.frozen
class HTTP11Connector:
    """Opens connections to one address, in the clear or over TLS: of HTTP/1.1, or of HTTP/2 with prior knowledge."""

    reactor: IReactorTCP
    address: str  #: an IP address: names are resolved once, before the clients start
    port: int
    clock_ns: ClockNs
    tls: "Trust | None" = None
    #: By which clients resume their sessions; None: they make a full handshake each time.
    tickets: "Tickets | None" = None
    connection: type[HTTP11Connection] | type[HTTP2Connection] = HTTP11Connection
    group: SocketGroup | None = None
    careful: bool = False  #: as `HTTP11Connection.careful`
    line: DelayLine | None = None  #: for clients that are far away

    def connect(self, owner: IConnectionOwner, timeout_s: float) -> Deferred[IConnection]:
        """Open one connection."""
        started_ns = self.clock_ns()
        endpoint, group = self._endpoint(timeout_s), self.group
        if self.line is not None:  # which reads the socket
            endpoint, group = FarEndpoint(self.line, endpoint), None
        if self.tls is None:
            connection = self.connection(owner, self.clock_ns, started_ns, group)
            connection.careful = self.careful
            return cast(Deferred[IConnection], endpoint.connect(_factory(connection)))
        from proxyreload.client.tls import TLSFactory, over_tls

        secure = over_tls(self.connection)(owner, self.clock_ns, started_ns)
        secure.tickets = self.tickets
        secure.offered = self.tickets.of(owner) if self.tickets is not None else None
        opening = cast(Deferred[object], endpoint.connect(TLSFactory(self.tls, _factory(secure), self.reactor)))
        return cast(Deferred[IConnection], opening.addCallback(lambda _protocol: secure.secured))

    def _endpoint(self, timeout_s: float) -> IStreamClientEndpoint:
        endpoint_class = TCP6ClientEndpoint if ":" in self.address else TCP4ClientEndpoint
        reactor = self.reactor if self.line is None else cast(IReactorTCP, LastAckLater(self.reactor))
        endpoint: IStreamClientEndpoint = endpoint_class(reactor, self.address, self.port, timeout=timeout_s)
        return endpoint


def _factory(connection: Protocol) -> Factory[Protocol]:
    factory: Factory[Protocol] = Factory.forProtocol(lambda: connection)
    factory.noisy = False
    return factory
