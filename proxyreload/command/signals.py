"""Signals that end a run in order."""

import signal
from collections.abc import Callable

from proxyreload.reactor import IReactor


def on_signals(reactor: IReactor, interrupt: Callable[[], None]) -> None:
    """Call `interrupt` on Ctrl-C, SIGTERM and SIGHUP, where Twisted would stop the reactor under the run."""

    def arrived(_number: int, _frame: object) -> None:
        reactor.callFromThread(interrupt)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, arrived)
