"""Where the page listens."""

import re
import secrets
from collections.abc import Sequence
from typing import cast

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from proxyreload.errors import StartError, UsageError
from proxyreload.system.reactor import IReactor
from proxyreload.web.api import Api
from proxyreload.web.guard import BoundedRequest, Guarded, Rules
from proxyreload.web.workbench import Workbench

_INTERFACES = {"tcp": "127.0.0.1", "ssl": "127.0.0.1", "tls": "127.0.0.1", "tcp6": r"\:\:1"}
#: So long a connection may say nothing.
_PATIENCE_S = 60


def loopback_unless_told(description: str) -> str:
    """Return a server endpoint's description with an interface, the loopback one if it names none.

    A bare port will do.
    """
    if description.isascii() and description.isdigit():
        description = f"tcp:{description}"
    endpoint = description.partition(":")[0]
    if endpoint in _INTERFACES and not re.search(r"(?<!\\):interface=", description):
        return f"{description}:interface={_INTERFACES[endpoint]}"
    return description


def endpoint(reactor: IReactor, description: str) -> IStreamServerEndpoint:
    """Return the endpoint; raises `UsageError` if it is none."""
    try:
        return cast(IStreamServerEndpoint, serverFromString(reactor, loopback_unless_told(description)))
    except Exception as error:
        msg = f"--web takes a port or a server endpoint like tcp:8090, not {description!r} ({error})"
        raise UsageError(msg) from error


class _QuietSite(Site):
    """Keeps no log of who asked for what."""

    def log(self, request: Request) -> None:
        """Say nothing."""


@attrs.define(eq=False)
class Page:
    """The page while it is served."""

    reactor: IReactor
    bench: Workbench
    names: Sequence[str]
    token: str
    url: str = ""
    _port: IListeningPort | None = None

    async def listen(self, where: str) -> None:
        """Serve; raises `StartError` if that is not possible."""
        site = _QuietSite(Resource(), requestFactory=BoundedRequest, timeout=_PATIENCE_S)
        site.displayTracebacks = False
        try:
            port = self._port = await endpoint(self.reactor, where).listen(site)
        except UsageError:
            raise
        except Exception as error:
            msg = f"the page cannot be served at {where}: {error}"
            raise StartError(msg) from error
        address = port.getHost()
        rules = Rules.at(address, self.names, self.token)
        if not rules.local and not self.token:
            self.token = secrets.token_urlsafe(16)
            rules = attrs.evolve(rules, token=self.token)
        self.bench.needs_token = bool(self.token)
        site.resource = Guarded(rules, Api(self.bench).resource)
        self.url = str(address)
        if isinstance(address, IPv4Address | IPv6Address):
            host = f"[{address.host}]" if ":" in address.host else address.host
            self.url = f"http://{host}:{address.port}/" + (f"#token={self.token}" if self.token else "")
        self.bench.subscribers.start(self.reactor)

    async def close(self) -> None:
        """Let all readers go, and listen no more."""
        self.bench.subscribers.stop()
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
            self._port = None
