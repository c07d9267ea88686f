"""A backend's resource under `twisted.web.server.Site`, as anybody would serve it: PORT."""

import sys
from typing import Any, cast

from twisted.internet import reactor as installed
from twisted.web.server import Site

from proxyreload.backend.resource import BackendResource
from proxyreload.system.reactor import IReactor


def main(port: str) -> None:
    """Serve until SIGTERM."""
    reactor = cast(IReactor, installed)
    reactor.listenTCP(int(port), cast(Any, Site(BackendResource(0))), interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])
