"""TLS below a client's connection: whom it trusts, what it offers, what it was shown, and how it ended."""

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from socket import MSG_PEEK
from typing import Any, cast
from weakref import WeakKeyDictionary

import attrs
from OpenSSL import SSL, crypto
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.interfaces import IConnectionOwner
from proxyreload.errors import UsageError
from proxyreload.history.events import UNCLEAN, Shown
from proxyreload.system.clock import ClockNs
from proxyreload.system.sockets import SocketGroup
from proxyreload.system.untrusted import printable
from proxyreload.system.wholefile import read_some

#: Of certificates, the system's being some 200 KB.
_SIZE_LIMIT = 16 * 1024 * 1024
#: What is spoken by who says nothing of it (RFC 7301, 6).
_HTTP11 = b"http/1.1"


@attrs.define(eq=False)
class Tickets:
    """The last session of each client, by which it resumes: each has its own, as if they were on hosts of their own.

    OpenSSL offers none again whose connection ended without ``close_notify``.
    """

    _of: "WeakKeyDictionary[IConnectionOwner, SSL.Session]" = attrs.field(factory=WeakKeyDictionary, init=False)

    def of(self, owner: IConnectionOwner) -> SSL.Session | None:
        """Return a client's, None if it has none yet."""
        return self._of.get(owner)

    def keep(self, owner: IConnectionOwner, session: SSL.Session | None) -> None:
        """Keep it for the client's next connection."""
        if session is not None:
            self._of[owner] = session


@implementer(IHandshakeListener)
class Secured(Protocol):
    """A connection over TLS, before whose class this one stands; it is open once its handshake is complete.

    What goes over it goes through the transport. A proxy that closes it without ``close_notify`` has closed it all the
    same, which is told beside that; only a RST is a reset.
    """

    ALPN: Sequence[bytes] = (_HTTP11,)  #: the protocols that it offers
    offered: SSL.Session | None = None  #: by which it may be resumed
    tickets: Tickets | None = None  #: where its own session is kept
    shown: Shown | None = None  #: what it was shown, once it is open
    note = ""  #: what is odd about its end
    _owner: IConnectionOwner
    _clock_ns: ClockNs
    _started_ns: int

    def __init__(
        self, owner: IConnectionOwner, clock_ns: ClockNs, started_ns: int, group: SocketGroup | None = None
    ) -> None:
        """Report to `owner`; the connection was begun at `started_ns`."""
        behind: Any = super()
        behind.__init__(owner, clock_ns, started_ns, group)
        self.secured: Deferred[Secured] = Deferred(lambda _deferred: cast(Any, self).abort())
        self._certificate_came = False
        self._kept = False
        self._closed = False  # by a FIN, or a ``close_notify``: what comes behind that is no reset of it

    def came(self, _tls: SSL.Connection, _certificate: crypto.X509, _error: int, _depth: int, good: int) -> bool:
        """Note that the proxy shows a certificate, which it does not where a session is resumed."""
        self._certificate_came = True
        return bool(good) or self._unverified

    def handshakeCompleted(self) -> None:
        """Be open, if the certificate is for who was asked for, and the proxy speaks what was offered."""
        transport: Any = self.transport
        tls: SSL.Connection = transport.getHandle()
        trust: Trust = transport.trust
        try:
            trust.require_name(tls)
            self._require_protocol(tls)
        except Exception as error:  # noqa: BLE001  (whatever a certificate makes of it)
            transport.failVerification(Failure(error))
            return
        certificate = tls.get_peer_certificate()
        serial = f"{certificate.get_serial_number():x}" if certificate is not None else ""
        resumed = not self._certificate_came
        self.shown = Shown(serial, resumed, self.offered is not None, tls.get_protocol_version_name())
        cast(Any, self).connect_ns = self._clock_ns() - self._started_ns
        self.secured.callback(self)

    def dataReceived(self, data: bytes) -> None:
        """Keep the session, which in TLS 1.3 comes after the handshake, and before the first answer."""
        if self.tickets is not None and not self._kept:
            self._kept = True
            self.tickets.keep(self._owner, cast(Any, self.transport).getHandle().get_session())
        super().dataReceived(data)

    def below_ended(self, reason: Failure, *, notified: bool) -> None:
        """Learn how the connection below has ended, and whether the proxy's ``close_notify`` had come before that."""
        self._closed = notified or reason.check(ConnectionDone) is not None
        self.note = UNCLEAN if self._closed and not notified else ""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail to open, or end as any connection does: by what the kernel has read."""
        if reason.check(SSL.Error) is not None:
            self.note = f"TLS: {printable(reason.getErrorMessage())}"
        elif self._closed and reason.check(ConnectionLost) is not None:
            reason = Failure(
                ConnectionDone() if self.secured.called else ConnectError(string="closed in the handshake")
            )
        if self.secured.called:
            super().connectionLost(reason)
        else:
            self.secured.errback(reason)

    def _require_protocol(self, tls: SSL.Connection) -> None:
        """Raise `ConnectError` if the proxy speaks another: who says nothing speaks HTTP/1.1."""
        spoken = tls.get_alpn_proto_negotiated() or _HTTP11
        if spoken not in self.ALPN:
            offered = ", ".join(each.decode("ascii") for each in self.ALPN)
            raise ConnectError(string=f"the proxy does not speak {offered}")

    @property
    def _unverified(self) -> bool:
        return not cast(Any, self.transport).trust.verified

    def _has_come(self) -> bool:
        """Whether the end has come, or something that TLS has read already and not handed on yet."""
        plain: Any = super()
        if plain._has_come():  # noqa: SLF001  (its own)
            return True
        transport: Any = self.transport
        try:
            transport.getHandle().recv(1, MSG_PEEK)
        except SSL.WantReadError:
            return False
        except SSL.Error:
            pass  # it is at its end, as it will say itself
        return True


class TLSConnection(Secured, HTTP11Connection):
    """An HTTP/1.1 connection over TLS."""


_classes: dict[type[Protocol], type[Secured]] = {HTTP11Connection: TLSConnection}


def over_tls(plain: type[Protocol]) -> type[Secured]:
    """Return the class of connection that is `plain`, over TLS, and offers what that speaks."""
    if plain not in _classes:
        spoken = getattr(plain, "ALPN", Secured.ALPN)
        _classes[plain] = type(f"TLS{plain.__name__}", (Secured, plain), {"ALPN": spoken})
    return _classes[plain]


@implementer(IOpenSSLClientConnectionCreator)
@attrs.frozen(eq=False)
class Trust:
    """Whom the clients trust, by which name they ask for him; their sessions are of its context."""

    hostname: str
    context: SSL.Context
    verified: bool = True  #: else any certificate will do

    @property
    def is_address(self) -> bool:
        """Whether the name is an address, which a client does not say (RFC 6066, 3)."""
        try:
            ip_address(self.hostname)
        except ValueError:
            return False
        return True

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Return the TLS of one connection, as it offers it."""
        secured = cast(Secured, tlsProtocol.wrappedProtocol)
        connection = SSL.Connection(self.context, None)
        connection.set_connect_state()
        mode = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT if self.verified else SSL.VERIFY_NONE
        connection.set_verify(mode, secured.came)
        if not self.is_address:
            connection.set_tlsext_host_name(self.hostname.encode("ascii"))
        connection.set_alpn_protos(list(secured.ALPN))
        if secured.offered is not None:
            connection.set_session(secured.offered)
        return connection

    def require_name(self, tls: SSL.Connection) -> None:
        """Raise what service_identity has for it if the certificate is another's."""
        if self.verified and self.is_address:
            verify_ip_address(tls, self.hostname)
        elif self.verified:
            verify_hostname(tls, self.hostname)


class TLSTransport(TLSMemoryBIOProtocol):
    """TLS that tells how the connection below it ended: to Twisted all is lost that has no ``close_notify``.

    And that writes at once: a request is written whole, and is not to wait for others.
    """

    @property
    def trust(self) -> Trust:
        """Whom its client trusts."""
        return cast(TLSFactory, self.factory).trust

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell before what follows from that."""
        tls: SSL.Connection | None = self.getHandle()
        notified = tls is not None and bool(tls.get_shutdown() & SSL.RECEIVED_SHUTDOWN)
        cast(Secured, self.wrappedProtocol).below_ended(reason, notified=notified)
        super().connectionLost(reason)


class TLSFactory(TLSMemoryBIOFactory):
    """Puts TLS below connections of the class `Secured`."""

    protocol = TLSTransport

    def __init__(self, trust: Trust, wrapped: Any, clock: Any) -> None:  # noqa: ANN401  (a factory, a reactor)
        """Let them trust as `trust` has it."""
        super().__init__(trust, True, wrapped, clock)  # noqa: FBT003
        self.trust = trust


def unverified(hostname: str) -> Trust:
    """Return what believes any certificate."""
    options: Any = ssl.CertificateOptions(verify=False, enableSessionTickets=True)
    return Trust(hostname, options.getContext(), verified=False)


def trusting(hostname: str, authorities: Sequence[bytes] | None) -> Trust:
    """Return what believes these authorities, each a certificate in PEM, or the system's.

    Raises what OpenSSL has for it if one is none.
    """
    root: Any
    if authorities is None:
        root = ssl.platformTrust()
    else:
        root = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pem) for pem in authorities])
    options: Any = ssl.CertificateOptions(trustRoot=root, enableSessionTickets=True)
    return Trust(hostname, options.getContext())


def tls_options(hostname: str, ca: Path | None, *, insecure: bool) -> Trust:
    """Return how to verify the proxy's certificate: by `ca` (PEM), by the system's authorities, or not at all.

    Raises `UsageError` if that cannot be.
    """
    if insecure:
        return unverified(hostname)
    if ca is None:
        return trusting(hostname, None)
    try:
        certificates = _split(read_some(ca, _SIZE_LIMIT))
        by_ca = trusting(hostname, certificates)
    except (OSError, SSL.Error, crypto.Error, ValueError) as error:
        msg = f"--ca {ca}: {getattr(error, 'strerror', None) or 'no certificate in PEM'}"
        raise UsageError(msg) from error
    if not certificates:
        msg = f"--ca {ca}: no certificate in PEM"
        raise UsageError(msg)
    return by_ca


def _split(pem: bytes) -> list[bytes]:
    """Return each certificate of a PEM bundle."""
    end = b"-----END CERTIFICATE-----"
    return [part + end for part in pem.split(end)[:-1]]
