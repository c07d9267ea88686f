"""``twistd proxyreload``: the same run as a service."""

import sys
from typing import cast

from twisted.application.service import IService

from proxyreload.command.options import RunOptions
from proxyreload.command.service import RunService
from proxyreload.reactor import IReactor
from proxyreload.reporters.display import standard_output

#: The name that twistd looks for.
Options = RunOptions


def makeService(options: RunOptions) -> IService:
    """Return the service; when its run is over it stops the reactor."""
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)

    def complain(text: str) -> None:
        print(f"proxyreload: {text}", file=sys.stderr)  # noqa: T201

    def finished(_status: int) -> None:
        # Not while twistd itself is stopping the service.
        if reactor.running:
            reactor.callLater(0, _stop, reactor)

    return cast(IService, RunService(options.settings, reactor, standard_output(), complain, finished))


def _stop(reactor: IReactor) -> None:
    if reactor.running:
        reactor.stop()
