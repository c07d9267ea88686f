"""Plugins, and the proxies behind them, that do as they are told."""

from collections.abc import Sequence
from importlib.metadata import EntryPoint

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import IProxy, IRotates, Mechanism, ProxyPlugin
from proxyreload.proxy.upstream import Upstream


@implementer(IProxy)
@attrs.define(eq=False)
class FakeProxy:
    """A proxy of which each call is written down, and ends when and how the test says."""

    calls: list[tuple[str, object]] = attrs.field(factory=list)
    under_way: list[Deferred[None]] = attrs.field(factory=list)
    cancelled: int = 0

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        self.calls.append(("start", list(upstreams)))

    async def add_backend(self, upstream: Upstream) -> None:
        await self._wait("add", upstream)

    async def remove_backend(self, upstream: Upstream) -> None:
        await self._wait("remove", upstream)

    async def stop(self) -> None:
        self.calls.append(("stop", None))

    def done(self) -> None:
        """Let the change under way be applied."""
        self.under_way.pop(0).callback(None)

    def fails(self, error: Exception) -> None:
        """Let the change under way fail."""
        self.under_way.pop(0).errback(Failure(error))

    async def _wait(self, action: str, upstream: Upstream) -> None:
        self.calls.append((action, upstream.instance))
        deferred: Deferred[None] = Deferred(self._cancelled)
        self.under_way.append(deferred)
        await deferred

    def _cancelled(self, _deferred: Deferred[None]) -> None:
        self.cancelled += 1


@implementer(IRotates)
class RotatingProxy(FakeProxy):
    """One that takes another certificate."""

    async def rotate(self) -> None:
        await self._wait("rotate", Upstream(-1, "", 0))


BINARY = Binary("fakeproxy", how_to_get="build it yourself")
plugin = ProxyPlugin(
    name="fake",
    binary=BINARY,
    mechanisms=(
        Mechanism("quick", "at once", lambda _workspace: FakeProxy()),
        Mechanism("slow", "after a while", lambda _workspace: FakeProxy()),
    ),
)

#: As they might be installed: one that works, one that cannot be imported, one that is no plugin.
PLUGINS = (
    EntryPoint("incomplete", f"{__name__}:BINARY", "proxyreload.plugins"),
    EntryPoint("fake", f"{__name__}:plugin", "proxyreload.plugins"),
    EntryPoint("broken", "proxyreload_that_is_not_installed:plugin", "proxyreload.plugins"),
)
