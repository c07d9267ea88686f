"""Waiting for something to become true, with a limit."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.defer import TimeoutError as LateError  # what addTimeout raises
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

T = TypeVar("T")

#: How often a condition is looked at that no event announces.
POLL_INTERVAL_S = 0.01


async def until(
    reactor: IReactorTime,
    condition: Callable[[], Awaitable[bool]],
    timeout_s: float,
    interval_s: float = POLL_INTERVAL_S,
) -> bool:
    """Look at `condition` every `interval_s` until it holds; False if it did not within `timeout_s`."""
    deadline_s = reactor.seconds() + timeout_s
    while not await condition():
        if reactor.seconds() >= deadline_s:
            return False
        await deferLater(reactor, interval_s)
    return True


async def within(reactor: IReactorTime, work: Coroutine[Deferred[Any], Any, T], timeout_s: float) -> T:
    """Await `work`, but cancel it after `timeout_s`; raises `LateError` then.

    It is over then, or when this is cancelled, whatever the work makes of its own cancellation: somebody else's code
    may ignore it, and is left to itself.
    """
    over: Deferred[T] = Deferred(lambda _over: working.cancel())
    working: Deferred[T] = Deferred.fromCoroutine(work)

    def settle(outcome: T | Failure) -> None:
        if not over.called:
            over.callback(outcome)  # a Failure goes the way of errors

    working.addBoth(settle)
    return await over.addTimeout(timeout_s, reactor)


async def awaited(work: Awaitable[object] | None) -> None:
    """Await whatever was returned: nothing, or something to await."""
    if work is not None:
        await work


async def together(works: Iterable[Awaitable[object] | None]) -> None:
    """Await all of them at once; raises what the first in order has failed with, when none is under way any more."""
    working = [Deferred.fromCoroutine(awaited(work)) for work in works]
    for _success, outcome in await DeferredList(working, consumeErrors=True):
        if isinstance(outcome, Failure):
            outcome.raiseException()


__all__ = ["POLL_INTERVAL_S", "LateError", "awaited", "together", "until", "within"]
