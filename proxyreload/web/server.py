"""Where the page listens."""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from typing import cast

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamServerEndpoint
from twisted.web.resource import Resource

from proxyreload.errors import StartError, UsageError
from proxyreload.system import bounds
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import printable
from proxyreload.web.api import Api
from proxyreload.web.guard import Guarded, Rules
from proxyreload.web.site import PageSite
from proxyreload.web.socketfile import path_of, private
from proxyreload.web.workbench import Workbench

_INTERFACES = {"tcp": "127.0.0.1", "ssl": "127.0.0.1", "tls": "127.0.0.1", "tcp6": r"\:\:1"}
_WITHIN_TLS = ("ssl", "tls")
_PORT = re.compile(r"(?:tcp6?|ssl|tls):(?:port=)?(\d+)", re.ASCII)


def narrowed(description: str) -> str:
    """Return a server endpoint's description, open to no more than it says.

    That is the loopback interface if it names none, and a Unix socket of the user's alone. A bare port will do.
    """
    if description.isascii() and description.isdigit():
        description = f"tcp:{description}"
    endpoint = description.partition(":")[0]
    if endpoint in _INTERFACES and not re.search(r"(?<!\\):interface=", description):
        return f"{description}:interface={_INTERFACES[endpoint]}"
    if endpoint == "unix":
        # What a dead one has left is removed by who knows that it is dead; a lock's process id may be another's by now.
        for option in ("mode=600", "lockfile=0"):
            if not re.search(rf"(?<!\\):{option.partition('=')[0]}=", description):
                description += f":{option}"
    return description


def endpoint(reactor: IReactor, description: str) -> IStreamServerEndpoint:
    """Return the endpoint; raises `UsageError` if it is none."""
    narrow = narrowed(description)
    port = _PORT.match(narrow)
    if port is not None:
        bounds.FREE_PORT.parse("--web", port[1])
    try:
        return cast(IStreamServerEndpoint, serverFromString(reactor, narrow))
    except Exception as error:
        msg = f"--web takes a port or a server endpoint like tcp:8090, not {description!r} ({error})"
        raise UsageError(msg) from error


@attrs.define(eq=False)
class Page:
    """The page while it is served."""

    reactor: IReactor
    bench: Workbench
    names: Sequence[str]
    token: str = attrs.field(repr=False)
    url: str = ""  #: with the token, if it was made up: nobody else knows it
    _port: IListeningPort | None = None

    async def listen(self, where: str) -> None:
        """Serve; raises `StartError` if that is not possible."""
        site = PageSite(Resource(), self.reactor, secure=where.partition(":")[0] in _WITHIN_TLS)
        found = endpoint(self.reactor, where)
        path = path_of(where)
        try:
            with nullcontext() if path is None else private(path):
                listening = found.listen(site)
            port = self._port = await listening
        except StartError:
            raise
        except Exception as error:
            msg = f"the page cannot be served at {where}: {error}"
            raise StartError(msg) from error
        address = port.getHost()
        rules = Rules.at(address, self.names, self.token)
        self.bench.needs_token = bool(rules.token)
        site.resource = Guarded(rules, Api(self.bench).resource)
        made_up = rules.token if rules.token != self.token else ""
        self.url = _url(address, secure=site.secure) + (f"#token={made_up}" if made_up else "")
        self.bench.subscribers.start(self.reactor)

    async def close(self) -> None:
        """Let all readers go, and listen no more."""
        self.bench.subscribers.stop()
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
            self._port = None


def _url(address: IAddress, *, secure: bool) -> str:
    """Return where the page is, for a person."""
    scheme = "https" if secure else "http"
    if isinstance(address, IPv4Address | IPv6Address):
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"{scheme}://{host}:{address.port}/"
    name = printable(getattr(address, "name", None) or str(address))
    return f"at the Unix socket {name}, as http://localhost/"
