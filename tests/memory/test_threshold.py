"""Thresholds: what decides the exit status in place of the default."""

import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.python.usage import UsageError as WrongUsage

from proxyreload.command.compare import CompareOptions, status
from proxyreload.command.judged import require_judged
from proxyreload.command.options import RunOptions
from proxyreload.comparison.row import Row, row_of
from proxyreload.comparison.trial import Trial
from proxyreload.comparison.trialcases import as_junit
from proxyreload.errors import ExitStatus, UsageError
from proxyreload.plan.scenario import default, watching
from proxyreload.plan.settings import LoadSettings, Settings, Target
from proxyreload.plan.traffic import group
from proxyreload.proxy import registry as finding
from proxyreload.record.junit import document, run_cases
from proxyreload.record.runfile import RunFile
from proxyreload.terminal.summary import summary_lines
from proxyreload.traffic.registry import kind_named
from proxyreload.verdict.judgement import Judgement, Verdict, judge
from proxyreload.verdict.proof import Proof
from proxyreload.verdict.threshold import (
    Decision,
    Measured,
    Outcome,
    PerChange,
    Threshold,
    Thresholds,
    decide,
    parsed,
)

from .plugins import PLUGINS
from .test_junit import observed

LOSSY, RACY = Threshold(Verdict.LOSSY), Threshold(Verdict.RACY)
WEBSOCKET = Threshold(Verdict.LOSSY, "websocket")


def measured(verdict: Verdict = Verdict.LOSSY, failures: int = 0, changes: int = 10, **kinds: Verdict) -> Measured:
    return Measured(verdict, kinds, failures, changes)


def decided(thresholds: Thresholds, told: Measured) -> tuple[int, str]:
    decision = decide(thresholds, told)
    return int(decision.status), decision.words


# What is understood.


@pytest.mark.parametrize(
    ("texts", "thresholds"),
    [
        ([], ()),
        (["lossy"], (LOSSY,)),
        (["racy,kind=websocket:lossy"], (RACY, WEBSOCKET)),
        (["lossy", " kind=websocket:lossy , failures-per-change>0.1"], (LOSSY, WEBSOCKET, PerChange(0.1))),
        (["kind=my-kind_2:racy", "lossy,lossy", "lossy"], (Threshold(Verdict.RACY, "my-kind_2"), LOSSY)),
        (["failures-per-change>0"], (PerChange(0),)),
        (["failures-per-change>0.12345678"], (PerChange(0.12345678),)),
    ],
)
def test_several_are_said_by_commas_or_by_repeating(texts: list[str], thresholds: Thresholds) -> None:
    assert parsed(texts) == thresholds
    assert parsed([",".join(map(str, thresholds))] if thresholds else []) == thresholds


@pytest.mark.parametrize(
    "text",
    [
        *("", "lossy,", "graceful", "Lossy", "invalid", "kind=websocket", "kind=:lossy", "kind=websocket:graceful"),
        *("kind=web socket:lossy", "kind=websocket:lossy:racy", "websocket:lossy", "failures-per-change", "lossy racy"),
        *("failures-per-change=1", "failures-per-change<1", "failures>1", "x" * 1000, "\x1b[2J"),
    ],
)
def test_what_is_none_is_told_in_a_line_with_what_there_is(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parsed([text])
    line = str(raised.value)
    assert line.startswith(
        "--fail-on takes lossy, racy, kind=KIND:lossy, kind=KIND:racy or failures-per-change>NUMBER,"
    )
    assert line.isprintable()
    assert len(line) < 200


@pytest.mark.parametrize("number", ["", "x", "-1", "nan", "inf", "1e9", ">1", "1>2"])
def test_a_number_that_is_none_is_told(number: str) -> None:
    with pytest.raises(UsageError, match=r"^--fail-on failures-per-change> takes a number from 0 to 1000000, not "):
        parsed([f"failures-per-change>{number}"])


@given(st.text(max_size=40))
def test_whatever_is_said_it_is_understood_again_or_refused_in_a_line(text: str) -> None:
    try:
        thresholds = parsed([text])
    except UsageError as error:
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert parsed([",".join(map(str, thresholds))]) == thresholds


# What is decided.


@pytest.mark.parametrize("verdict", Verdict)
def test_without_thresholds_the_verdict_decides_and_nothing_is_said(verdict: Verdict) -> None:
    assert decide((), measured(verdict)) == Decision(verdict.exit_status)
    assert Decision(verdict.exit_status).words == ""
    assert Decision(verdict.exit_status).as_run() is None


@pytest.mark.parametrize(
    ("threshold", "failing"),
    [(LOSSY, {Verdict.LOSSY}), (RACY, {Verdict.RACY, Verdict.LOSSY})],
)
def test_a_verdict_fails_on_itself_and_what_is_worse(threshold: Threshold, failing: set[Verdict]) -> None:
    lossless = (Verdict.SEAMLESS, Verdict.GRACEFUL, Verdict.RACY, Verdict.LOSSY)
    assert {verdict for verdict in lossless if decide([threshold], measured(verdict)).status} == failing
    of_kind = Threshold(threshold.verdict, "post")
    assert {verdict for verdict in lossless if decide([of_kind], measured(post=verdict)).status} == failing


@given(
    st.sampled_from([Verdict.INEFFECTIVE, Verdict.INVALID]),
    st.lists(st.sampled_from([LOSSY, RACY, WEBSOCKET, PerChange(100)]), min_size=1),
)
def test_what_is_invalid_or_ineffective_never_passes(verdict: Verdict, thresholds: Thresholds) -> None:
    decision = decide(thresholds, measured(verdict, websocket=Verdict.SEAMLESS))
    assert (decision.status, decision.outcome, decision.decided) == (ExitStatus.INVALID, Outcome.NOT_JUDGED, ())
    assert decision.words == f"decided by --fail-on: not judged: a run that is {verdict.value} never passes"


def test_only_the_kind_that_is_named_is_looked_at() -> None:
    told = measured(websocket=Verdict.GRACEFUL, get=Verdict.LOSSY)
    passes = (0, "decided by --fail-on: passes: kind=websocket:lossy (websocket is graceful)")
    assert decided([WEBSOCKET], told) == passes
    fails = (1, "decided by --fail-on: fails: kind=get:lossy (get is lossy)")
    assert decided([Threshold(Verdict.LOSSY, "get")], told) == fails


def test_a_kind_of_which_nothing_was_sent_is_not_judged_and_does_not_pass() -> None:
    words = "not judged: kind=websocket:lossy (not one websocket was sent); passes: lossy (the run is seamless)"
    assert decided([LOSSY, WEBSOCKET], measured(Verdict.SEAMLESS)) == (3, f"decided by --fail-on: {words}")


@pytest.mark.parametrize(
    ("failures", "changes", "most", "status"),
    [(2, 20, 0.1, 0), (3, 20, 0.1, 1), (3, 10, 0.3, 0), (0, 7, 0, 0), (1, 1000, 0, 1), (6, 20, 0.3, 0)],
)
def test_failures_are_counted_by_changes(failures: int, changes: int, most: float, status: int) -> None:
    assert decide([PerChange(most)], measured(Verdict.LOSSY, failures, changes)).status == status


def test_failures_by_change_are_told_those_that_were_aimed_besides() -> None:
    told = attrs.evolve(measured(Verdict.LOSSY, 3, 20), aimed=7)
    words = "fails: failures-per-change>0.1 (3 failures in 20 changes, 0.15 in each, besides 7 of aimed kinds)"
    assert decided([PerChange(0.1)], told) == (1, f"decided by --fail-on: {words}")


def test_without_changes_nothing_is_counted_by_them() -> None:
    words = "decided by --fail-on: not judged: failures-per-change>0.1 (no change was made)"
    assert decided([PerChange(0.1)], measured(Verdict.SEAMLESS, changes=0)) == (3, words)


def test_the_worst_threshold_decides_and_what_fails_is_told_before_what_passes() -> None:
    told = measured(Verdict.LOSSY, 1, websocket=Verdict.RACY)
    words = (
        "decided by --fail-on: fails: lossy (the run is lossy); "
        "passes: kind=websocket:lossy (websocket is racy), failures-per-change>1 (1 failure in 10 changes, 0.1 in each)"
    )
    assert decided([WEBSOCKET, LOSSY, PerChange(1)], told) == (1, words)


# A run.


def settings(*fail_on: str, kinds: tuple[str, ...] = (), changed: bool = True) -> Settings:
    load = LoadSettings(groups=tuple(group(kind_named(kind), 1) for kind in kinds))
    return Settings(
        Target.front(8080), default() if changed else watching(5.0), load=load, fail_on=tuple(parsed(fail_on))
    )


@pytest.mark.parametrize("kind", ["get", "fresh", "idle"])
def test_a_kind_that_is_sent_can_be_judged(kind: str) -> None:
    require_judged(settings(f"kind={kind}:racy", "lossy", kinds=("idle",)))


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        ("kind=idle:lossy", "--fail-on kind=idle:lossy cannot be judged: no idle is sent: --traffic says what is"),
        ("kind=websockt:lossy", "no kind 'websockt'; there are: aimed,"),
    ],
)
def test_a_kind_that_is_not_sent_is_refused(threshold: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        require_judged(settings(threshold))


def test_without_changes_failures_by_change_are_refused_unless_they_are_made_by_hand() -> None:
    watched = settings("failures-per-change>1", changed=False)
    with pytest.raises(UsageError, match="cannot be judged: no change is made"):
        require_judged(watched)
    require_judged(watched, by_hand=True)
    require_judged(settings("failures-per-change>1"))


@pytest.fixture
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "entry_points", lambda group: PLUGINS)


@pytest.mark.usefixtures("_plugins")
def test_a_kind_that_the_mechanism_cannot_carry_is_refused_with_the_reason() -> None:
    options = RunOptions()
    with pytest.raises(WrongUsage, match="fake:quick is sent none: ") as raised:
        options.parseOptions(["--plugin", "fake", "--fail-on", "kind=websocket:lossy"])
    assert str(raised.value).startswith("--fail-on kind=websocket:lossy cannot be judged: ")


@pytest.mark.usefixtures("_plugins")
def test_the_options_of_a_run_and_of_a_comparison_take_thresholds() -> None:
    words = ["--fail-on", "lossy,kind=get:racy", "--fail-on=failures-per-change>0.5"]
    thresholds = (LOSSY, Threshold(Verdict.RACY, "get"), PerChange(0.5))
    run, comparison = RunOptions(), CompareOptions()
    run.parseOptions(["--plugin", "fake", *words])
    assert run.settings.fail_on == thresholds
    comparison.parseOptions(["fake", *words])
    assert comparison.fail_on == thresholds
    with pytest.raises(WrongUsage, match="--fail-on takes"):
        RunOptions().parseOptions(["--plugin", "fake", "--fail-on", "lost"])


def test_what_was_decided_stands_in_the_run_file_and_behind_the_verdict(tmp_path: Path) -> None:
    observation = observed(losses=3)
    judgement = judge(observation)
    decision = decide([PerChange(3)], Measured.of(observation, judgement))
    file = RunFile(tmp_path / "run.json")
    file.open({})
    file.finish(observation, judgement, decision)
    file.close()
    summary = file.content["summary"]
    assert isinstance(summary, dict)
    assert (summary["verdict"], summary["exit_status"]) == ("lossy", 0)
    why = "3 failures in 1 change, 3 in each"
    told = {"threshold": "failures-per-change>3", "outcome": "passes", "why": why}
    assert summary["decision"] == {"outcome": "passes", "why": None, "thresholds": [told]}
    *_lines, verdict, last = summary_lines(observation, judgement, "it", decision=decision)
    assert verdict.startswith("verdict: lossy")
    assert last == f"decided by --fail-on: passes: failures-per-change>3 ({why})"


@pytest.mark.parametrize(("most", "outcomes"), [(3, []), (2, ["lossy", "lossy"])])
def test_where_it_passes_no_test_case_fails(most: int, outcomes: list[str]) -> None:
    observation = observed(losses=3)
    judgement = judge(observation)
    decision = decide([PerChange(most)], Measured.of(observation, judgement))
    root = ET.fromstring(document("it", list(run_cases(observation, judgement, "it", decision))))
    assert [failure.get("type") for failure in root.iter("failure")] == outcomes
    assert decision.words in str(root[0][-1].findtext("system-out"))


def test_where_it_passes_a_change_that_was_not_seen_is_an_error_all_the_same() -> None:
    observation = observed()
    observation.changes[0].answers = 0
    root = ET.fromstring(
        document("it", list(run_cases(observation, judge(observation), "it", Decision(ExitStatus(0)))))
    )
    assert [error.get("type") for error in root.iter("error")] == ["ineffective"]


# A comparison.

RUN = Path("run.json")


def row(*verdicts: Verdict, name: str = "fake:quick") -> Row:
    return row_of(name, [Trial(1, RUN, Judgement(each, ())) for each in verdicts])


CANNOT = row_of("fake:old", [Trial(1, RUN, why="cannot upgrade: it has no way", cannot=True)])
MISSING = row_of("fake:gone", [Trial(1, RUN, why="fake is not installed")])


@pytest.mark.parametrize(
    ("rows", "thresholds", "expected"),
    [
        ([row(Verdict.RACY)], [LOSSY], 0),
        ([row(Verdict.RACY, Verdict.LOSSY)], [LOSSY], 1),
        ([row(Verdict.RACY), CANNOT], [LOSSY], 0),
        ([row(Verdict.RACY), MISSING], [LOSSY], 3),
        ([row(Verdict.SEAMLESS, Verdict.INEFFECTIVE)], [LOSSY], 3),
        ([CANNOT], [LOSSY], 3),
        ([CANNOT], [], 0),
    ],
)
def test_each_mechanism_is_held_against_them(rows: list[Row], thresholds: Thresholds, expected: int) -> None:
    assert status(rows, thresholds) == expected


def test_a_mechanism_has_the_worst_of_each_kind_over_its_rounds_and_its_failures_by_all_its_changes() -> None:
    lost = Counter({"timeout": 9})
    trial = Trial(1, RUN, Judgement(Verdict.LOSSY, ()), failures=lost, losses=(1, 1, 0), proof=Proof(50, 5, 3, 2))
    good = attrs.evolve(trial, verdicts={"get": Verdict.RACY, "slow": Verdict.SEAMLESS}, failures=Counter())
    bad = attrs.evolve(trial, verdicts={"get": Verdict.GRACEFUL, "slow": Verdict.LOSSY})
    made = row_of("fake:quick", [bad, good])
    assert made.verdicts == {"get": Verdict.RACY, "slow": Verdict.LOSSY}
    outcomes = [each.outcome.value for each in made.decision(parsed(["kind=get:lossy,kind=slow:lossy"])).decided]
    assert outcomes == ["passes", "fails"]
    even = row_of("fake:quick", [trial, attrs.evolve(trial, failures=Counter({"timeout": 6}))])
    assert "5 failures in 6 changes, 0.83 in each, besides 10 of aimed kinds" in even.decision([PerChange(1)]).words


def test_in_junit_a_mechanism_has_a_case_for_what_was_decided() -> None:
    rows = [row(Verdict.RACY, Verdict.SEAMLESS), row(Verdict.RACY, Verdict.LOSSY, name="fake:slow"), CANNOT]
    (suite,) = ET.fromstring(as_junit(rows, [LOSSY]))
    told = [(case.get("classname"), case.get("name"), [each.tag for each in case]) for case in suite]
    assert told == [
        ("fake:quick", "round 1", ["system-out"]),
        ("fake:quick", "round 1", ["system-out"]),
        ("fake:quick", "--fail-on", ["system-out"]),
        ("fake:slow", "round 1", ["failure"]),
        ("fake:slow", "round 1", ["failure"]),
        ("fake:slow", "--fail-on", ["failure"]),
        ("fake:old", "round 1", ["skipped"]),
    ]
