"""Gives back what was started: each thing has its time, and one that cannot be given back keeps nothing else."""

from contextlib import AsyncExitStack
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import WORDS_LIMIT, one_line
from proxyreload.system.waiting import awaited, within

#: How long each thing may take to be given back.
GIVE_BACK_LIMIT_S = 60.0
#: And how long once nobody wants to wait.
AT_ONCE_LIMIT_S = 2.0


@attrs.define(eq=False)
class GiveBack:
    """Awaits what closes something, for a while."""

    reactor: IReactor
    _limit_s: float | None = attrs.field(default=None, init=False)
    _under_way: Deferred[None] | None = attrs.field(default=None, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def hurry(self) -> None:
        """Give each thing little time from now on, what is under way too."""
        self._limit_s = AT_ONCE_LIMIT_S
        if self._under_way is not None:
            self._under_way.addTimeout(AT_ONCE_LIMIT_S, self.reactor)

    def later(self, stack: AsyncExitStack, close: Any, *arguments: object) -> None:  # noqa: ANN401
        """Call `close` when the stack ends, and await what it returns, if that can be awaited."""
        stack.push_async_callback(self._now, close, *arguments)

    async def _now(self, close: Any, *arguments: object) -> None:  # noqa: ANN401
        limit_s = GIVE_BACK_LIMIT_S if self._limit_s is None else self._limit_s
        try:
            giving = self._under_way = Deferred.fromCoroutine(within(self.reactor, awaited(close(*arguments)), limit_s))
            await giving
        except BaseException as error:  # noqa: BLE001
            said = one_line(f"{type(error).__name__}: {error}", WORDS_LIMIT)
            self._log.warn("{what} was not given back: {error}", what=close, error=said)
        finally:
            self._under_way = None
