"""The service that the options ask for."""

from collections.abc import Callable

from proxyreload.plan.settings import Settings
from proxyreload.service.run_service import RunService
from proxyreload.system.reactor import IReactor
from proxyreload.terminal.display import display_on
from proxyreload.web.place import WebSettings
from proxyreload.web.web_service import WebService

#: Standard output by its number: twistd puts its log in the place of sys.stdout.
_OUTPUT = 1


def service_of(
    settings: Settings,
    web: WebSettings | None,
    reactor: IReactor,
    complain: Callable[[str], None],
    finished: Callable[[int], None],
) -> RunService | WebService:
    """Return the service that the options ask for, on standard output."""
    if web is None:
        return RunService(settings, reactor, display_on(_OUTPUT), complain, finished)
    return WebService(settings, web, reactor, lambda: display_on(_OUTPUT), complain, finished)
