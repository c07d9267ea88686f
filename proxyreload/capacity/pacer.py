"""Makes changes at a pace, by whole runs."""

from collections import defaultdict
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import attrs
from zope.interface import implementer

from proxyreload.bisection.interfaces import Stopped
from proxyreload.bisection.sequential import Decision
from proxyreload.capacity.interfaces import IPacer
from proxyreload.capacity.pacedchange import Due
from proxyreload.capacity.pacetest import PaceTest, Rule, Sign
from proxyreload.capacity.step import Step
from proxyreload.comparison.comparison import file_name
from proxyreload.comparison.trial import Trial, attempt
from proxyreload.errors import CannotError, StartError
from proxyreload.history.events import Change, Phase
from proxyreload.plan.scenario import Scenario, at_pace
from proxyreload.plan.settings import Settings
from proxyreload.proxy.interfaces import ITakesTurns
from proxyreload.run.run import Run
from proxyreload.run.runs import Runs
from proxyreload.system.clock import NS_PER_S, ns
from proxyreload.verdict.judgement import Verdict

#: The clients send for so long before the first change, for a backend's share of the answers is told from these.
BEFORE_S = 0.5
#: And for so long after the last one at most, for it to be seen.
_AFTER_AT_MOST_S = 5.0
#: Runs at one pace that do not decide are not followed by another one.
MOST_RUNS = 4


@attrs.define(eq=False)
class Watch:
    """Counts the changes of a run as they come, and makes no more when it is known that the pace is not kept."""

    run: Run
    rule: Rule
    scenario: Scenario
    within_ns: int
    _hits: dict[Sign, list[bool]] = attrs.field(factory=lambda: defaultdict(list), init=False)

    def changed(self, events: Sequence[Change]) -> None:
        """Note how far changes have come; with a request the window of the change before is over."""
        observation = self.run.observation
        for event in events:
            if event.phase is not Phase.REQUESTED:
                due_ns = observation.started_ns + ns(self.scenario.steps[event.number - 1].at_s or 0.0)
                self._hits[Sign.REFUSES].append(event.phase is Phase.FAILED)
                self._hits[Sign.FALLS_BEHIND].append(event.at_ns - due_ns > self.within_ns)
            elif event.number > 1:
                self._hits[Sign.LOSES].append(bool(observation.changes[event.number - 2].kinds.rated.lost))
        asked = self.rule.signs.keys()
        known = {self.rule.test(hits).decision for sign, hits in self._hits.items() if sign in asked}
        if Decision.BAD in known and self.run.play is not None:
            self.run.play.stop()


@implementer(IPacer)
@attrs.define(eq=False)
class Pacer:
    """A few runs at each pace, in folders of their own."""

    runs: Runs
    name: str  #: of the mechanism
    settings: Settings  #: of each run but for its scenario and its files
    action: str  #: what is changed: ``backends``, or what is done to the proxy
    rule: Rule
    within_s: float  #: each change is to be in effect so long after it was due
    least_s: float  #: for so long changes are made in each run, at least
    folder: Path
    versioned: bool = False  #: it runs a version that was asked for
    doing: str = attrs.field(default="", init=False)
    _number: int = attrs.field(default=0, init=False)

    async def step(self, rate_per_s: float, backends: int) -> Step:
        """Make changes until it is known; raises as `IPacer` says."""
        self.doing = f"{rate_per_s:g} changes/s, {backends} backends"
        test, trials = PaceTest(self.rule, NS_PER_S / rate_per_s), list[Trial]()
        changes = max(self.rule.changes, ceil(rate_per_s * self.least_s))
        scenario = self.scenario(rate_per_s, changes, backends)
        while test.kept is None and len(trials) < MOST_RUNS:
            if self.runs.interrupted:
                raise Stopped
            trial = await self._run(scenario, backends, test)
            trials.append(trial)
            if self.runs.interrupted:
                raise Stopped
            if trial.judgement is None:
                raise (CannotError if trial.cannot else StartError)(trial.why)
            if trial.judgement.verdict is Verdict.INVALID:
                why = "; ".join(trial.judgement.reasons)
                return Step(rate_per_s, backends, test, tuple(trials), (Sign.INVALID,), why)
        signs = test.signs if test.kept is not None else (Sign.UNDECIDED,)
        why = next((words for trial in trials for words in trial.refusals), "") if Sign.REFUSES in signs else ""
        return Step(rate_per_s, backends, test, tuple(trials), signs, why)

    def scenario(self, rate_per_s: float, changes: int, backends: int) -> Scenario:
        """Return what is done in a run."""
        return at_pace(
            self.action, rate_per_s, changes, backends, (BEFORE_S, min(max(self.within_s, BEFORE_S), _AFTER_AT_MOST_S))
        )

    async def _run(self, scenario: Scenario, backends: int, test: PaceTest) -> Trial:
        """Make the changes once, and note what became of them."""
        self._number += 1
        place = self.folder / file_name(self.name) / f"{self._number:03}"
        settings = attrs.evolve(
            self.settings,
            scenario=scenario,
            backends=attrs.evolve(self.settings.backends, number=backends),
            files=attrs.evolve(
                self.settings.files, csv=place / "data.csv", run=place / "run.json", losses=place / "losses.csv"
            ),
        )
        with self.runs.begun(settings) as run:
            watch = Watch(run, self.rule, scenario, ns(self.within_s))
            run.bus.subscribe(Change, watch.changed, "capacity")
            trial = await attempt(run, self._number, versioned=self.versioned)
            due = Due(ns(self.within_s), len(scenario.initial), bool(ITakesTurns.providedBy(run.proxy)))
            observation = run.observation
        at_ns = [observation.started_ns + ns(step.at_s or 0.0) for step in scenario.steps]
        test.runs.append(due.met(observation, at_ns))
        return trial
