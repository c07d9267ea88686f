"""The sequential test and its errors, and the search among versions."""

import json
import random
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TypeVar, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.bisection.bisection import ERROR, Bisection, Found, Step
from proxyreload.bisection.interfaces import ITrier, Stopped
from proxyreload.bisection.sequential import CLEAN_PART, Decision, SequentialTest
from proxyreload.bisection.trier import Trier
from proxyreload.command import bisect as command
from proxyreload.errors import ExitStatus, RefusedError, StartError, UsageError
from proxyreload.history.events import Ending
from proxyreload.plan.scenario import default
from proxyreload.plan.settings import Settings, Target
from proxyreload.proxy import registry as finding
from proxyreload.proxy.interfaces import ProxyPlugin
from proxyreload.run import runs as runs_module
from proxyreload.system.cachefolder import CACHE_VARIABLE
from proxyreload.system.reactor import IReactor
from proxyreload.verdict.judgement import Judgement, Verdict
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.windows import Closures, ObservedChange

from .conforming import wrong
from .plugins import BINARY
from .plugins import plugin as fake
from .sourced import FakeSource

Outcome = TypeVar("Outcome")


def ended(deferred: Deferred[Outcome]) -> Outcome:
    """Return what it has come to, or raise it."""
    outcomes: list[Outcome | Failure] = []
    deferred.addBoth(outcomes.append)
    (outcome,) = outcomes
    if isinstance(outcome, Failure):
        raise cast(BaseException, outcome.value)
    return outcome


def decided(chance: random.Random, share: float, test: SequentialTest) -> SequentialTest:
    while test.decision is None:
        test = test.after(hit=chance.random() < share)
    return test


# The test.


@pytest.mark.parametrize("error", [0.01, 0.05])
@pytest.mark.parametrize("bad", [0.05, 0.2, 0.8])
def test_it_errs_as_seldom_as_it_promises(bad: float, error: float) -> None:
    chance = random.Random(1)
    times = 2000
    start = SequentialTest(bad, error)
    of_bad = [decided(chance, bad, start).decision for _time in range(times)]
    of_clean = [decided(chance, start.clean, start).decision for _time in range(times)]
    # More than three standard deviations above what is promised would be chance once in a thousand times.
    most = error * times + 3 * (error * times) ** 0.5
    assert of_bad.count(Decision.GOOD) <= most
    assert of_clean.count(Decision.BAD) <= most


@given(bad=st.floats(0.01, 0.9), error=st.floats(0.0001, 0.1))
def test_what_is_always_hit_is_bad_and_what_never_is_is_good(bad: float, error: float) -> None:
    start = SequentialTest(bad, error)
    for hit, decision in ((True, Decision.BAD), (False, Decision.GOOD)):
        test = start
        while test.decision is None:
            test = test.after(hit=hit)
        assert test.decision is decision
    assert start.clean == bad * CLEAN_PART


@given(st.lists(st.booleans(), max_size=50), st.randoms(use_true_random=False))
def test_the_evidence_is_the_same_in_whatever_order(hits: list[bool], chance: random.Random) -> None:
    def evidence() -> float:
        test = SequentialTest(0.2, 0.01)
        for hit in hits:
            test = test.after(hit=hit)
        return test.evidence

    before = evidence()
    chance.shuffle(hits)
    assert evidence() == before


def test_a_worse_version_takes_fewer_changes() -> None:
    chance = random.Random(2)
    start = SequentialTest(0.2, 0.002)
    means = [sum(decided(chance, share, start).changes for _time in range(300)) / 300 for share in (0.2, 0.5, 1.0)]
    assert means[0] > means[1] > means[2] == 3


# The search.


@implementer(ITrier)
@attrs.define
class FakeTrier:
    """One that knows the share of each version's changes that is hit; of one that it does not know it says nothing."""

    shares: Mapping[str, float]
    chance: random.Random = attrs.field(factory=lambda: random.Random(3))
    tried: list[str] = attrs.field(factory=list)
    refusing: Sequence[str] = ()

    async def hits(self, version: str) -> Sequence[bool]:
        self.tried.append(version)
        if version in self.refusing:
            msg = "it exited with status 1 at the start"
            raise RefusedError(msg, "unknown option")
        if version not in self.shares:
            msg = f"{version} does not start"
            raise StartError(msg)
        return [self.chance.random() < self.shares[version] for _change in range(10)]


def searched(versions: Sequence[str], shares: Mapping[str, float], most: int = 2000) -> tuple[Bisection, Found]:
    bisection = Bisection(versions, FakeTrier(shares), 0.2, most)
    return bisection, ended(Deferred.fromCoroutine(bisection.execute()))


@given(number=st.integers(2, 60), data=st.data())
def test_it_finds_where_the_verdict_changed_in_as_many_steps_as_it_says(number: int, data: st.DataObject) -> None:
    versions = [str(each) for each in range(number)]
    first_bad = data.draw(st.integers(1, number - 1))
    shares = {version: 1.0 if place >= first_bad else 0.0 for place, version in enumerate(versions)}
    bisection, found = searched(versions, shares)
    assert found == Found(str(first_bad - 1), str(first_bad))
    assert len(bisection.steps) <= bisection.steps_at_most
    assert [step.version for step in bisection.steps[:2]] == [versions[0], versions[-1]]
    assert all(step.test.error * bisection.steps_at_most == pytest.approx(ERROR) for step in bisection.steps)


def test_it_seldom_errs_where_a_bad_version_is_hit_by_chance() -> None:
    versions = [str(each) for each in range(9)]
    shares = {version: 0.2 if place >= 5 else 0.01 for place, version in enumerate(versions)}
    wrong = 0
    for seed in range(200):
        bisection = Bisection(versions, FakeTrier(shares, random.Random(seed)), 0.2)
        try:
            found = ended(Deferred.fromCoroutine(bisection.execute()))
        except StartError:
            wrong += 1
        else:
            wrong += found != Found("4", "5")
    assert wrong <= 6  # 2 are expected at most


def test_what_cannot_be_judged_is_passed_over_and_told() -> None:
    shares = {"1": 0.0, "2": 0.0, "5": 1.0, "6": 1.0}
    bisection, found = searched([str(each) for each in range(1, 7)], shares)
    assert found == Found("2", "5", ("3", "4"))
    assert {step.version: step.why for step in bisection.steps if step.decision is None} == {
        "3": "3 does not start",
        "4": "4 does not start",
    }


def test_of_one_that_does_not_know_what_it_is_run_from_it_is_told_that_it_cannot() -> None:
    bisection = Bisection(["1", "2", "3", "4"], FakeTrier({"1": 0.0, "4": 1.0}, refusing=["2"]), 0.2)
    assert ended(Deferred.fromCoroutine(bisection.execute())) == Found("1", "4", ("2", "3"))
    told = {step.version: command._step(step) for step in bisection.steps if step.why}
    assert {version: (step["cannot"], step["decision"]) for version, step in told.items()} == {
        "2": (True, None),
        "3": (False, None),
    }
    lines = [command._told(step) for step in bisection.steps if step.why]
    assert lines == [
        "2: 0 of 0 changes hit: cannot: it refuses its configuration: unknown option",
        "3: 0 of 0 changes hit: passed over: 3 does not start",
    ]


def test_between_good_and_bad_it_is_passed_over_in_time() -> None:
    bisection, found = searched(["1", "2", "3"], {"1": 0.0, "2": 0.07, "3": 1.0}, most=40)
    assert found == Found("1", "3", ("2",))
    assert bisection.steps[-1].why.startswith("undecided after ")


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"1": 1.0, "2": 1.0}, "1 is said to be good, and is not found so: 2 of 2 changes were hit"),
        ({"1": 0.0, "2": 0.0}, r"2 is said to be bad, and is not found so: 0 of \d+ changes were hit"),
        ({"2": 1.0}, "1 is said to be good, and is not found so: 1 does not start"),
    ],
)
def test_an_end_that_is_not_what_it_is_said_to_be(shares: Mapping[str, float], said: str) -> None:
    with pytest.raises(StartError, match=said):
        searched(["1", "2"], shares)


# Trying by runs.


@attrs.define(eq=False)
class FakeRun:
    """A run with a change for each letter of its program's name: l loses, r races, s is seamless, i is not seen."""

    settings: Settings
    reactor: object
    clock_ns: object
    observation: Observation = attrs.field(factory=Observation, init=False)

    def interrupt(self) -> None:
        raise AssertionError

    async def execute(self) -> Judgement:
        name = Path(self.settings.binary or "").name
        if name == "broken":
            raise ZeroDivisionError
        for number, letter in enumerate(name):
            change = ObservedChange(number, "reload", "", "fake", 1, applied_ns=0 if letter == "i" else 2, answers=1)
            if letter == "r":
                change.closures = Closures({Ending.IDLE: 1})
            if letter == "l":
                change.closures = Closures({Ending.UNSOLICITED: 1})
            self.observation.changes.append(change)
        return Judgement(Verdict.INVALID if name == "x" else Verdict.LOSSY, ("it broke",))


def trier(folder: Path, verdict: str = "racy") -> Trier:
    made = Settings(Target.front(8080), default())
    hit_by, _question = command.QUESTIONS[verdict]
    return Trier(cast(IReactor, object()), lambda: 0, made, Path, hit_by, folder)


def tried(version: str, folder: Path, verdict: str = "racy") -> Sequence[bool]:
    return ended(Deferred.fromCoroutine(trier(folder, verdict).hits(version)))


def test_what_hits_a_change_is_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "Run", FakeRun)
    assert tried("slri", tmp_path) == [False, True, True]
    assert tried("slri", tmp_path, "lossy") == [False, True, False]
    assert (tmp_path / "001-slri").is_dir()
    for version, said in (
        ("x", "it broke"),
        ("ii", "none of 2 changes was seen in the traffic"),
        ("broken", "ZeroDivisionError"),
    ):
        with pytest.raises(StartError, match=said):
            tried(version, tmp_path)


def test_when_it_is_interrupted_nothing_more_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "Run", FakeRun)
    interrupted = trier(tmp_path)
    interrupted.interrupt()
    bisection = Bisection(["s", "l"], interrupted, 0.2)
    with pytest.raises(Stopped):
        ended(Deferred.fromCoroutine(bisection.execute()))
    assert bisection.steps == []


# The command.

SOURCE = FakeSource(["3.0.11", "3.2.9", "3.2.26", "3.4.7", "3.4.8-rc1"])
versioned = ProxyPlugin("versioned", attrs.evolve(BINARY, sources=(SOURCE,)), fake.mechanisms)


@pytest.fixture(name="_plugins")
def _fixture_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = (
        EntryPoint("versioned", f"{__name__}:versioned", finding.GROUP),
        EntryPoint("fake", f"{__name__}:fake", finding.GROUP),
    )
    monkeypatch.setattr(finding, "entry_points", lambda group: points if group == finding.GROUP else ())
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_plugins")
@pytest.mark.parametrize(("good", "bad", "status"), [("3.4", "3.0", 0), ("3.0", "3.4", 3)])
def test_the_command_says_the_steps_and_the_two(
    good: str, bad: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def found(_reactor: IReactor, bisection: Bisection, _trier: Trier) -> tuple[Found | None, str]:
        if bisection.versions[0] != "3.4.7":
            return None, "3.0.11 is said to be good, and is not found so"
        bisection.trier = FakeTrier({"3.0.11": 1.0, "3.2.9": 1.0, "3.2.26": 0.0, "3.4.7": 0.0})
        return ended(Deferred.fromCoroutine(bisection.execute())), ""

    monkeypatch.setattr(command, "_found", found)
    assert command.bisect(["versioned:slow", "--good", good, "--bad", bad]) == status == ExitStatus(status)
    out = capsys.readouterr().out
    told = json.loads(Path("bisect.json").read_text(encoding="utf-8"))
    assert wrong("bisect", told) == []
    assert told["versions"][0] == ("3.4.7" if status == 0 else "3.0.11")
    if status:
        assert out.rstrip().endswith("3.0.11 is said to be good, and is not found so")
        return
    assert "does a change lose a request, or close a resting connection unannounced?" in out
    assert "it changed between 3.2.9 (bad) and 3.2.26 (good)" in out
    assert (told["good"], told["bad"], told["versions"]) == ("3.2.26", "3.2.9", ["3.4.7", "3.2.26", "3.2.9", "3.0.11"])
    assert [step["decision"] for step in told["steps"]] == ["good", "bad", "good", "bad"]


@pytest.mark.usefixtures("_plugins")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name one mechanism"),
        (["versioned"], "--good takes a version"),
        (["versioned", "--good", "3.4", "--bad", "./x"], "--bad takes a version"),
        (["versioned@3.2", "--good", "3.4", "--bad", "3.0"], "says which program"),
        (["fake", "--good", "3.4", "--bad", "3.0"], "fake:quick cannot be had in versions"),
        (["versioned", "--good", "3.4", "--bad", "3.4.7"], "are the same version, 3.4.7"),
        (["versioned", "--good", "3.4", "--bad", "3.0", "--verdict", "odd"], "--verdict takes racy, lossy"),
        (["versioned", "--good", "3.4", "--bad", "3.0", "--share", "1"], "--share takes"),
        (["versioned", "--good", "3.4", "--bad", "3.0", "--change", "upgrade"], "cannot upgrade"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(words: list[str], said: str) -> None:
    with pytest.raises((UsageError, usage.UsageError), match=said):
        command.bisect(words)


def test_a_step_that_came_to_nothing_is_no_decision() -> None:
    test = SequentialTest(0.2, 0.01, 3, 3)
    assert (Step("1", test).decision, Step("1", test, "it broke").decision) == (Decision.BAD, None)
