"""TLS for clients whose target is an https URL."""

from pathlib import Path
from socket import MSG_PEEK
from typing import Any

import attrs
from OpenSSL import SSL, crypto
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.interfaces import IConnectionOwner
from proxyreload.errors import UsageError
from proxyreload.system.clock import ClockNs
from proxyreload.system.sockets import SocketGroup
from proxyreload.system.wholefile import read_some

#: Of certificates, the system's being some 200 KB.
_SIZE_LIMIT = 16 * 1024 * 1024


@implementer(IHandshakeListener)
class TLSConnection(HTTP11Connection):
    """An HTTP/1.1 connection over TLS, which is open once its handshake is complete.

    What goes over it goes through the transport; a proxy that ends it without ``close_notify`` counts as resetting it.
    """

    def __init__(
        self, owner: IConnectionOwner, clock_ns: ClockNs, started_ns: int, group: SocketGroup | None = None
    ) -> None:
        """Report to `owner`; the connection was begun at `started_ns`."""
        super().__init__(owner, clock_ns, started_ns, group)
        self.secured: Deferred[TLSConnection] = Deferred(lambda _deferred: self.abort())

    def handshakeCompleted(self) -> None:
        """Be open."""
        self.connect_ns = self._clock_ns() - self._started_ns
        self.secured.callback(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail to open, or end as any connection does."""
        if self.secured.called:
            super().connectionLost(reason)
        else:
            self.secured.errback(reason)

    def _has_come(self) -> bool:
        """Whether the end has come, or something that TLS has read already and not handed on yet."""
        if super()._has_come():
            return True
        transport: Any = self.transport
        try:
            transport.getHandle().recv(1, MSG_PEEK)
        except SSL.WantReadError:
            return False
        except SSL.Error:
            pass  # it is at its end, as it will say itself
        return True


_classes: dict[type[HTTP11Connection], type[TLSConnection]] = {HTTP11Connection: TLSConnection}


def over_tls(plain: type[HTTP11Connection]) -> type[TLSConnection]:
    """Return the class of connection that is `plain`, over TLS."""
    if plain not in _classes:
        _classes[plain] = type(f"TLS{plain.__name__}", (TLSConnection, plain), {})
    return _classes[plain]


@implementer(IOpenSSLClientConnectionCreator)
@attrs.frozen
class Unverified:
    """Believes any certificate."""

    hostname: str

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:  # noqa: ARG002
        """Return a connection that asks for the host by name, and trusts whoever answers."""
        options: Any = ssl.CertificateOptions(verify=False)
        connection = SSL.Connection(options.getContext(), None)
        connection.set_connect_state()
        if not all(part.isdigit() for part in self.hostname.split(".")) and ":" not in self.hostname:
            connection.set_tlsext_host_name(self.hostname.encode("ascii"))
        return connection


def tls_options(hostname: str, ca: Path | None, *, insecure: bool) -> IOpenSSLClientConnectionCreator:
    """Return how to verify the proxy's certificate: by `ca` (PEM), by the system's authorities, or not at all.

    Raises `UsageError` if that cannot be.
    """
    if insecure:
        return Unverified(hostname)
    if ca is None:
        options: IOpenSSLClientConnectionCreator = ssl.optionsForClientTLS(hostname)
        return options
    try:
        certificates = [ssl.Certificate.loadPEM(pem) for pem in _split(read_some(ca, _SIZE_LIMIT))]
    except (OSError, SSL.Error, crypto.Error, ValueError) as error:
        msg = f"--ca {ca}: {getattr(error, 'strerror', None) or 'no certificate in PEM'}"
        raise UsageError(msg) from error
    if not certificates:
        msg = f"--ca {ca}: no certificate in PEM"
        raise UsageError(msg)
    by_ca: IOpenSSLClientConnectionCreator = ssl.optionsForClientTLS(
        hostname, trustRoot=ssl.trustRootFromCertificates(certificates)
    )
    return by_ca


def _split(pem: bytes) -> list[bytes]:
    """Return each certificate of a PEM bundle."""
    end = b"-----END CERTIFICATE-----"
    return [part + end for part in pem.split(end)[:-1]]
