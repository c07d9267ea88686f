"""Keeps a run going until the proxy's replaced processes are gone: what their end does to clients belongs to it.

Settings that cure the moment of a change may move the race to a later one, when an old process ends with what it has.
"""

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from proxyreload.errors import ChangeError, ProxyreloadError
from proxyreload.history.events import OldGeneration
from proxyreload.history.interfaces import Sink
from proxyreload.plan.play import Play
from proxyreload.proxy.foreign import asked, words_of
from proxyreload.proxy.interfaces import IGenerations, IProxy
from proxyreload.proxy.workspace import Workspace
from proxyreload.system.clock import ClockNs, seconds
from proxyreload.system.waiting import LateError

#: How often they are looked for, and how long a plugin may take to say which there are.
INTERVAL_S, ANSWER_LIMIT_S = 0.1, 5.0
#: Clients far away have not seen the end of the last one yet, and what they send then must have its outcome.
AFTERWARDS_S = 1.0


@attrs.define(eq=False)
class OldProcesses:
    """The processes of a proxy that live on only to finish what they have."""

    reactor: IReactorTime
    clock_ns: ClockNs
    sink: Sink
    workspace: Workspace
    proxy: IProxy

    async def outlast(self, limit_s: float, play: Play) -> None:
        """Wait until they are gone, for a while, and tell how many were left; cancelling ends it."""
        start_ns = self.clock_ns()
        first = left = 0
        unknown = ""
        try:
            first = left = len(await self.living())
            while left and seconds(self.clock_ns() - start_ns) < limit_s:
                play.afterwards = f"waits for the old generation of the proxy ({left})"
                await deferLater(self.reactor, INTERVAL_S)
                left = len(await self.living())
            if first and not left:
                await deferLater(self.reactor, AFTERWARDS_S)
        except ProxyreloadError as error:
            unknown = words_of(error)
        finally:
            now_ns = self.clock_ns()
            self.sink.publish(OldGeneration(first, left, now_ns - start_ns, now_ns, unknown))

    async def living(self) -> set[int]:
        """Return their pids; raises `ProxyreloadError` if the plugin cannot say."""
        found = self.workspace.retired()
        proxy = self.proxy
        if IGenerations.providedBy(proxy):

            async def ask() -> None:
                found.update(await proxy.old_processes())

            try:
                await asked(self.reactor, ask, ANSWER_LIMIT_S, ChangeError)
            except LateError as error:
                msg = f"its plugin does not say so within {ANSWER_LIMIT_S:g} s"
                raise ChangeError(msg) from error
        return found
