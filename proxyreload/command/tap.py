"""``twistd proxyreload``: the same run as a service."""

import atexit
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from twisted.application.service import IService
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from proxyreload.cli.signals import on_signals
from proxyreload.command.options import RunOptions
from proxyreload.command.serving import service_of
from proxyreload.errors import ExitStatus
from proxyreload.proxy.watchdog import leave_at_once
from proxyreload.system import standard
from proxyreload.system.reactor import IReactor

#: The name that twistd looks for.
Options = RunOptions


def makeService(options: RunOptions) -> IService:
    """Return the service; when its run is over it stops the reactor, and twistd ends with the run's exit status."""
    statuses: list[int] = []
    # twistd knows no status but 0 and 1, nor whether there is a verdict.
    atexit.register(_leave, statuses)
    return service(options, statuses.append)


def service(options: RunOptions, over: Callable[[int], object]) -> IService:
    """Return the service; `over` takes the run's exit status before the reactor is stopped."""
    standard.occupy()
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)

    def complain(text: str) -> None:
        # twistd puts its log in the place of sys.stderr; a daemon has nothing but the log.
        Logger("proxyreload").error("{text}", text=text)
        standard.say(text)

    def finished(status: int) -> None:
        over(status)
        # A signal that comes between Twisted's own handlers and ours is Twisted's: it would end by it in the end.
        cast(Any, reactor)._exitSignal = None  # noqa: SLF001
        # It may be over before the reactor runs, and when twistd itself stops the service there is nothing to stop.
        reactor.callWhenRunning(lambda: reactor.callLater(0, _stop, reactor))

    made = service_of(options.settings, options.web, reactor, complain, finished)
    on_signals(reactor, made.interrupt, leave_at_once)
    return cast(IService, made)


def _stop(reactor: IReactor) -> None:
    with suppress(ReactorNotRunning):
        reactor.stop()


def _leave(statuses: list[int]) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(statuses[0] if statuses else ExitStatus.INVALID)
