"""A run as a Twisted service, with its terminal."""

from collections.abc import Callable
from math import isinf

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from proxyreload.clock import monotonic_ns
from proxyreload.errors import ExitStatus, ProxyreloadError
from proxyreload.reactor import IReactor
from proxyreload.reporters.display import IDisplay
from proxyreload.reporters.summary import summary_lines
from proxyreload.reporters.terminal import Terminal
from proxyreload.run import Run
from proxyreload.settings import Settings
from proxyreload.verdict.judgement import Judgement, counted


@attrs.define(eq=False, slots=False)
class RunService(Service):
    """Runs once when started; when stopped before, ends the run in order, with its verdict written."""

    settings: Settings
    reactor: IReactor
    display: IDisplay
    complain: Callable[[str], None]  #: takes an error, for standard error
    finished: Callable[[int], None]  #: takes the exit status when all is over
    _run: Run | None = attrs.field(default=None, init=False)
    _over: Deferred[None] | None = attrs.field(default=None, init=False)

    def startService(self) -> None:
        """Start the run."""
        super().startService()
        self._over = Deferred.fromCoroutine(self._execute())

    def stopService(self) -> Deferred[None] | None:
        """End the run; fires when everything is given back."""
        super().stopService()
        self.interrupt()
        return self._over

    def interrupt(self) -> None:
        """End the run early; a second time, at once."""
        if self._run is not None:
            self._run.interrupt()

    async def _execute(self) -> None:
        run = self._run = Run(self.settings, self.reactor, monotonic_ns)
        terminal = Terminal(
            self.display,
            run.observation.counts,
            self.settings.log,
            str(self.settings.csv),
            monotonic_ns,
            lambda elapsed_s: run.play.ahead(elapsed_s) if run.play is not None else "",
            _announcement(self.settings),
        )
        terminal.subscribe(run.bus)
        terminal.start(self.reactor)
        status, complaint = int(ExitStatus.INVALID), ""
        try:
            judgement = await run.execute()
            self._conclude(run, terminal, judgement)
            status = int(judgement.verdict.exit_status)
        except ProxyreloadError as error:
            status, complaint = int(error.status), str(error)
        except Exception:  # noqa: BLE001  (a defect of ours, said as such)
            complaint = f"internal error\n{Failure().getTraceback()}"
        self._run = None
        terminal.stop()
        if complaint:
            self.complain(complaint)
        self.finished(status)

    def _conclude(self, run: Run, terminal: Terminal, judgement: Judgement) -> None:
        choice = self.settings.choice
        what = f"{choice.name}, {run.proxy_version}" if choice is not None else self.settings.target.url
        terminal.conclude(summary_lines(run.observation, judgement, what), run.observation.ended_ns)


def _announcement(settings: Settings) -> str:
    scenario = settings.scenario
    what = f"{settings.choice.name}: {scenario.title}" if settings.choice is not None else settings.target.url
    clients = f"{counted(settings.clients, 'client')} and the probe"
    load = "each sends as soon as it has its answer" if settings.rate_per_s is None else f"{settings.rate_per_s:g}/s"
    until = "until Ctrl-C" if isinf(scenario.duration_s) else f"{scenario.duration_s:g} s"
    return f"{what}; {clients}, {load}; {until}; every request is written to {settings.csv}"
