"""Runs cases: each as it is, then with its cure."""

from collections.abc import Callable, Sequence

import attrs

from proxyreload.casebook.bug import Bug, Expectation
from proxyreload.casebook.finding import Finding, found
from proxyreload.comparison.trial import attempt
from proxyreload.errors import StartError
from proxyreload.plan.settings import Settings
from proxyreload.run.runs import Runs
from proxyreload.system.clock import ClockNs
from proxyreload.system.reactor import IReactor


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


@attrs.frozen
class Planned:
    """A case, and what its two runs are asked to do, each with a folder for its files."""

    bug: Bug
    shown: Settings
    cured: Settings


@attrs.define(eq=False)
class Casebook:
    """The cases, one after another."""

    reactor: IReactor
    clock_ns: ClockNs
    planned: Sequence[Planned]
    tell: Callable[[Result], None] = lambda _result: None  #: called with each result
    results: list[Result] = attrs.field(factory=list, init=False)
    doing: str = attrs.field(default="", init=False)
    _runs: Runs = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Have no run under way."""
        self._runs = Runs(self.reactor, self.clock_ns)

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        return len(self.results) / len(self.planned) if self.planned else 1.0

    def interrupt(self) -> None:
        """End the run that is under way, and begin no other."""
        self._runs.interrupt()

    async def execute(self) -> list[Result]:
        """Run them all, in their order."""
        for each in self.planned:
            if self._runs.interrupted:
                break
            bug = each.bug
            shown = Outcome(bug.expected, await self._try(bug, each.shown, f"shown: {bug.shown.mechanism}"))
            healed = Outcome(bug.healed, await self._try(bug, each.cured, f"cured: {bug.cured.mechanism}"))
            result = Result(bug, shown, healed)
            self.results.append(result)
            self.tell(result)
        return self.results

    async def _try(self, bug: Bug, settings: Settings, what: str) -> Finding:
        if self._runs.interrupted:
            return Finding(why="ended before its turn")
        self.doing = f"{bug.name}, {what}"
        try:
            with self._runs.begun(settings) as run:
                trial = await attempt(run, 1)
        except StartError as error:
            return Finding(why=str(error))
        if trial.judgement is None:
            return Finding(why=trial.why)
        return found(settings.files.run, settings.files.losses, bug.expected.kind)
