"""Runs cases: each as it is, then with its cure."""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from proxyreload.casebook.bug import Bug, Expectation, Turn
from proxyreload.casebook.finding import Finding, found
from proxyreload.errors import ProxyreloadError
from proxyreload.plan.settings import Settings
from proxyreload.run.run import Run
from proxyreload.system.clock import ClockNs
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import WORDS_LIMIT, one_line

#: What a run is asked to do, of a turn of a case, with its files in a folder; raises `UsageError`.
Asked = Callable[[Bug, Turn, Path], Settings]


@attrs.frozen
class Outcome:
    """What came of one turn, beside what was expected."""

    expected: Expectation
    finding: Finding

    @property
    def right(self) -> bool:
        """Whether it is what was expected."""
        return self.finding.meets(self.expected)


@attrs.frozen
class Result:
    """What came of a case."""

    bug: Bug
    shown: Outcome
    healed: Outcome

    @property
    def right(self) -> bool:
        """Whether the bug shows, and the cure makes it go away."""
        return self.shown.right and self.healed.right

    @property
    def why_not(self) -> str:
        """Why it could not be run, empty if it could."""
        return self.shown.finding.why or self.healed.finding.why


@attrs.define(eq=False)
class Casebook:
    """The cases, one after another."""

    reactor: IReactor
    clock_ns: ClockNs
    bugs: Sequence[Bug]
    folder: Path  #: in which each turn has a folder for its files
    asked: Asked
    cured: bool = True  #: whether the second run has the cure; without it each case must come out wrong
    tell: Callable[[Result], None] = lambda _result: None  #: called with each result
    results: list[Result] = attrs.field(factory=list, init=False)
    doing: str = attrs.field(default="", init=False)
    _run: Run | None = attrs.field(default=None, init=False)
    _interrupted: bool = attrs.field(default=False, init=False)

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        return len(self.results) / len(self.bugs) if self.bugs else 1.0

    def interrupt(self) -> None:
        """End the run that is under way, and begin no other."""
        self._interrupted = True
        if self._run is not None:
            self._run.interrupt()

    async def execute(self) -> list[Result]:
        """Run them all, in their order."""
        for bug in self.bugs:
            if self._interrupted:
                break
            shown = Outcome(bug.expected, await self._try(bug, bug.shown, "shown"))
            turn = bug.cured if self.cured else bug.shown
            healed = Outcome(bug.healed, await self._try(bug, turn, "cured"))
            result = Result(bug, shown, healed)
            self.results.append(result)
            self.tell(result)
        return self.results

    async def _try(self, bug: Bug, turn: Turn, what: str) -> Finding:
        if self._interrupted:
            return Finding(why="ended before its turn")
        self.doing = f"{bug.name}, {what}: {turn.mechanism}"
        gc.collect()  # or what the run before has left is collected at the cost of this one
        try:
            settings = self.asked(bug, turn, self.folder / bug.name / what)
            self._run = Run(settings, self.reactor, self.clock_ns)
            await self._run.execute()
        except ProxyreloadError as error:
            return Finding(why=one_line(str(error), WORDS_LIMIT))
        finally:
            self._run = None
        return found(settings.files.run, settings.files.losses, bug.expected.kind)
