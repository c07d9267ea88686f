"""Trials and rows of a comparison."""

from collections import Counter
from pathlib import Path

from proxyreload.comparison.trial import Trial
from proxyreload.verdict.judgement import Judgement, Verdict
from proxyreload.verdict.latency import Latency, Packed

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
