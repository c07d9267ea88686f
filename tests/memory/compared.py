"""Trials and rows of a comparison."""

from collections import Counter
from pathlib import Path

import attrs

from proxyreload.comparison.trial import Trial
from proxyreload.errors import StartError
from proxyreload.plan.settings import Settings
from proxyreload.verdict.judgement import Judgement, Verdict
from proxyreload.verdict.latency import Latency, Packed
from proxyreload.verdict.observation import Observation

RUN = Path("run.json")


def latency(*values_us: int) -> Packed:
    recorded = Latency()
    recorded.record(values_us)
    return recorded.packed()


def trial(verdict: Verdict, *losses: int, failure: str = "timeout", reasons: tuple[str, ...] = ()) -> Trial:
    return Trial(
        1,
        RUN,
        Judgement(verdict, reasons),
        proxy_version="fake 1.2",
        exchanges=1000,
        failures=Counter({failure: sum(losses)}) if sum(losses) else Counter(),
        losses=losses,
        in_windows=1000,
        applied_ns=(1_000_000, 3_000_000),
        effective_ns=(2_000_000,),
        front_closed=Counter({"announced": 2, "idle": 1}),
        back_closed=4,
        stragglers=5,
        steady=latency(100),
        around=latency(300),
        baseline=latency(50),
    )


@attrs.define(eq=False)
class FakeRun:
    """A run that has its judgement at once, or its error."""

    settings: Settings
    reactor: object
    clock_ns: object
    observation: Observation = attrs.field(factory=Observation, init=False)
    proxy_version: str = attrs.field(default="fake 1.0", init=False)
    play: None = attrs.field(default=None, init=False)
    at_once: bool = attrs.field(default=False, init=False)

    async def execute(self) -> Judgement:
        choice, files = self.settings.choice, self.settings.files
        assert files.csv.parent == files.losses.parent == files.run.parent
        if choice is not None and choice.name == "fake:slow":
            message = "fake is not installed"
            raise StartError(message)
        return Judgement(Verdict.SEAMLESS, ())
