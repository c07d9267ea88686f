"""Signals that end a run in order."""

import signal
from collections.abc import Callable

from proxyreload.system.clock import ClockNs, monotonic_ns
from proxyreload.system.reactor import IReactor

#: Who signals us and our process group means one signal: timeout(1), or a terminal and the one file's bootloader, which
#: passes on what we have had from the terminal already. Nobody presses Ctrl-C twice in that time.
ECHO_NS = 100_000_000


def on_signals(reactor: IReactor, interrupt: Callable[[], None], clock_ns: ClockNs = monotonic_ns) -> None:
    """Call `interrupt` on Ctrl-C, SIGTERM and SIGHUP, where Twisted would stop the reactor under the run."""
    last_ns: dict[int, int] = {}

    def arrived(number: int, _frame: object) -> None:
        now_ns = clock_ns()
        if now_ns - last_ns.get(number, -ECHO_NS) >= ECHO_NS:
            last_ns[number] = now_ns
            reactor.callFromThread(interrupt)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, arrived)
