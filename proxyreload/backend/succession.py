"""A numbered backend that can be there again while the one before it still has an answer to give."""

from collections.abc import Callable

import attrs
from twisted.internet.task import deferLater
from zope.interface import implementer

from proxyreload.backend.interfaces import IBackend
from proxyreload.errors import StartError
from proxyreload.system.reactor import IReactor
from proxyreload.system.waiting import together

#: One that leaves gives its port up at once; in a process of its own that takes until it has heard of it. For so long
#: the next one tries to have it, and so often.
_TRIES_FOR_S, _TRY_AGAIN_S = 5.0, 0.05


@implementer(IBackend)
@attrs.define(eq=False)
class Succession:
    """The backends of one number, one after another: a deployment adds a new one where another drains."""

    instance: int
    host: str
    port: int
    make: Callable[[], IBackend]
    _current: IBackend | None = attrs.field(default=None, init=False)
    _leaving: list[IBackend] = attrs.field(factory=list, init=False)

    async def start(self, reactor: IReactor) -> None:
        """Start the next one; raises `StartError`."""
        deadline_s = reactor.seconds() + _TRIES_FOR_S
        while True:
            if self._current is not None:  # it was killed, or did not start
                await self._current.stop()
            self._current = self.make()
            try:
                await self._current.start(reactor)
            except StartError:
                if not self._leaving or reactor.seconds() >= deadline_s:
                    raise
            else:
                return
            await deferLater(reactor, _TRY_AGAIN_S)

    async def leave(self) -> None:
        """Let the present one leave; done when it is gone. The next can be started before that."""
        leaving, self._current = self._current, None
        if leaving is not None:
            self._leaving.append(leaving)
            await leaving.leave()
            await leaving.stop()
            self._leaving.remove(leaving)

    async def kill(self) -> None:
        """Crash the present one."""
        if self._current is not None:
            await self._current.kill()

    async def stop(self) -> None:
        """End them all."""
        await together([each.stop() for each in self._all])

    def hurry(self) -> None:
        """Let none of them take any time."""
        for each in self._all:
            each.hurry()

    @property
    def _all(self) -> list[IBackend]:
        return [*self._leaving, *([] if self._current is None else [self._current])]
