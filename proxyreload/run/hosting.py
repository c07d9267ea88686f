"""Starts the numbered backends of a run, here or each in a process of its own."""

from contextlib import AsyncExitStack
from functools import partial

import attrs

from proxyreload.backend.accepting import AcceptWatch
from proxyreload.backend.backend import Backend
from proxyreload.backend.interfaces import IBackend
from proxyreload.backend.process import BackendProcess
from proxyreload.backend.succession import Succession
from proxyreload.history.order import History
from proxyreload.plan.settings import Settings
from proxyreload.proxy.upstream import Upstream
from proxyreload.run.giveback import GiveBack
from proxyreload.system.clock import ClockNs
from proxyreload.system.reactor import IReactor
from proxyreload.system.sockets import SocketGroup
from proxyreload.system.waiting import together


@attrs.define(eq=False)
class Hosting:
    """The backends that are hosted; none where they are somebody else's."""

    settings: Settings
    reactor: IReactor
    clock_ns: ClockNs
    history: History
    backends: list[IBackend] = attrs.field(factory=list, init=False)

    async def start(self, stack: AsyncExitStack, give_back: GiveBack) -> None:
        """Start them all; raises `StartError` if one cannot be. What was started is given back by `stack`."""
        asked = self.settings.backends
        if not asked.hosted:
            return
        group = None if asked.processes else SocketGroup.on(self.reactor, self.clock_ns, looks=False)
        if group is not None:
            give_back.later(stack, group.close)
        accepting = AcceptWatch(self.history.here, self.clock_ns)
        accepting.start()
        give_back.later(stack, accepting.stop)
        for upstream in self.settings.upstreams.values():
            make = partial(self._backend, upstream, group)
            backend: IBackend = Succession(upstream.instance, upstream.host, upstream.port, make)
            self.backends.append(backend)
            give_back.later(stack, backend.stop)
        await together([backend.start(self.reactor) for backend in self.backends])

    def _backend(self, upstream: Upstream, group: SocketGroup | None) -> IBackend:
        """Make one."""
        instance, port, host = upstream.instance, upstream.port, upstream.host
        if self.settings.backends.processes:
            return BackendProcess(instance, port, self.history, self.clock_ns, host)
        return Backend(instance, port, self.history.here, self.clock_ns, host, group)

    def hurry(self) -> None:
        """Let none of them keep anybody waiting."""
        for backend in self.backends:
            backend.hurry()
