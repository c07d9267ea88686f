"""Runs cases: each as it is, then with its cure."""

from collections.abc import Callable, Sequence

import attrs

from proxyreload.casebook.bug import Bug, Expectation, Turn
from proxyreload.casebook.finding import Finding, found
from proxyreload.comparison.trial import attempt
from proxyreload.errors import StartError
from proxyreload.plan.settings import Settings
from proxyreload.proxy.named import parted
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

    @property
    def cannot(self) -> bool:
        """Whether that is because the program is of a version that does not show it, or has no cure."""
        return self.shown.finding.cannot or self.healed.finding.cannot


@attrs.frozen
class Planned:
    """A case, and what its two runs are asked to do, each with a folder for its files."""

    bug: Bug
    shown: Settings
    cured: Settings
    cannot: str = ""  #: why it cannot show itself, or not be cured, with the programs that there are


@attrs.frozen
class Unplanned:
    """A case of which a run cannot be asked for: a program that is not to be had."""

    bug: Bug
    why: str


@attrs.define(eq=False)
class Casebook:
    """The cases, one after another."""

    reactor: IReactor
    clock_ns: ClockNs
    planned: Sequence[Planned | Unplanned]
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
            why = each.why if isinstance(each, Unplanned) else each.cannot
            if isinstance(each, Unplanned) or why:
                nothing = Finding(why=why, cannot=isinstance(each, Planned))
                self._over(Result(bug, Outcome(bug.expected, nothing), Outcome(bug.healed, nothing)))
                continue
            shown = Outcome(bug.expected, await self._try(bug, each.shown, bug.shown, "shown"))
            healed = Outcome(bug.healed, await self._try(bug, each.cured, bug.cured, "cured"))
            self._over(Result(bug, shown, healed))
        return self.results

    def _over(self, result: Result) -> None:
        self.results.append(result)
        self.tell(result)

    async def _try(self, bug: Bug, settings: Settings, turn: Turn, what: str) -> Finding:
        if self._runs.interrupted:
            return Finding(why="ended before its turn")
        self.doing = f"{bug.name}, {what}: {turn.mechanism}"
        try:
            with self._runs.begun(settings) as run:
                trial = await attempt(run, 1, versioned=parted(turn.mechanism)[1] is not None)
        except StartError as error:
            return Finding(why=str(error))
        if trial.judgement is None:
            return Finding(why=trial.why, cannot=trial.cannot)
        return found(settings.files.run, settings.files.losses, bug.expected.kind)
