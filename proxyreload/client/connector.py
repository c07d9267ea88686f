"""Opens a client's connections."""

from typing import cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IReactorTCP, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from zope.interface import implementer

from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.interfaces import IConnection, IConnectionOwner, IConnector
from proxyreload.clock import ClockNs


@implementer(IConnector)
@attrs.frozen
class HTTP11Connector:
    """Opens HTTP/1.1 connections to one address, in the clear or over TLS."""

    reactor: IReactorTCP
    address: str  #: an IP address: names are resolved once, before the clients start
    port: int
    clock_ns: ClockNs
    tls: IOpenSSLClientConnectionCreator | None = None

    def connect(self, owner: IConnectionOwner, timeout_s: float) -> Deferred[IConnection]:
        """Open one connection."""
        started_ns = self.clock_ns()
        factory = Factory.forProtocol(lambda: HTTP11Connection(owner, self.clock_ns, started_ns))
        factory.noisy = False
        return cast(Deferred[IConnection], self._endpoint(timeout_s).connect(factory))

    def _endpoint(self, timeout_s: float) -> IStreamClientEndpoint:
        kind = TCP6ClientEndpoint if ":" in self.address else TCP4ClientEndpoint
        endpoint: IStreamClientEndpoint = kind(self.reactor, self.address, self.port, timeout=timeout_s)
        return endpoint if self.tls is None else wrapClientTLS(self.tls, endpoint)
