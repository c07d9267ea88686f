"""The control proxy's front over TLS: one that takes another certificate, one that only says so, and a slow one."""

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IProtocolFactory
from zope.interface import implementer

from proxyreload.proxy.interfaces import IRotates
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload_control_proxy import Runtime, pause

if TYPE_CHECKING:
    from OpenSSL import SSL
    from twisted.protocols.tls import TLSMemoryBIOProtocol

    from proxyreload.proxy.authority import FrontCertificate

#: How long `Slow` takes for a change.
SLOW_S = 0.1


@implementer(IOpenSSLServerConnectionCreator)
class Showing:
    """Shows new connections the certificate that lay at its path when it was last read; old ones keep theirs."""

    def __init__(self, certificate: "FrontCertificate") -> None:
        self._certificate = certificate
        self.read()

    def read(self) -> None:
        """Read it; sessions that began with the one before are not resumed."""
        from OpenSSL import SSL

        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.use_certificate_chain_file(str(self._certificate.certificate))
        context.use_privatekey_file(str(self._certificate.key))
        context.set_alpn_select_callback(self._agreed)
        self._context = context

    def serverConnectionForTLS(self, protocol: "TLSMemoryBIOProtocol") -> "SSL.Connection":  # noqa: ARG002
        """Return the TLS of one connection."""
        from OpenSSL import SSL

        return SSL.Connection(self._context, None)

    def _agreed(self, _tls: "SSL.Connection", offered: list[bytes]) -> Any:  # noqa: ANN401  (bytes, or a mark)
        """Return the first protocol that the client offers, too (RFC 7301, 3.2)."""
        from OpenSSL import SSL

        ours = (each.encode("ascii") for each in self._certificate.protocols)
        return next((each for each in ours if each in offered), SSL.NO_OVERLAPPING_PROTOCOLS)


@implementer(IRotates)
class SecuredRuntime(Runtime):
    """The honest proxy, whose front speaks TLS where that is asked for."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._showing = None if workspace.tls is None else Showing(workspace.tls)

    def taking(self) -> IProtocolFactory:
        """Return what makes the clients' connections, over TLS or in the clear."""
        if self._showing is None:
            return super().taking()
        from twisted.protocols.tls import TLSMemoryBIOFactory

        secured: IProtocolFactory = TLSMemoryBIOFactory(
            self._showing,
            isClient=False,
            wrappedFactory=super().taking(),
            clock=self.workspace.reactor,
        )
        return secured

    async def rotate(self) -> None:
        """Show new connections the certificate that lies there by now."""
        if self._showing is not None:
            self._showing.read()


class Stays(SecuredRuntime):
    """Says that it has another certificate, and goes on showing the one before."""

    async def rotate(self) -> None:
        """Do nothing, and say that it is done."""


class Slow(SecuredRuntime):
    """Takes a tenth of a second for each change of its backends, and so ten of them a second."""

    async def add_backend(self, upstream: Upstream) -> None:
        """Take it into the round, after a while."""
        begun_s = self.workspace.reactor.seconds()
        await super().add_backend(upstream)
        await self._fill_up(begun_s)

    async def remove_backend(self, upstream: Upstream) -> None:
        """Take it out of the round, which takes as long."""
        begun_s = self.workspace.reactor.seconds()
        await super().remove_backend(upstream)
        await self._fill_up(begun_s)

    async def _fill_up(self, begun_s: float) -> None:
        reactor = self.workspace.reactor
        await pause(reactor, max(0.0, begun_s + SLOW_S - reactor.seconds()))
