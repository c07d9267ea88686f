"""Trials that are kept beside their rows, and how long a comparison is going to take."""

import json
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from twisted.internet.defer import Deferred

from proxyreload.comparison.cell import Cell
from proxyreload.comparison.comparison import Comparison
from proxyreload.comparison.condition import UNCHANGED, all_conditions
from proxyreload.comparison.contender import contenders
from proxyreload.comparison.trial import Trial, TrialDisruption, TrialPrice
from proxyreload.comparison.trialfile import NAME, keep, kept, stands_for
from proxyreload.comparison.walltime import by_its_steps, print_wall_times, spoken, total_line, wall_times
from proxyreload.ledger.cause import Cause
from proxyreload.plan.scenario import rolling
from proxyreload.plan.settings import Settings, Target
from proxyreload.proxy import registry as finding
from proxyreload.run import runs as runs_module
from proxyreload.system.clock import NS_PER_S
from proxyreload.system.reactor import IReactor
from proxyreload.verdict.judgement import Judgement, Verdict
from proxyreload.verdict.proof import Proof

from .clocks import result_of
from .compared import FakeRun, trial
from .plugins import PLUGINS

SETTINGS = Settings(Target.front(8080), rolling(2, 0.5, 4))
WHOLE = attrs.evolve(
    trial(Verdict.LOSSY, 0, 3, reasons=("lost",)),
    kinds={"get": (900, 2), "aimed": (100, 1)},
    verdicts={"get": Verdict.LOSSY, "aimed": Verdict.RACY},
    causes={"get": Counter({Cause.KEEP_ALIVE_RACE: 2})},
    left_out={"h2": "it speaks HTTP/1.1"},
    carries_not={"post": "413"},
    proof=Proof(100, 1, 2, 1),
    price=TrialPrice(3, 4096, (1, 2), (5,), 2, 1, {"idle": 3}),
    disruptions={"get": TrialDisruption(5, 0, 7), "stream": TrialDisruption(5, None, None)},
    storm=12,
    aimed=frozenset({"aimed"}),
    refusals=("no",),
    drained_ns=(8,),
    wall_ns=11 * NS_PER_S,
)


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "entry_points", lambda group: PLUGINS if group == "proxyreload.plugins" else ())


def test_a_trial_that_is_kept_is_the_same_again(tmp_path: Path) -> None:
    whole = attrs.evolve(WHOLE, run_file=tmp_path / "one" / "run.json")
    assert keep(whole, "this") == ""
    assert kept(whole.run_file, "this") == kept(whole.run_file) == whole
    assert kept(whole.run_file, "another") is None


def test_one_that_was_spoilt_or_came_to_nothing_is_run_again(tmp_path: Path) -> None:
    run_file = tmp_path / "run.json"
    cannot = Trial(1, run_file, why="it cannot", cannot=True)
    for each in (Trial(1, run_file, why="it was not there"), attrs.evolve(trial(Verdict.INVALID), run_file=run_file)):
        assert (keep(each, "this"), kept(run_file, "this")) == ("", None)
    assert (keep(cannot, "this"), kept(run_file, "this")) == ("", cannot)


def test_where_it_cannot_be_kept_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run_file = tmp_path / "file" / "run.json"
    assert keep(attrs.evolve(WHOLE, run_file=run_file), "this") == (
        f"{run_file.with_name(NAME)} cannot be written: File exists"
    )


@given(st.one_of(st.binary(max_size=50), st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists)))
def test_whatever_is_in_its_place_is_no_trial(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    run_file = tmp_path_factory.mktemp("kept") / "run.json"
    data = content if isinstance(content, bytes) else json.dumps({"format": 1, "of": "this", "trial": content}).encode()
    run_file.with_name(NAME).write_bytes(data)
    assert kept(run_file, "this") is None


def cell(**other: Any) -> Cell:
    (contender,) = contenders(["fake:quick"])
    return Cell.of(contender, UNCHANGED, attrs.evolve(SETTINGS, **other))


def test_it_stands_for_what_was_asked_of_it_and_for_no_file() -> None:
    stands = stands_for(cell(), 1)
    assert stands_for(cell(), 1) == stands
    files = attrs.evolve(SETTINGS.files, csv=Path("other.csv"))
    assert stands_for(cell(files=files, annotations=True), 1) == stands
    others = [cell(wait_old_s=3), cell(load=attrs.evolve(SETTINGS.load, seed=4)), cell(scenario=rolling(3, 0.5, 4))]
    assert stands not in {*(stands_for(each, 1) for each in others), stands_for(cell(), 2)}


class CountedRun(FakeRun):
    """A run that has its judgement at once, and is noted."""

    async def execute(self) -> Judgement:
        RUNS.append(self.settings)
        return await super().execute()


RUNS: list[Settings] = []


def comparison(folder: Path, lines: list[str], *, resume: bool, rounds: int = 2) -> Comparison:
    return Comparison(
        cast(IReactor, object()),
        iter(range(0, 10**15, 4 * NS_PER_S)).__next__,
        contenders(["fake:quick"]),
        SETTINGS,
        folder,
        rounds,
        lines.append,
        conditions=all_conditions(SETTINGS.scenario.actions),
        resume=resume,
    )


def test_it_is_gone_on_with_where_it_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "Run", CountedRun)
    RUNS.clear()
    lines: list[str] = []
    first = comparison(tmp_path, lines, resume=False)
    assert "8 runs, some " in total_line(first, wall_times(first))
    rows = result_of(Deferred.fromCoroutine(first.execute()))
    assert (len(RUNS), len(rows), first.total) == (8, 4, 8)
    assert [run.backends.kill_removed_s for run in RUNS].count(1) == 4
    assert sum(any(group.rtt_s for group in run.load.groups) for run in RUNS) == 4
    assert [row.condition.name for row in rows] == ["near, leaving", "near, killed", "far, leaving", "far, killed"]
    assert rows[0].label == "fake:quick (near, leaving)"
    assert [trial.wall_ns for trial in rows[0].trials] == [4 * NS_PER_S] * 2
    rows[1].trials[1].run_file.with_name(NAME).unlink()
    again = comparison(tmp_path, lines, resume=True)
    assert total_line(again, wall_times(again)) == "1 mechanism under 4 conditions, 2 times: 8 runs, 4 s"
    assert len(result_of(Deferred.fromCoroutine(again.execute()))) == 4
    assert len(RUNS) == 9
    assert sum(line.endswith(", as it was before") for line in lines) == 7
    anew = comparison(tmp_path, lines, resume=False)
    assert total_line(anew, wall_times(anew)).endswith("8 runs, 32 s")
    result_of(Deferred.fromCoroutine(anew.execute()))
    assert len(RUNS) == 17


def test_how_long_each_takes_is_shown_beforehand(tmp_path: Path) -> None:
    console = Console(file=StringIO(), width=120, highlight=False)
    planned = comparison(tmp_path, [], resume=False, rounds=1)
    print_wall_times(console, planned, wall_times(planned))
    head, *_rule, line, below = cast(StringIO, console.file).getvalue().splitlines()
    each = f"some {spoken(by_its_steps(SETTINGS))}"
    assert head.split("  ")[0] == "mechanism"
    assert line.split() == ["fake:quick", *each.split() * 4]
    assert below == f"1 mechanism under 4 conditions, once: 4 runs, some {spoken(4 * by_its_steps(SETTINGS))}"


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3599.6, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_a_time_is_told_in_words(duration_s: float, text: str) -> None:
    assert spoken(duration_s) == text
