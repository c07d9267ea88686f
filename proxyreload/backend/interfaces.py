"""The role of a backend, wherever it runs."""

from collections.abc import Awaitable

from zope.interface import Attribute, Interface

from proxyreload.system.reactor import IReactor


class IBackend(Interface):
    """A numbered backend on a port of its own."""

    instance: int = Attribute("its number")
    host: str = Attribute("the address it listens on")
    port: int = Attribute("its port")

    def start(reactor: IReactor) -> Awaitable[None]:
        """Listen; raises `proxyreload.errors.StartError` if that cannot be done.

        One that was killed can start anew, and one of a `Succession` while the one before still leaves.
        """

    def leave() -> Awaitable[None]:
        """End it as a deployment does, and call back when it is gone.

        It listens no more, closes the connections that rest, says ``Connection: close`` with what it still answers, and
        is gone when the last request has its answer.
        """

    def kill() -> Awaitable[None]:
        """Crash it: from now on nobody listens, and every connection is gone. Done when its port may be had again."""

    def stop() -> Awaitable[None]:
        """Listen no more, and drop every connection."""

    def hurry() -> None:
        """Let `stop` take no time, also when it is waiting already."""
