"""A name server for proxies that find their backends by SRV records (RFC 2782), changed while it runs.

https://docs.twisted.org/en/stable/names/howto/custom-server.html
"""

import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self

import attrs
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.names import dns
from twisted.names.error import DomainError
from twisted.names.server import DNSServerFactory

from proxyreload.errors import ChangeError, StartError
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import COMMAND_TIMEOUT_S, Workspace
from proxyreload.system.reactor import IReactor
from proxyreload.system.waiting import LateError

#: The records there are.
KINDS = (dns.SRV, dns.A)
#: How long an answer may be kept: the least that all resolvers take for a time.
TTL_S = 1
_ATTEMPTS = 20
_DRAWN_BYTES = 12

Answer = tuple[list[dns.RRHeader], list[dns.RRHeader], list[dns.RRHeader]]


def _drawn_domain() -> str:
    """Return nobody's domain (RFC 6761), which nobody else can guess: any user of the host reaches the port."""
    return f"app-{secrets.token_hex(_DRAWN_BYTES)}.test"


class _Factory(DNSServerFactory):
    """Says which name it has answered for, once the answer is on its way."""

    def __init__(self, server: "NameServer", answered: Callable[[str], None]) -> None:
        super().__init__(authorities=[server])
        self._answered = answered

    def sendReply(
        self,
        protocol: dns.DNSProtocol | dns.DNSDatagramProtocol,
        message: dns.Message,
        address: tuple[str, int] | None,
    ) -> None:
        super().sendReply(protocol, message, address)
        for query in message.queries:
            if query.type in KINDS:
                self._answered(str(query.name).lower())


@attrs.define(eq=False)
class NameServer:
    """Knows the backends of one service: a record for each, and the addresses that these lead to.

    An address stays when its backend is taken out: who has just been told of it may still ask for it.
    """

    reactor: IReactor
    host: str  #: an address to listen on
    domain: str = attrs.field(factory=_drawn_domain)  #: what lies in it is all there is; who has its name may ask
    port: int = attrs.field(default=0, init=False)
    factory: DNSServerFactory = attrs.field(init=False)
    _upstreams: tuple[Upstream, ...] = attrs.field(default=(), init=False)
    _addresses: dict[str, str] = attrs.field(factory=dict, init=False)
    _awaited: list[tuple[set[str], Deferred[None]]] = attrs.field(factory=list, init=False)
    _ports: list[IListeningPort] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        """Make what answers, over UDP and over TCP."""
        self.factory = _Factory(self, self._answered)

    @classmethod
    async def beside(cls, workspace: Workspace, upstreams: Sequence[Upstream]) -> Self:
        """Start one that knows these backends, and lasts as long as the workspace; raises `ProxyreloadError`."""
        server = cls(workspace.reactor, workspace.front_host)
        server.publish(upstreams)
        workspace.at_close(server.stop)
        await server.start()
        return server

    @property
    def service(self) -> str:
        """The name of the service's records."""
        return f"_http._tcp.{self.domain}"

    def target(self, upstream: Upstream) -> str:
        """Return the name that the service's record of a backend leads to."""
        return f"{upstream.name}.{self.domain}"

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen on a port that is free both ways; raises `StartError` if there is none."""
        for _attempt in range(_ATTEMPTS):
            stream: Any = self.reactor.listenTCP(0, self.factory, interface=self.host)
            self.port = stream.getHost().port
            datagrams = dns.DNSDatagramProtocol(self.factory, reactor=self.reactor)
            with suppress(CannotListenError):
                self._ports = [stream, self.reactor.listenUDP(self.port, datagrams, self.host, 512)]
                return
            await maybeDeferred(stream.stopListening)
        msg = f"no port of {self.host} is free for a name server"
        raise StartError(msg)

    def publish(self, upstreams: Sequence[Upstream]) -> None:
        """Change the service's backends; raises `ChangeError` if one of them has no IPv4 address."""
        addresses = {self.target(each): each.host for each in upstreams}
        for host in addresses.values():
            try:
                socket.inet_pton(socket.AF_INET, host)
            except OSError as error:
                msg = f"{host} is no IPv4 address: there is no record for it"
                raise ChangeError(msg) from error
        self._addresses |= addresses
        self._upstreams = tuple(upstreams)

    async def change(self, upstreams: Sequence[Upstream], *names: str) -> None:
        """Publish other backends and wait until all of `names` have been `asked` for; else it is taken back."""
        before = self._upstreams
        self.publish(upstreams)
        try:
            await self.asked(*names)
        except ChangeError:
            self._upstreams = before
            raise

    async def asked(self, *names: str) -> None:
        """Wait until each of `names` has been asked for, from now on, and answered.

        Raises `ChangeError` naming those that nobody asks for within `COMMAND_TIMEOUT_S`.
        """
        left = set(names)
        done: Deferred[None] = Deferred()
        awaited = (left, done)
        self._awaited.append(awaited)
        try:
            await done.addTimeout(COMMAND_TIMEOUT_S, self.reactor)
        except LateError:
            msg = f"the proxy has not asked for {' and '.join(sorted(left))} within {COMMAND_TIMEOUT_S:g} s"
            raise ChangeError(msg) from None
        finally:
            self._awaited.remove(awaited)

    async def stop(self) -> None:
        """Listen no more."""
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    def query(self, query: dns.Query, timeout: Sequence[int] | None = None) -> Deferred[Answer]:  # noqa: ARG002
        """Look it up, as a resolver of Twisted Names: a name that is known may have no record of the type asked for."""
        records = self._records(str(query.name).lower())
        if records is None:
            return fail(DomainError(str(query.name)))
        name = query.name.name
        answers = [
            dns.RRHeader(name, record.TYPE, dns.IN, TTL_S, record, auth=True)
            for record in records
            if query.type in (record.TYPE, dns.ALL_RECORDS)
        ]
        return succeed((answers, [], []))

    def _records(self, name: str) -> list[dns.Record_SRV] | list[dns.Record_A] | None:
        if name == self.service:
            return [dns.Record_SRV(0, 1, each.port, self.target(each), TTL_S) for each in self._upstreams]
        if name in self._addresses:
            return [dns.Record_A(self._addresses[name], TTL_S)]
        return None

    def _answered(self, name: str) -> None:
        for left, done in list(self._awaited):
            left.discard(name)
            if not left and not done.called:
                done.callback(None)
