"""Lets the reactor run until a command's work is over, or a signal ends it."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

from proxyreload.cli.signals import on_signals, raise_on_signals
from proxyreload.errors import StartError
from proxyreload.proxy.watchdog import leave_at_once
from proxyreload.system.defect import in_a_line
from proxyreload.system.reactor import IReactor, wait_for_no_thread
from proxyreload.system.standard import say
from proxyreload.system.unhandled import begin_log
from proxyreload.terminal.progress import ProgressBar

T = TypeVar("T")


def until_over(
    reactor: IReactor,
    work: Callable[[], Coroutine[Deferred[Any], Any, T]],
    interrupt: Callable[[], None],
    what: str,
    leave: Callable[[], None] = leave_at_once,
) -> T:
    """Do the work, and return what it came to, or raise what it raised.

    A signal interrupts it; what it does then is its own to say, and it is waited for. `leave` is what a third signal
    does. Raises `StartError` if it was stopped from outside before it came to anything: it is called `what`.
    """
    outcomes: list[T | Failure] = []
    working: list[Deferred[None]] = []

    def over(outcome: T | Failure) -> None:
        outcomes.append(outcome)
        with suppress(ReactorNotRunning):  # it was stopped from outside
            reactor.stop()

    def start() -> None:
        working.append(Deferred.fromCoroutine(work()).addBoth(over))

    def end() -> Deferred[None] | None:
        """Give back what was started, whoever stops the reactor."""
        interrupt()
        return working[0] if working else None

    begin_log(lambda error: say(in_a_line(error)))
    on_signals(reactor, interrupt, leave)
    reactor.callWhenRunning(start)
    reactor.addSystemEventTrigger("before", "shutdown", end)
    wait_for_no_thread(reactor)
    reactor.run()
    raise_on_signals()
    if not outcomes:
        msg = f"{what} was stopped from outside"
        raise StartError(msg)
    outcome = outcomes[0]
    if isinstance(outcome, Failure):
        outcome.raiseException()
    assert not isinstance(outcome, Failure)  # noqa: S101
    return outcome


def run_to_end(
    reactor: IReactor,
    work: Callable[[], Coroutine[Deferred[Any], Any, T]],
    interrupt: Callable[[], None],
    progress: ProgressBar,
    what: str,
) -> T:
    """Do the work likewise, and show how far it has come."""

    async def shown() -> T:
        progress.start(reactor)
        try:
            return await work()
        finally:
            progress.stop()
            await progress.shown(reactor)

    return until_over(reactor, shown, interrupt, what)
