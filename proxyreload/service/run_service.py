"""A run as a Twisted service, with its terminal."""

from collections.abc import Callable, Coroutine, Sequence
from math import isinf
from typing import Any, TypeVar

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred

from proxyreload.errors import ExitStatus, ProxyreloadError
from proxyreload.job.runsummary import JobRun
from proxyreload.job.summaryfile import SummaryFile
from proxyreload.job.workflow import Annotation
from proxyreload.otel.export import TraceExport
from proxyreload.plan.settings import Settings
from proxyreload.plan.traffic import spoken
from proxyreload.proxy.folder import exposure
from proxyreload.record.junit import JUnitFile
from proxyreload.run.run import Run
from proxyreload.service.report_file import ReportFile
from proxyreload.system.clock import monotonic_ns
from proxyreload.system.defect import in_a_line
from proxyreload.system.reactor import IReactor
from proxyreload.terminal.display import IDisplay
from proxyreload.terminal.summary import summary_lines
from proxyreload.terminal.terminal import Terminal
from proxyreload.verdict.judgement import Judgement, counted
from proxyreload.verdict.threshold import Decision

T = TypeVar("T")


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
    _interrupts: int = attrs.field(default=0, init=False)
    _ending: Deferred[Any] | None = attrs.field(default=None, init=False)  # what is waited for once the run is over
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
        """End the run early; a second time, without waiting. Once it is over: wait for nothing that is left to do."""
        self._interrupts += 1
        if self._run is not None:
            self._run.interrupt()
        elif self._ending is not None:
            self._ending.cancel()

    async def _execute(self) -> None:
        status = int(ExitStatus.INVALID)
        try:
            status = await self._run_and_tell()
        except GeneratorExit:  # nobody is there any more
            raise
        except BaseException as error:  # noqa: BLE001  (a defect of ours, said as such)
            self.complain(in_a_line(error))
        finally:
            self._run = None
        self.finished(status)

    async def _run_and_tell(self) -> int:
        """Run, and show what came of it; returns the exit status."""
        run = self._run = Run(self.settings, self.reactor, monotonic_ns)
        terminal = Terminal(
            self.display,
            run.observation.counts,
            self.settings.log,
            str(self.settings.files.csv),
            monotonic_ns,
            lambda elapsed_s: self._doing or (run.play.ahead(elapsed_s) if run.play is not None else ""),
            _announcement(self.settings),
            run.observation.kinds,
        )
        terminal.subscribe(run.bus)
        terminal.start(self.reactor)
        if self.watch is not None:
            self.watch(run)
        for _interrupt in range(self._interrupts):  # it has been ended before it began
            run.interrupt()
        status, complaint = int(ExitStatus.INVALID), ""
        files = self.settings.files
        report = None if files.report is None else ReportFile(files.report, files.report_required)
        junit = None if files.junit is None else JUnitFile(files.junit, self._name)
        trace = TraceExport(self.settings.collector)
        try:
            self._say_exposure()
            status = await self._judged(run, terminal, report, junit, trace)
        except GeneratorExit:
            raise
        except ProxyreloadError as error:
            status, complaint = int(error.status), str(error)
        except BaseException as error:  # noqa: BLE001  (a defect of ours, said as such)
            complaint = in_a_line(error)
        finally:
            if report is not None:
                report.close()
            trace.close()
        if complaint and self.settings.annotations:
            self.display.show([Annotation(error=True, title=f"{self._name}: no verdict", message=complaint).line], "")
        terminal.stop()
        if await self._unless_interrupted(self.display.shown(self.reactor)) is False:
            self.complain("standard output takes nothing: what was left to say is not said")
        if complaint:
            self.complain(complaint)
        return status

    async def _judged(
        self, run: Run, terminal: Terminal, report: ReportFile | None, junit: JUnitFile | None, trace: TraceExport
    ) -> int:
        """Run, and write what came of it; returns the exit status."""
        trace.open(run.bus)
        if report is not None:
            report.claim()
        try:
            judgement, unwritten = await self._summed_up(run, junit)
        finally:
            self._run = None
        self.judgement = judgement
        written = [*await self._written(run, report), *unwritten, *await self._sent(trace, run, judgement)]
        self._conclude(run, terminal, judgement, written)
        if (report is not None and report.failed) or trace.failed or unwritten:
            return int(ExitStatus.INVALID)
        return int(judgement.verdict.exit_status if run.decision is None else run.decision.status)

    async def _summed_up(self, run: Run, junit: JUnitFile | None) -> tuple[Judgement, list[str]]:
        """Run, and write what a job is told of it; returns the lines, too, that say what could not be written."""

        async def execute() -> Judgement:
            if junit is None:
                return await run.execute()
            return await junit.record(run.execute, run.observation, lambda: run.decision)

        path = self.settings.files.summary
        if path is None:
            judgement, summary = await execute(), None
        else:
            summary = SummaryFile(path, self._name)
            with summary.claimed():
                judgement = await execute()
                summary.append(self._job_run(run, judgement).summary())
        unwritten = [each.unwritten for each in (junit, summary) if each is not None]
        return judgement, [*filter(None, unwritten)]

    def _job_run(self, run: Run, judgement: Judgement) -> JobRun:
        decision = run.decision or Decision(judgement.verdict.exit_status)
        return JobRun(run.settings, run.observation, judgement, decision, run.proxy_version)

    async def _unless_interrupted(self, work: Coroutine[Deferred[Any], Any, T]) -> T | None:
        """Await what is left to do once the run is over; None if `interrupt` ends it."""
        ending = self._ending = Deferred.fromCoroutine(work)
        try:
            outcome: T = await ending
        except CancelledError:
            return None
        finally:
            self._ending = None
        return outcome

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
        written = [str(files.csv), str(files.losses), *([] if run.unwritten else [str(files.run)])]
        missing = [run.unwritten] if run.unwritten else []
        if report is not None:
            self._doing = f"writing {report.path}"
            why_not: str | None = None
            if not run.at_once:
                why_not = await self._unless_interrupted(report.write(self.reactor, files.csv, files.run))
            if why_not is None:
                why_not = f"not written: {report.path}: ended by a signal; proxyreload report {files.run} makes it"
            if why_not:
                missing.append(why_not)
            else:
                written.append(str(report.path))
        return [f"written: {', '.join(written)}", *missing]

    async def _sent(self, trace: TraceExport, run: Run, judgement: Judgement) -> Sequence[str]:
        """Send the run's trace, if it is wanted, and return the line that says where it is, or why not."""
        if not trace.wanted:
            return ()
        self._doing = f"sending the trace to {trace.collector.otel}"
        said = None
        if not run.at_once:
            said = await self._unless_interrupted(trace.send(self.reactor, self._job_run(run, judgement)))
        return [trace.unsent("ended by a signal") if said is None else said]

    def _conclude(self, run: Run, terminal: Terminal, judgement: Judgement, written: Sequence[str]) -> None:
        choice = self.settings.choice
        about = self.settings.target.url if choice is None or not self.settings.is_ours else run.proxy_version
        what = about if choice is None else f"{choice.name}, {about}"
        cures = (None, None) if choice is None else (choice.mechanism.cure, choice.mechanism.shows)
        helps, shows = (f"{cure.advice}, {cure.link}" if cure is not None else "" for cure in cures)
        lines = summary_lines(
            run.observation, judgement, what, written, helps, run.settings.left_out, shows, run.decision
        )
        annotations = self._job_run(run, judgement).annotations() if self.settings.annotations else ()
        terminal.conclude([*lines, *(each.line for each in annotations)], run.observation.ended_ns)


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
    others = f"; beside them {spoken(settings.groups)}" if settings.groups else ""
    others += "; over TLS" if settings.target.tls else ""
    return f"{what}; {clients}, {load}{others}; {until}; every request is written to {settings.files.csv}"
