"""``proxyreload backend ID PORT``: one backend by itself."""

from typing import cast

from twisted.internet.error import CannotListenError
from twisted.python.usage import UsageError

from proxyreload.backend.backend import Backend
from proxyreload.bus import EventBus
from proxyreload.clock import monotonic_ns
from proxyreload.command.base import Options
from proxyreload.command.numbers import whole
from proxyreload.errors import ExitStatus, StartError
from proxyreload.proxy.ports import require_free
from proxyreload.reactor import IReactor


class BackendOptions(Options):
    """proxyreload backend ID PORT."""

    synopsis = "proxyreload backend [--host ADDRESS] ID PORT"
    longdesc = "Serves one numbered backend until it is ended by Ctrl-C or SIGTERM."
    optParameters = [["host", None, "127.0.0.1", "The address to listen on"]]  # noqa: RUF012

    def parseArgs(self, *words: str) -> None:
        """Take number and port."""
        if len(words) != 2:  # noqa: PLR2004
            msg = "backend takes ID and PORT: proxyreload backend 0 1030"
            raise UsageError(msg)
        self["instance"] = whole("ID", words[0], 0, 10**9)
        self["port"] = whole("PORT", words[1], 1, 65535)


def serve_backend(words: list[str]) -> int:
    """Serve until a signal ends it."""
    options = BackendOptions()
    options.parseOptions(words)
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)
    instance, port, host = options["instance"], options["port"], options["host"]
    require_free(host, port, f"backend {instance}")
    backend = Backend(instance, port, EventBus(), monotonic_ns, host)
    try:
        backend.start(reactor)
    except CannotListenError as error:
        msg = f"port {port} cannot be listened on: {error.socketError}"
        raise StartError(msg) from error
    print(f"backend {instance} on http://{backend.address}/", flush=True)  # noqa: T201
    reactor.addSystemEventTrigger("before", "shutdown", backend.stop)
    reactor.run()
    return ExitStatus.LOSSLESS
