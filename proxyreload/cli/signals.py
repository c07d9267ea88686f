"""What Ctrl-C, SIGTERM and SIGHUP do.

While a reactor runs: the first ends in order, the second without waiting, the third at once. What was ignored when
the program was started stays ignored, here and in whatever is started.
"""

import signal
from collections.abc import Callable, Collection
from types import FrameType
from typing import NoReturn

from proxyreload.system.clock import ClockNs, monotonic_ns
from proxyreload.system.defect import Ended
from proxyreload.system.ending import ENDING
from proxyreload.system.reactor import IReactor

#: Who signals us and our process group means one signal: timeout(1), or a terminal and the one file's bootloader, which
#: passes on what we have had from the terminal already. Nobody presses Ctrl-C twice in that time.
ECHO_NS = 100_000_000
#: Which signal, counted from 1, is the last.
AT_ONCE = 3


def on_signals(
    reactor: IReactor,
    interrupt: Callable[[], None],
    give_up: Callable[[], object],
    clock_ns: ClockNs = monotonic_ns,
    never_ignored: Collection[int] = (),
) -> None:
    """Call `interrupt` in the reactor's turn on each signal that ends a program; from the third on `give_up`, at once.

    To be called before the reactor runs, which sets signals of its own when it starts. `give_up` is called wherever
    the program is, for it may be stuck there.
    """
    ignored = {number for number in ENDING if signal.getsignal(number) is signal.SIG_IGN} - set(never_ignored)
    last_ns: dict[int, int] = {}
    signals = 0

    def arrived(number: int, _frame: FrameType | None) -> None:
        nonlocal signals
        now_ns = clock_ns()
        if now_ns - last_ns.get(number, -ECHO_NS) < ECHO_NS:
            return
        last_ns[number] = now_ns
        signals += 1
        if signals >= AT_ONCE:
            give_up()
        else:
            reactor.callFromThread(interrupt)

    def install() -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN if number in ignored else arrived)

    install()
    reactor.callWhenRunning(install)


def raise_on_signals() -> None:
    """Raise `Ended` on a signal from now on: for a command without a reactor, which cleans up behind itself."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)


def _raise(number: int, _frame: FrameType | None) -> NoReturn:
    raise Ended(signal.Signals(number).name)
