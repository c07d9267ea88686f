"""The roles of a proxy plugin."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface, implementer

from proxyreload.proxy.binary import Binary
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace


class IProxy(Interface):
    """One running proxy, changed by one mechanism."""

    def start(upstreams: Sequence[Upstream]) -> Awaitable[None]:
        """Start the proxy with these backends; done when its front port answers.

        Raises `proxyreload.errors.StartError`, with the proxy's own words, if it does not come up.
        """

    def add_backend(upstream: Upstream) -> Awaitable[None]:
        """Add a backend; done when the proxy's own mechanism says that it is applied.

        Raises `proxyreload.errors.ChangeError`, with the proxy's own words, if it refuses.
        """

    def remove_backend(upstream: Upstream) -> Awaitable[None]:
        """Remove a backend, likewise. The backend goes on answering."""

    def stop() -> Awaitable[None]:
        """Stop the proxy, gracefully. Whatever is left afterwards is killed by the workspace."""


#: What a fault injector counts besides failures by class.
FRONT_CHANGED = "front changed"
BACK_CHANGED = "back changed"
STRAGGLERS = "stragglers"


class IFaultInjector(Interface):
    """A proxy that harms its clients on purpose, for the instrument to be tested by."""

    expected: Mapping[str, int] = Attribute("what the clients must have seen: by failure class, and the names above")
    finished: Deferred[None] = Attribute("fires when all faults are done")
    requests: int = Attribute("how many requests it has had")


@attrs.frozen
class Mechanism:
    """One of the ways a proxy can be changed."""

    name: str
    summary: str  #: in a line
    proxy: Callable[[Workspace], IProxy]  #: makes one run's proxy


class IProxyPlugin(Interface):
    """What an entry point of the group ``proxyreload.plugins`` names."""

    name: str = Attribute("as on the command line")
    binary: Binary = Attribute("where its program is found")
    mechanisms: Sequence[Mechanism] = Attribute("the recommended one first")


@implementer(IProxyPlugin)
@attrs.frozen
class ProxyPlugin:
    """A proxy plugin as plain data: all that most need."""

    name: str
    binary: Binary
    mechanisms: Sequence[Mechanism]
