"""A proxy's front that speaks TLS, in memory, and clients' connections to it."""

from contextlib import suppress
from typing import cast

import attrs
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from proxyreload.client.tls import Secured, Tickets, TLSConnection, TLSFactory, TLSTransport, Trust
from proxyreload.proxy.authority import Issued

from .authority import show
from .clocks import Time
from .connections import MemoryTransport, Owner, Wire, answer_bytes


@attrs.define(eq=False)
class Ends:
    """One connection: the client's end of TLS, and the proxy's."""

    tls: SSL.Connection  #: the proxy's
    client: TLSTransport
    wire: Wire
    transport: MemoryTransport
    time: Time
    got: bytes = b""  #: by the proxy

    def goes_on(self) -> None:
        """Let both take what the other has sent, until neither says any more."""
        while (sent := self._sent()) or self._says():
            if sent:
                self.tls.bio_write(sent)
            self._takes()

    def answers(self, data: bytes = answer_bytes(b"0")) -> None:
        """Answer."""
        self.tls.send(data)
        self.goes_on()

    def notifies(self) -> None:
        """Send ``close_notify``."""
        with suppress(SSL.Error):
            self.tls.shutdown()
        self._says()

    def finishes(self) -> None:
        """Send a FIN."""
        self.client.connectionLost(Failure(ConnectionDone()))

    def resets(self) -> None:
        """Send a RST."""
        self.client.connectionLost(Failure(ConnectionLost()))

    @property
    def secured(self) -> TLSConnection:
        """The client's connection."""
        return cast(TLSConnection, self.wire.connection)

    def _sent(self) -> bytes:
        self.time.advance(0)
        sent: bytes = self.transport.value()
        self.transport.clear()
        return sent

    def _says(self) -> bool:
        try:
            said = self.tls.bio_read(1 << 16)
        except SSL.WantReadError:
            return False
        self.client.dataReceived(said)
        return True

    def _takes(self) -> None:
        try:
            self.tls.do_handshake()
            self.got += self.tls.recv(1 << 16)
        except SSL.Error:  # nothing more, for now or for ever
            pass


@attrs.define(eq=False)
class SecureFront:
    """Takes connections, with one context or another."""

    context: SSL.Context
    trust: Trust
    tickets: Tickets | None = attrs.field(factory=Tickets)
    time: Time = attrs.field(factory=Time)
    shows: Issued | None = None  #: in place of the context's own; the sessions of before are good still

    def connect(self, owner: Owner | None = None, kind: type[Secured] = TLSConnection, *, says: bool = True) -> Ends:
        """Let a client open a connection, as its connector does; unless it `says` anything it gets no answer."""
        owner = owner or Owner()
        connection = kind(owner, self.time.ns, self.time.ns())
        connection.tickets = self.tickets
        connection.offered = self.tickets.of(owner) if self.tickets is not None else None
        factory: Factory[Protocol] = Factory.forProtocol(lambda: connection)
        client = TLSFactory(self.trust, factory, self.time).buildProtocol(None)
        assert isinstance(client, TLSTransport)
        tls = SSL.Connection(self.context, None)
        tls.set_accept_state()
        if self.shows is not None:
            show(tls, self.shows)
        transport = MemoryTransport()
        ends = Ends(tls, client, Wire(cast(TLSConnection, connection), transport), transport, self.time)
        client.makeConnection(transport)
        if says:
            ends.goes_on()
        return ends
