"""Runs the same scenario on every contender, in interleaved rounds."""

import random
import re
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred

from proxyreload.comparison.cell import Cell
from proxyreload.comparison.condition import UNCHANGED, Condition
from proxyreload.comparison.contender import Contender
from proxyreload.comparison.row import Row, row_of
from proxyreload.comparison.trial import Trial, attempt
from proxyreload.comparison.trialfile import keep, kept, stands_for
from proxyreload.errors import StartError, UsageError
from proxyreload.history.actions import ROTATE
from proxyreload.plan.settings import Settings
from proxyreload.run.runs import Runs
from proxyreload.system.clock import ClockNs
from proxyreload.system.reactor import IReactor
from proxyreload.verdict.judgement import Verdict, counted

Draw = Callable[[IReactor, Path, Path, Path], Coroutine[Deferred[Any], Any, str]]


@attrs.define(eq=False)
class Comparison:
    """Every contender under every condition once a round, one at a time, each round in an order that `seed` draws."""

    reactor: IReactor
    clock_ns: ClockNs
    contenders: Sequence[Contender]
    settings: Settings  #: of each run but for the contender, the condition and its files
    folder: Path  #: for the files of each run
    rounds: int
    tell: Callable[[str], None] = lambda _line: None  #: called with a line after each trial
    draw: Draw | None = None  #: writes a page of each run; takes its rows, its run file and the page; says why not
    conditions: Sequence[Condition] = (UNCHANGED,)
    resume: bool = False  #: what an earlier comparison has kept in the folder is not run again
    trials: dict[str, list[Trial]] = attrs.field(factory=dict)  #: by the cell's name
    started: str = attrs.field(default="", init=False)  #: when, by the clock on the wall (UTC, ISO 8601)
    _name: str = attrs.field(default="", init=False)
    _runs: Runs = attrs.field(init=False)
    _round: int = attrs.field(default=0, init=False)
    _over: int = attrs.field(default=0, init=False)  # how many trials are
    _drawing: Deferred[str] | None = attrs.field(default=None, init=False)
    _at_once: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Have no run under way."""
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self._runs = Runs(self.reactor, self.clock_ns)

    @property
    def cells(self) -> list[Cell]:
        """Each contender under each condition."""
        return [Cell.of(each, condition, self.settings) for each in self.contenders for condition in self.conditions]

    @property
    def total(self) -> int:
        """How many trials there are."""
        return self.rounds * len(self.contenders) * len(self.conditions)

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        run = self._runs.current
        steps = len(self.settings.scenario.steps)
        part = run.play.done / steps if run is not None and run.play is not None and steps else 0.0
        return (self._over + part) / self.total if self.total else 1.0

    def doing(self) -> str:
        """Say what is being done."""
        run = self._runs.current
        failures = run.observation.counts.failure if run is not None else 0
        lost = f", {counted(failures, 'failure')}" if failures else ""
        return f"round {self._round} of {self.rounds}: {self._name}{lost}"

    def interrupt(self) -> None:
        """End the run that is under way, and start no other; a second time, without waiting."""
        self._at_once = self._runs.interrupted
        self._runs.interrupt()
        if self._drawing is not None:
            self._drawing.cancel()

    async def execute(self) -> list[Row]:
        """Run them all; return a row for each contender under each condition, in the order they were named."""
        chance, cells = random.Random(self.settings.load.seed), self.cells  # noqa: S311
        for number in range(1, self.rounds + 1):
            self._round = number
            for cell in chance.sample(cells, len(cells)):
                if not self._runs.interrupted:
                    await self._take(cell, number)
        return [self._row(cell) for cell in cells]

    def run_file(self, cell: Cell, number: int) -> Path:
        """Return where the run file of a round is."""
        return self.folder / file_name(f"{cell.name} {number}") / "run.json"

    async def _take(self, cell: Cell, number: int) -> None:
        """Have a trial, one that was kept or a new one."""
        self._name, run_file = cell.name, self.run_file(cell, number)
        stands = stands_for(cell, number)
        trial, again = (kept(run_file, stands) if self.resume else None), ", as it was before"
        if trial is None:
            trial, again = await self._try(cell, number, run_file), ""
            unkept = keep(trial, stands)
            if unkept:
                self.tell(unkept)
        self._over += 1
        self.trials.setdefault(cell.name, []).append(trial)
        outcome = trial.judgement.verdict.value if trial.judgement is not None else trial.why
        lost = f", {counted(trial.failures.total(), 'failure')}" if trial.failures else ""
        self.tell(f"{self._over} of {self.total}: {cell.name}: {outcome}{lost}{again}")

    async def _try(self, cell: Cell, number: int, run_file: Path) -> Trial:
        why_not = self._why_not(cell.contender)
        if why_not:
            return Trial(number, run_file, why=why_not, cannot=True)
        begun_ns, beside = self.clock_ns(), run_file.with_name
        files = attrs.evolve(
            self.settings.files,
            csv=beside("data.csv"),
            run=run_file,
            losses=beside("losses.csv"),
            proxy=run_file.parent,
        )
        settings = attrs.evolve(cell.settings, files=files)
        trial = await self._attempt(settings, number, versioned=cell.contender.versioned)
        if trial.judgement is not None and self.draw is not None and not self._at_once:
            await self._draw(self.draw, settings)
        return attrs.evolve(trial, wall_ns=self.clock_ns() - begun_ns)

    def _why_not(self, contender: Contender) -> str:
        """Say why it cannot do what is asked, or not with the user's configuration; empty if it can."""
        actions, tls = self.settings.scenario.actions, self.settings.tls.front
        try:
            if contender.configuration is not None:
                contender.configuration.require(actions, tls=tls)
        except UsageError as error:
            return str(error)
        return contender.choice.why_not(actions, tls=tls)

    async def _attempt(self, settings: Settings, number: int, *, versioned: bool) -> Trial:
        try:
            with self._runs.begun(settings) as run:
                return await attempt(run, number, versioned=versioned)
        except StartError as error:
            return Trial(number, settings.files.run, why=str(error))

    async def _draw(self, draw: Draw, settings: Settings) -> None:
        """Write a run's page; the comparison's says where there is none."""
        page = settings.files.run.with_name("report.html")
        drawing = self._drawing = Deferred.fromCoroutine(
            draw(self.reactor, settings.files.csv, settings.files.run, page)
        )
        try:
            await drawing
        except CancelledError:
            return
        finally:
            self._drawing = None

    def _row(self, cell: Cell) -> Row:
        trials = self.trials.get(cell.name, [])
        why = "" if trials else "not run: ended before its turn"
        mechanism = cell.contender.choice.mechanism
        shows = mechanism.shows if ROTATE in self.settings.scenario.actions else None
        cures = {Verdict.LOSSY: mechanism.cure, Verdict.INEFFECTIVE: shows}
        return row_of(cell.contender.name, trials, cures, why, cell.condition)


def file_name(name: str) -> str:
    """Return a name as a file may have it."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")
