"""The service with the live page: it stays when a run is over."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred

from proxyreload.errors import ExitStatus, ProxyreloadError, UsageError
from proxyreload.plan.settings import Settings
from proxyreload.system.defect import in_a_line
from proxyreload.system.home import some_home
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import one_line
from proxyreload.system.waiting import within
from proxyreload.terminal.display import IDisplay
from proxyreload.web.place import WebSettings

if TYPE_CHECKING:
    from proxyreload.web.server import Page
    from proxyreload.web.workbench import Workbench

#: How long it may take to let the page's readers go.
CLOSE_LIMIT_S = 5.0
_LIBRARIES = ("bokeh", "jinja2", "klein", "numpy", "prometheus_client")


@attrs.define(eq=False, slots=False)
class WebService(Service):
    """Serves the page, starts the first run, and ends both in order."""

    settings: Settings
    web: WebSettings
    reactor: IReactor
    display: Callable[[], IDisplay]
    complain: Callable[[str], None]  #: takes an error, for standard error
    finished: Callable[[int], None]  #: takes the exit status when all is over
    _bench: "Workbench | None" = attrs.field(default=None, init=False)
    _page: "Page | None" = attrs.field(default=None, init=False)
    _end: Deferred[None] = attrs.field(factory=Deferred, init=False)
    _over: Deferred[None] | None = attrs.field(default=None, init=False)

    def startService(self) -> None:
        """Serve."""
        super().startService()
        self._over = Deferred.fromCoroutine(self._serve())

    def stopService(self) -> Deferred[None] | None:
        """End the run and the page; fires when everything is given back."""
        super().stopService()
        self.interrupt()
        return self._over

    def interrupt(self) -> None:
        """End the run, then the page; a second time, the run at once."""
        if self._bench is not None and self._bench.running:
            self._bench.stop()
        if not self._end.called:
            self._end.callback(None)

    async def _serve(self) -> None:
        status = int(ExitStatus.INVALID)
        try:
            bench = self._bench = await self._open()
            first = bench.start()
            first.addCallback(lambda _none: self._first_is_over())
            await self._end
            bench.closing = True
            await bench.idle()
            status = bench.status
        except GeneratorExit:  # nobody is there any more
            raise
        except ProxyreloadError as error:
            status = int(error.status)
            self.complain(str(error))
        except BaseException as error:  # noqa: BLE001  (a defect of ours, said as such)
            self.complain(in_a_line(error))
        try:
            if self._page is not None:
                await within(self.reactor, self._page.close(), CLOSE_LIMIT_S)
        except Exception as error:  # noqa: BLE001  (it keeps nobody from ending)
            self.complain(f"the page was not closed: {one_line(str(error))}")
        self.finished(status)

    async def _open(self) -> "Workbench":
        """Begin to serve; raises `ProxyreloadError`."""
        try:
            with some_home():
                from proxyreload.web.archive import Archive
                from proxyreload.web.server import Page
                from proxyreload.web.workbench import Workbench
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _LIBRARIES:
                raise
            msg = f"--web needs {error.name}, which is not installed: pip install 'proxyreload[web]'"
            raise UsageError(msg) from error
        archive = Archive(self.web.runs)
        archive.open()
        bench = Workbench(self.settings, self.reactor, archive, self.display, self.complain)
        self._page = Page(self.reactor, bench, self.web.names, self.web.token)
        await self._page.listen(self.web.where)
        display = self.display()
        display.show([f"the page is {self._page.url}"], "")
        display.close()
        return bench

    def _first_is_over(self) -> None:
        """Go on serving, unless the very first run could not start: whoever started it should know."""
        if self._bench is not None and not self._bench.judged and not self._end.called:
            self._end.callback(None)
