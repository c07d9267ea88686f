"""The reactor's roles that this program uses, as one type; the reactor itself is always passed in."""

from contextlib import suppress

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorPluggableNameResolver,
    IReactorSocket,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUDP,
    IReactorUNIX,
)


class IReactor(
    IReactorCore,
    IReactorFDSet,
    IReactorPluggableNameResolver,
    IReactorSocket,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUDP,
    IReactorUNIX,
):
    """A real reactor."""


def wait_for_no_thread(reactor: IReactor) -> None:
    """Let the reactor end without its threads: one may be stuck in a look-up of a name for half a minute."""

    def leave_them() -> None:
        trigger = getattr(reactor, "threadpoolShutdownID", None)
        if trigger is not None:
            with suppress(ValueError):
                reactor.removeSystemEventTrigger(trigger)

    reactor.addSystemEventTrigger("before", "shutdown", leave_them)
