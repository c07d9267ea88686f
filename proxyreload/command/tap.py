"""``twistd proxyreload``: the same run as a service."""

import sys
from typing import cast

from twisted.application.service import IService
from twisted.logger import Logger

from proxyreload.command.options import RunOptions
from proxyreload.command.serving import service_of
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import line_of

#: The name that twistd looks for.
Options = RunOptions


def makeService(options: RunOptions) -> IService:
    """Return the service; when its run is over it stops the reactor."""
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)

    def complain(text: str) -> None:
        # twistd puts its log in the place of sys.stderr; a daemon has nothing but the log.
        lines = list(map(line_of, text.split("\n")))
        Logger("proxyreload").error("{text}", text="\n".join(lines))
        print("proxyreload:", "\n".join(lines), file=sys.__stderr__)

    def finished(_status: int) -> None:
        # It may be over before the reactor runs, and when twistd itself stops the service there is nothing to stop.
        reactor.callWhenRunning(lambda: reactor.callLater(0, _stop, reactor))

    return cast(IService, service_of(options.settings, options.web, reactor, complain, finished))


def _stop(reactor: IReactor) -> None:
    if reactor.running:
        reactor.stop()
