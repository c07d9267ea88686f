"""A run as a Twisted service, with its terminal."""

from collections.abc import Callable, Sequence
from math import isinf

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from proxyreload.errors import ExitStatus, ProxyreloadError
from proxyreload.plan.settings import Settings
from proxyreload.proxy.folder import exposure
from proxyreload.record.junit import JUnitFile
from proxyreload.run.run import Run
from proxyreload.service.report_file import ReportFile
from proxyreload.system.clock import monotonic_ns
from proxyreload.system.reactor import IReactor
from proxyreload.terminal.display import IDisplay
from proxyreload.terminal.summary import summary_lines
from proxyreload.terminal.terminal import Terminal
from proxyreload.verdict.judgement import Judgement, counted


@attrs.define(eq=False, slots=False)
class RunService(Service):
    """Runs once when started; when stopped before, ends the run in order, with its verdict written."""

    settings: Settings
    reactor: IReactor
    display: IDisplay
    complain: Callable[[str], None]  #: takes an error, for standard error
    finished: Callable[[int], None]  #: takes the exit status when all is over
    watch: Callable[[Run], None] | None = None  #: takes the run before it begins, for more reporters
    judgement: Judgement | None = attrs.field(default=None, init=False)  #: once it is over, unless it could not start
    _run: Run | None = attrs.field(default=None, init=False)
    _doing: str = attrs.field(default="", init=False)  # once the run is over
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
            str(self.settings.files.csv),
            monotonic_ns,
            lambda elapsed_s: self._doing or (run.play.ahead(elapsed_s) if run.play is not None else ""),
            _announcement(self.settings),
        )
        terminal.subscribe(run.bus)
        terminal.start(self.reactor)
        if self.watch is not None:
            self.watch(run)
        status, complaint = int(ExitStatus.INVALID), ""
        files = self.settings.files
        report = None if files.report is None else ReportFile(files.report, files.report_required)
        junit = None if files.junit is None else JUnitFile(files.junit, self._name)
        try:
            self._say_exposure()
            if report is not None:
                report.claim()
            judgement = await (run.execute() if junit is None else junit.record(run.execute, run.observation))
            self.judgement = judgement
            written = await self._written(run, report)
            if junit is not None and junit.unwritten:
                written.append(junit.unwritten)
            self._conclude(run, terminal, judgement, written)
            status = int(judgement.verdict.exit_status)
            if (report is not None and report.failed) or (junit is not None and junit.unwritten):
                status = int(ExitStatus.INVALID)
        except ProxyreloadError as error:
            status, complaint = int(error.status), str(error)
        except Exception:  # noqa: BLE001  (a defect of ours, said as such)
            complaint = f"internal error\n{Failure().getTraceback()}"
        finally:
            if report is not None:
                report.close()
        self._run = None
        terminal.stop()
        if complaint:
            self.complain(complaint)
        self.finished(status)

    def _say_exposure(self) -> None:
        """Say who else on the host could reach the proxy of the run; raises `UsageError` if it has no place at all."""
        exposed = exposure() if self.settings.is_ours else ""
        if exposed:
            self.complain(exposed)

    @property
    def _name(self) -> str:
        choice = self.settings.choice
        return choice.name if choice is not None else self.settings.target.url

    async def _written(self, run: Run, report: ReportFile | None) -> list[str]:
        """Write the report, if one is wanted, and return lines that say where all is, and what is not."""
        files = self.settings.files
        written = [str(files.csv), *([] if run.unwritten else [str(files.run)])]
        missing = [run.unwritten] if run.unwritten else []
        if report is not None:
            self._doing = f"writing {report.path}"
            # In a thread, for it takes a second or two, and this may be a service with other things to do.
            pool = self.reactor.getThreadPool()
            why_not = await deferToThreadPool(self.reactor, pool, report.write, files.csv, files.run)
            if why_not:
                missing.append(why_not)
            else:
                written.append(str(report.path))
        return [f"written: {', '.join(written)}", *missing]

    def _conclude(self, run: Run, terminal: Terminal, judgement: Judgement, written: Sequence[str]) -> None:
        choice = self.settings.choice
        about = self.settings.target.url if choice is None or not self.settings.is_ours else run.proxy_version
        what = about if choice is None else f"{choice.name}, {about}"
        cure = choice.mechanism.cure if choice is not None else None
        helps = f"{cure.advice}, {cure.link}" if cure is not None else ""
        terminal.conclude(summary_lines(run.observation, judgement, what, written, helps), run.observation.ended_ns)


def _announcement(settings: Settings) -> str:
    scenario = settings.scenario
    what = f"{settings.choice.name}: {scenario.title}" if settings.choice is not None else settings.target.url
    clients = f"{counted(settings.load.clients, 'client')} and the probe"
    load = (
        "each sends as soon as it has its answer"
        if settings.load.rate_per_s is None
        else f"{settings.load.rate_per_s:g}/s"
    )
    until = "until Ctrl-C" if isinf(scenario.duration_s) else f"{scenario.duration_s:g} s"
    return f"{what}; {clients}, {load}; {until}; every request is written to {settings.files.csv}"
