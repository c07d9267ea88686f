"""The search for the pace that is kept, the rule for what is not, and what is told of both."""

import json
import random
from collections.abc import Sequence
from math import ceil, log2
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from twisted.internet.defer import Deferred
from zope.interface import implementer

from proxyreload.bisection.interfaces import Stopped
from proxyreload.bisection.sequential import Decision, SequentialTest
from proxyreload.capacity.capacityfile import as_json
from proxyreload.capacity.capacitytable import kept_words, markdown, print_capacities, told
from proxyreload.capacity.growth import Lag, longer_by_chance, thirds
from proxyreload.capacity.interfaces import IPacer
from proxyreload.capacity.measurement import ENDED, ERROR, Capacity, Measurement
from proxyreload.capacity.pacedchange import Due, PacedChange
from proxyreload.capacity.pacer import Pacer
from proxyreload.capacity.pacetest import QUESTIONS, PaceTest, Rule, Sign
from proxyreload.capacity.search import Search
from proxyreload.capacity.step import Step
from proxyreload.command.capacity import Asked, CapacityOptions, _measured, _sentences
from proxyreload.comparison.trial import Trial, TrialPrice
from proxyreload.errors import CannotError, ExitStatus, StartError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Edited, Ended, Phase, Started
from proxyreload.plan.scenario import at_pace
from proxyreload.plan.settings import Settings, Target
from proxyreload.run import runs as runs_module
from proxyreload.run.runs import Runs
from proxyreload.system.clock import NS_PER_MS, NS_PER_S, ns
from proxyreload.system.reactor import IReactor
from proxyreload.verdict.certificates import Rotation
from proxyreload.verdict.judgement import Judgement, Verdict
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.windows import ObservedChange

from .clocks import START_NS
from .compared import trial
from .conforming import wrong
from .exits import status_of
from .happened import change, exchange, failed
from .observing import observed

RULE = Rule(0.2, 0.001)


# The search.


def searched(search: Search, limit: float) -> Search:
    """Search where whatever does not exceed a limit is kept."""
    while (value := search.next) is not None:
        search = search.after(value, kept=value <= limit)
    return search


@given(limit=st.floats(0.2, 150), first=st.floats(0.1, 200), precision=st.floats(1.05, 3))
def test_it_finds_the_limit_in_as_many_ratios_as_it_promises(limit: float, first: float, precision: float) -> None:
    search = searched(Search(first, 0.1, 200, precision), limit)
    assert search.kept is not None
    assert search.failed is not None
    assert search.kept <= limit < search.failed <= search.kept * precision
    doublings = ceil(log2(200 / 0.1)) + 1
    assert len(search.tried) <= doublings + ceil(log2(log2(2) / log2(precision))) + 4
    assert [kept for value, kept in search.tried if value == search.kept] == [True, True]
    assert [kept for value, kept in search.tried if value == search.failed] == [False, False]


@given(limit=st.integers(8, 999))
def test_of_whole_numbers_it_tries_no_others(limit: int) -> None:
    search = searched(Search(8, 8, 1000, 1.05, whole=True), limit)
    assert all(value == int(value) for value, _kept in search.tried)
    assert search.kept is not None
    assert search.failed is not None
    assert search.kept <= limit < search.failed
    assert search.failed - search.kept <= max(1, search.kept * 0.05)


def test_it_ends_at_the_top_and_at_the_floor() -> None:
    top, floor = searched(Search(1, 0.1, 20, 1.2), 1000), searched(Search(1, 0.1, 20, 1.2), 0)
    assert [value for value, _kept in top.tried] == [1, 2, 4, 8, 16, 20]
    assert (top.kept, top.failed) == (20, None)
    assert [value for value, _kept in floor.tried] == [1, 0.5, 0.25, 0.125, 0.1, 0.1]
    assert (floor.kept, floor.failed) == (None, 0.1)


def test_where_the_second_trial_contradicts_the_first_a_third_decides() -> None:
    search = Search(10, 1, 40, 2)
    for kept in (True, False):  # 10 is kept, 20 is not
        search = search.after(cast(float, search.next), kept=kept)
    assert search.next == 10
    search = search.after(10, kept=True)
    assert search.next == 20
    search = search.after(20, kept=True)
    assert (search.next, search.kept, search.failed) == (20, 10, None)
    assert search.after(20, kept=True).next == 40  # it goes on above
    again = search.after(20, kept=False)
    assert (again.next, again.kept, again.failed) == (None, 10, 20)


# The rule.


def made(number: int, rate_per_s: float, lag_s: float, **more: Any) -> PacedChange:
    due_ns = round(number / rate_per_s * NS_PER_S)
    known: dict[str, Any] = {"lag_ns": ns(lag_s), "late": lag_s > 1, "lost": 0, "refused": False, "own_ns": 0}
    return PacedChange(due_ns, **{**known, **more})


def run_of(rate_per_s: float, lags_s: Sequence[float], **more: Any) -> list[PacedChange]:
    return [made(number, rate_per_s, lag_s, **more) for number, lag_s in enumerate(lags_s)]


def pace_test(rate_per_s: float, *runs: Sequence[PacedChange], rule: Rule = RULE) -> PaceTest:
    return PaceTest(rule, NS_PER_S / rate_per_s, list(runs))


def lags_of(rate_per_s: float, service_s: Sequence[float]) -> list[float]:
    """Return how late each change is that takes so long, where one waits for the one before."""
    over_s, lags = 0.0, []
    for number, takes_s in enumerate(service_s):
        over_s = max(over_s, number / rate_per_s) + takes_s
        lags.append(over_s - number / rate_per_s)
    return lags


def test_as_many_changes_as_the_rule_says_decide_that_a_pace_is_kept() -> None:
    for changes, kept in ((RULE.changes - 1, None), (RULE.changes, True)):
        test = pace_test(10, run_of(10, [0.02] * changes))
        assert (test.kept, test.signs) == (kept, ())
    assert SequentialTest(RULE.share, RULE.error, RULE.changes).decision is Decision.GOOD


@given(share=st.floats(0.01, 0.9), error=st.floats(1e-6, 0.01))
def test_in_so_many_changes_lags_that_grow_are_seen(share: float, error: float) -> None:
    rule = Rule(share, error)
    lags = [0.001 * number for number in range(rule.changes)]
    assert pace_test(100, run_of(100, lags), rule=rule).signs == (Sign.FALLS_BEHIND,)


@pytest.mark.parametrize(
    ("more", "sign"),
    [({"lost": 3}, Sign.LOSES), ({"refused": True, "lag_ns": None}, Sign.REFUSES), ({"late": True}, Sign.FALLS_BEHIND)],
)
def test_a_pace_shows_what_many_of_its_changes_are_hit_by(more: dict[str, Any], sign: Sign) -> None:
    fine = run_of(10, [0.02] * 60)
    hit = [attrs.evolve(each, **more) if each.due_ns % 3 == 0 else each for each in fine]
    assert sum(each != one for each, one in zip(fine, hit, strict=True)) > 10
    assert (pace_test(10, hit).signs, pace_test(10, hit).kept) == ((sign,), False)
    assert pace_test(10, [attrs.evolve(fine[0], **more), *fine[1:]]).kept  # one alone may be chance


def test_losses_may_be_let_pass() -> None:
    lossy = run_of(10, [0.02] * 60, lost=1)
    assert pace_test(10, lossy).kept is False
    assert pace_test(10, lossy, rule=attrs.evolve(RULE, despite_losses=True)).kept


@given(
    service_s=st.floats(0.01, 0.2),
    part=st.one_of(st.floats(0.1, 0.85), st.floats(1.15, 3)),
    chance=st.randoms(use_true_random=False),
)
def test_a_mechanism_falls_behind_above_the_pace_that_its_changes_leave(
    service_s: float, part: float, chance: random.Random
) -> None:
    rate_per_s = part / service_s
    takes = [service_s * chance.uniform(0.8, 1.2) for _change in range(90)]
    lags = [lag_s % 1 if part < 1 else lag_s for lag_s in lags_of(rate_per_s, takes)]
    test = pace_test(rate_per_s, run_of(rate_per_s, lags))
    assert test.signs == (() if part < 1 else (Sign.FALLS_BEHIND,))


def test_lags_that_do_not_grow_are_seldom_said_to() -> None:
    chance, error, times = random.Random(4), 0.05, 1000
    wrong_ones = 0
    for _time in range(times):
        lags = [chance.expovariate(1) for _change in range(36)]
        compared = thirds([Lag(number, round(lag * 1000)) for number, lag in enumerate(lags)])
        assert compared is not None
        wrong_ones += compared.chance < error
    assert wrong_ones <= error * times + 3 * (error * times) ** 0.5


def test_the_rank_test_is_as_the_tables_have_it() -> None:
    assert longer_by_chance([1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14, 15, 16]) == pytest.approx(
        0.00047, rel=0.03
    )
    assert longer_by_chance([1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]) == pytest.approx(0.36, abs=0.02)
    assert longer_by_chance([5] * 8, [5] * 8) == 1.0
    assert thirds([Lag(number, 1) for number in range(20)]) is None


def test_growth_that_may_be_chance_takes_another_run() -> None:
    lags = [*[0.01, 0.3] * 10, *[0.02] * 20, *[0.01, 0.4] * 9, 0.4, 0.4]
    test = pace_test(20, run_of(20, lags))
    assert test.thirds[0].much
    assert (test.kept, test.signs) == (None, ())
    test.runs.append(run_of(20, [0.02] * 60))
    assert test.kept


def test_what_the_instrument_takes_is_no_doing_of_the_mechanisms() -> None:
    lags = lags_of(20, [0.1] * 60)
    assert pace_test(20, run_of(20, lags, own_ns=10 * NS_PER_MS)).signs == (Sign.FALLS_BEHIND,)
    assert pace_test(20, run_of(20, lags, own_ns=90 * NS_PER_MS)).signs == (Sign.OURS,)


# What became of a change.


def seen(action: str, *, requested_s: float = 1.0, applied_s: float = 1.1, **more: Any) -> ObservedChange:
    changed = ObservedChange(1, action, "2", "fake", START_NS + ns(requested_s), applied_ns=START_NS + ns(applied_s))
    for name, value in more.items():
        setattr(changed, name, value)
    return changed


def met(*changes: ObservedChange, takes_turns: bool = False, due_s: float = 1.0) -> list[PacedChange]:
    """Return what became of changes that were due a second after the start, one every tenth of a second."""
    observation = Observation(started_ns=START_NS, ended_ns=START_NS + ns(10))
    observation.counts.total = 10_000
    observation.changes.extend(changes)
    due = Due(ns(0.5), 4, takes_turns)
    return due.met(observation, [START_NS + ns(due_s + number / 10) for number in range(len(changes))])


def test_late_is_counted_from_when_a_change_was_due() -> None:
    (change,) = met(seen("add", requested_s=1.3, applied_s=1.4, answers=1, first_answer_ns=START_NS + ns(1.45)))
    turn_s = 0.004  # of 1000 requests/s to one of four
    assert (change.lag_ns, change.late, change.own_ns) == (ns(0.45 - turn_s), False, ns(0.3))
    (change,) = met(seen("add", applied_s=1.6, answers=1, first_answer_ns=START_NS + ns(1.65)))
    assert (change.lag_ns, change.late) == (ns(0.65 - turn_s), True)


def test_a_backend_may_wait_a_while_for_its_first_request() -> None:
    slack_s = 0.0276  # of 1000 requests/s to one of four
    for at_s, late in ((1.5 + slack_s - 0.001, False), (1.5 + slack_s + 0.001, True)):
        (change,) = met(seen("add", answers=1, first_answer_ns=START_NS + ns(at_s)))
        assert change.late is late


@pytest.mark.parametrize(
    ("action", "more", "unseen"),
    [
        ("add", {"silence": 100}, True),
        ("add", {"silence": 10}, False),  # too few answers to tell
        ("add", {"silence": 100, "answers": 1, "first_answer_ns": START_NS + ns(1.2)}, False),
        ("remove", {"stragglers": 2, "silence": 3}, True),
        ("remove", {"stragglers": 2, "silence": 100}, False),
        ("remove", {"silence": 3}, False),
        (
            "rotate",
            {"rotation": Rotation("b", frozenset("a"), shown_ns=START_NS + ns(1.2), shown=1, old_shown=1)},
            False,
        ),
        ("rotate", {"rotation": Rotation("b", frozenset("a"), old_shown=1)}, True),
        ("rotate", {"rotation": Rotation("b", frozenset("a"))}, False),  # there was no new connection
        ("edit", {"route": "/it", "edit": Edited(1, "404", START_NS + ns(1.2))}, True),
        ("edit", {"route": "/it", "edit": Edited(1, "", START_NS + ns(1.2))}, False),
    ],
)
def test_what_the_traffic_had_the_chance_to_show_and_did_not_is_late(
    action: str, more: dict[str, Any], *, unseen: bool
) -> None:
    (change,) = met(seen(action, **more))
    assert (change.late, change.lag_ns is None) == (unseen, unseen)


def test_what_was_refused_is_not_late_and_what_was_never_done_is() -> None:
    refused, unmade, after = met(
        seen("add", applied_s=-1000, refused="no"), seen("add", applied_s=-1000), seen("remove", requested_s=1.4)
    )
    assert (refused.refused, refused.late, refused.lag_ns) == (True, False, None)
    assert (unmade.refused, unmade.late, unmade.lag_ns) == (False, True, None)
    assert after.own_ns == 0  # nobody knows when the one before was over


def test_what_passes_between_two_changes_is_the_instruments_but_where_the_proxy_says_when() -> None:
    changes = [seen("add", requested_s=1.0), seen("remove", requested_s=1.3, applied_s=1.4)]
    assert [each.own_ns for each in met(*changes)] == [0, ns(0.2)]
    assert [each.own_ns for each in met(*changes, takes_turns=True)] == [0, 0]


def test_its_losses_are_those_of_its_window() -> None:
    change = seen("add", answers=1, first_answer_ns=START_NS + ns(1.2))
    change.kinds.add([failed("timeout"), failed("timeout")])
    assert [each.lost for each in met(change)] == [2]


# The scenario.


@pytest.mark.parametrize("backends", [3, 4, 5, 8, 9, 50])
def test_changes_are_due_at_the_pace_and_never_add_what_is_there_nor_remove_what_is_not(backends: int) -> None:
    scenario = at_pace("backends", 20, 4 * backends, backends, (0.5, 1.0))
    behind = set(scenario.initial)
    assert len(behind) == backends - max(1, min(4, backends // 2))
    for step in scenario.steps:
        assert (step.instance in behind) is (step.action == "remove")
        behind ^= {step.instance}
    due = [step.at_s for step in scenario.steps]
    assert due == pytest.approx([0.5 + number / 20 for number in range(4 * backends)])
    assert scenario.duration_s == pytest.approx(0.5 + (4 * backends - 1) / 20 + 1.0)


def test_what_is_done_to_the_proxy_is_paced_likewise() -> None:
    scenario = at_pace("reload", 4, 3, 8, (0.5, 1.0))
    assert [(step.action, step.at_s) for step in scenario.steps] == [("reload", 0.5), ("reload", 0.75), ("reload", 1.0)]


# The measurement.


@implementer(IPacer)
@attrs.define
class FakePacer:
    """A mechanism of which it is known how many changes a second it takes, times the backends that it has in mind."""

    limit: float
    most_backends: int = 100
    error: Exception | None = None
    after: int = 1000  #: steps, until there is the error
    made: list[tuple[float, int]] = attrs.field(factory=list)

    async def step(self, rate_per_s: float, backends: int) -> Step:
        if self.error is not None and len(self.made) >= self.after:
            raise self.error
        self.made.append((rate_per_s, backends))
        kept = rate_per_s <= self.limit and backends <= self.most_backends
        return step_of(rate_per_s, backends, () if kept else (Sign.REFUSES, Sign.FALLS_BEHIND), "" if kept else "busy")


PRICED = attrs.evolve(
    trial(Verdict.SEAMLESS, 0), price=TrialPrice(3, 50_000_000, (NS_PER_MS, 3 * NS_PER_MS), (), 0, 0, {})
)


def step_of(
    rate_per_s: float,
    backends: int = 8,
    signs: tuple[Sign, ...] = (),
    why: str = "",
    trials: tuple[Trial, ...] = (PRICED,),
) -> Step:
    test = pace_test(rate_per_s, run_of(rate_per_s, [0.01] * 40))
    return Step(rate_per_s, backends, test, trials, signs, why)


def measured(pacer: FakePacer, steps: int = 30, grow_to: int = 0, top: float = 200) -> Capacity:
    capacity = Capacity("fake:slow", Search(1, 0.1, top, 1.2))
    working = Deferred.fromCoroutine(Measurement(pacer, capacity, 8, steps, grow_to).execute())
    stopped: list[object] = []
    working.addErrback(lambda failure: stopped.append(failure.trap(Stopped)))
    assert working.called
    return capacity


def test_it_finds_the_pace_then_the_backends_at_half_of_it() -> None:
    pacer = FakePacer(10)
    capacity = measured(pacer, grow_to=1000)
    assert capacity.kept is not None
    assert capacity.kept.rate_per_s <= 10 < capacity.kept.rate_per_s * 1.2
    assert (capacity.known, capacity.at_least, kept_words(capacity)) == (True, False, f"{capacity.kept.rate_per_s:g}")
    half = capacity.kept.rate_per_s / 2
    assert [(step.rate_per_s, step.backends) for step in capacity.grown[:5]] == [
        (half, 8),
        (half, 16),
        (half, 32),
        (half, 64),
        (half, 128),
    ]
    assert {step.backends for step in capacity.grown if step.kept} == {8, 16, 32, 64}


def test_who_keeps_the_top_may_keep_more() -> None:
    capacity = measured(FakePacer(1000), top=16)
    assert (capacity.known, capacity.at_least, kept_words(capacity)) == (True, True, "≥ 16")


def test_who_keeps_nothing_is_known_too() -> None:
    capacity = measured(FakePacer(0))
    assert (capacity.known, capacity.kept, kept_words(capacity)) == (True, None, "none")
    assert measured(FakePacer(0), grow_to=100).grown == []


@pytest.mark.parametrize(
    ("error", "why", "cannot", "words"),
    [
        (StartError("it died"), "it died", False, "not run"),
        (CannotError("it cannot add"), "it cannot add", True, "cannot"),
        (Stopped(), ENDED, False, "not run"),
    ],
)
def test_what_cannot_be_run_is_told(error: Exception, why: str, words: str, *, cannot: bool) -> None:
    capacity = measured(FakePacer(10, error=error, after=0))
    assert (capacity.known, capacity.why, capacity.cannot, kept_words(capacity)) == (False, why, cannot, words)


def test_what_was_found_before_the_end_is_kept() -> None:
    capacity = measured(FakePacer(10, error=Stopped(), after=3))
    assert [step.rate_per_s for step in capacity.steps] == [1, 2, 4]
    assert (capacity.known, kept_words(capacity)) == (False, "≥ 4")


def test_steps_are_bounded() -> None:
    capacity = measured(FakePacer(10), steps=4)
    assert (len(capacity.steps), capacity.known) == (4, False)
    assert capacity.why == "its limit is not known after 4 steps"


# What is told.


def found() -> list[Capacity]:
    """Return one of which all is known, one whose plugin is broken, one that says what is hostile."""
    hostile = measured(FakePacer(3, error=StartError("\x1b[2Jgone\n"), after=4))
    hostile.name = "evil\x1b[31m:x"
    ours = searched(Search(1, 0.1, 8, 2), 1)
    fast = Capacity("fast", ours, [step_of(1), step_of(2, signs=(Sign.OURS,))])
    return [
        measured(FakePacer(10), grow_to=20),
        Capacity("broken", Search(1, 1, 1, 2), why="it is none"),
        hostile,
        fast,
    ]


def test_the_table_has_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    print_capacities(Console(highlight=False, width=200), found())
    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "fake:slow 9.51 refuses, falls behind at 11.3 10 10" in lines
    assert "fake:slow 300 48 3 0.1" in lines
    assert "broken not run" in lines
    assert "fast ≥ 1 proxyreload falls behind at 2 10 10" in lines
    assert "fake:slow, 4.755 changes/s with more and more backends:" in lines
    assert "20 40 0 0 0 10 10 kept" in lines
    assert "20 300 48 3 0.1" in lines
    assert "broken: it is none" in lines
    assert "fake:slow: at 11.3/s: busy" in lines


def test_as_markdown_it_is_one_table() -> None:
    lines = markdown(found(), ["what | was measured"]).splitlines()
    assert lines[0] == r"what \| was measured"
    assert lines[2].startswith("| mechanism | changes/s kept | at more | lag ms | worst | p99 µs | MiB | ")
    assert "| fake:slow | 9.51 | refuses, falls behind at 11.3 | 10 | 10 | 300 | 48 | 3 | 0.1 |" in lines
    assert "- broken: it is none" in lines
    assert not any("\x1b" in line for line in lines)


def test_a_step_is_told_in_a_line() -> None:
    hit = pace_test(10, run_of(10, [2.0] * 30, lost=2))
    assert told(Step(10, 8, hit, (), (Sign.LOSES, Sign.FALLS_BEHIND))) == (
        "10/s, 8 backends: loses, falls behind after 30 changes: 60 lost, 30 late"
    )
    assert told(step_of(2.5)) == "2.5/s, 8 backends: kept after 40 changes"


def test_a_sentence_says_what_each_came_to() -> None:
    assert list(_sentences([*found(), measured(FakePacer(0))])) == [
        "fake:slow: 9.51 changes/s",
        "fast: ≥ 1 changes/s",
        "fake:slow: keeps no pace: refuses, falls behind at 0.1 changes/s",
    ]


def test_a_step_without_a_change_has_no_figures() -> None:
    nothing = Step(1, 8, PaceTest(RULE, NS_PER_S), (), (Sign.INVALID,), "it died")
    assert (nothing.lag_ms, nothing.worst_lag_ms, nothing.ends_ms, nothing.p99_us) == (None, None, None, None)
    assert (nothing.processes, nothing.resident_bytes, nothing.cpu_s, nothing.kept) == (None, None, None, False)


def asked(*words: str) -> Asked:
    options = CapacityOptions()
    options.parseOptions(["fake", *words])
    return Asked.of(options)


def test_what_is_written_is_as_its_schema_says() -> None:
    document = json.loads(as_json(found(), _measured("what", asked())))
    assert wrong("capacity", document) == []
    first = document["mechanisms"][0]
    assert (first["kept_per_s"], first["failed_per_s"], first["signs"]) == (9.51, 11.3, ["refuses", "falls behind"])
    assert document["mechanisms"][3]["at_least"] is True


def test_errors_are_shared_out_among_all_questions() -> None:
    error = asked("--steps", "10").rule.error
    assert error * QUESTIONS * 10 == pytest.approx(ERROR)
    assert asked("--steps", "10", "--grow", "20").rule.error == pytest.approx(error / 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name the mechanisms to measure, or say --all"),
        (("control", "--all"), "name the mechanisms to measure, or say --all"),
        (("control", "--from", "0"), "--from takes a number from 0.001 to 1000 changes/s, not '0'"),
        (("control", "--from", "nan"), "--from takes a number"),
        (("control", "--top", "1e400"), "--top takes a number"),
        (("control", "--from", "300"), "--from 300 must be from --floor 0.1 to --top 200"),
        (("control", "--precision", "1"), "--precision takes a number from 1.05 to 10"),
        (("control", "--share", "1"), "--share takes"),
        (("control", "--within", "-1"), "--within takes"),
        (("control", "--least", "x"), "--least takes"),
        (("control", "--steps", "0"), "--steps takes"),
        (("control", "--backends", "2"), "--backends takes a whole number from 3 to 1000, not '2'"),
        (("control", "--grow", "8"), "--grow 8 must be more than --backends 8"),
        (("control", "--grow", "1001"), "--grow takes"),
        (("control", "--change", "\x1b[2J"), "--change takes backends, reload, upgrade, rotate, edit, not"),
        (("control", "--change", "rotate"), "rotate changes the certificate"),
        (("control", "--front-port", "1031"), "--front-port 1031 is one of the backends' ports"),
        (("control", "--traffic", "odd=1"), "odd"),
        (("nobody",), "no plugin 'nobody'"),
        (("control", "--markdown", "capacity.json"), "capacity.json"),
        (("external",), "cannot be compared: somebody else runs the proxy"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(
    words: Sequence[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert status_of("capacity", *words) == ExitStatus.USAGE
    err = capfd.readouterr().err
    assert said in err
    assert (err.count("\n"), "\x1b" in err) == (1, False)
    assert list(tmp_path.iterdir()) == []


# Making changes by runs.


@attrs.define(eq=False)
class FakePlay:
    """A play that can be stopped."""

    stopped: bool = False

    def stop(self) -> None:
        self.stopped = True


@attrs.define(eq=False)
class FakeRun:
    """A run whose changes end as the name of its proxy's program says: f fine, l loses, r refused, s slow; x: invalid."""

    settings: Settings
    reactor: object
    clock_ns: object
    proxy: object = None
    proxy_version: str = "fake 1"
    bus: EventBus = attrs.field(factory=EventBus)
    play: FakePlay = attrs.field(factory=FakePlay)
    observation: Observation = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.observation = observed(self.bus)

    async def execute(self) -> Judgement:
        name = Path(self.settings.binary or "").name
        if name == "cannot":
            msg = "it cannot add"
            raise CannotError(msg)
        self.bus.publish(Started(START_NS))
        for number, step in enumerate(self.settings.scenario.steps, 1):
            if self.play.stopped:
                break
            self.make(name, number, step.action, str(step.instance), START_NS + ns(step.at_s or 0.0))
        self.bus.publish(Ended(START_NS + ns(100)))
        return Judgement(Verdict.INVALID if name == "x" else Verdict.LOSSY, ("the proxy died",))

    def make(self, name: str, number: int, action: str, instance: str, due_ns: int) -> None:
        """Make a change, and what is sent over a new connection after it."""
        takes_ns = ns(2.0 if name == "s" else 0.001)
        self.bus.publish(change(Phase.REQUESTED, due_ns, action, instance, number))
        phase = Phase.FAILED if name == "r" else Phase.APPLIED
        self.bus.publish(change(phase, due_ns + takes_ns, action, instance, number, message="no slot is free"))
        written_ns = due_ns + takes_ns + 1000
        times = {"due_ns": written_ns, "written_ns": written_ns, "ended_ns": written_ns + 1000, "number": number}
        behind = instance if action == "add" else "other"
        self.bus.exchanged(failed("timeout", **times) if name == "l" else exchange(instance=behind, **times))
        self.bus.flush()


def pacer(folder: Path, program: str, rule: Rule = RULE) -> Pacer:
    settings = Settings(Target.front(8080), at_pace("backends", 10, 2, 8, (0.0, 0.0)), binary=program)
    runs = Runs(cast(IReactor, object()), lambda: 0)
    return Pacer(runs, "fake:it", settings, "backends", rule, 1.0, 1.0, folder)


def stepped(made_by: Pacer, rate_per_s: float = 10) -> Step:
    steps: list[Step] = []
    errors: list[BaseException] = []
    working = Deferred.fromCoroutine(cast(Any, made_by.step(rate_per_s, 8)))
    working.addCallbacks(steps.append, lambda failure: errors.append(failure.value))
    if errors:
        raise errors[0]
    return steps[0]


@pytest.fixture(name="_runs")
def _fixture_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "Run", FakeRun)


@pytest.mark.usefixtures("_runs")
def test_a_pace_that_is_kept_takes_one_run_of_as_many_changes_as_are_needed(tmp_path: Path) -> None:
    for rate_per_s, changes in ((10, RULE.changes), (100, 100)):  # a second at least
        step = stepped(pacer(tmp_path, "f"), rate_per_s)
        assert (step.kept, step.changes, len(step.trials)) == (True, changes, 1)
    assert step.trials[0].run_file == tmp_path / "fake-it" / "001" / "run.json"
    assert step.trials[0].run_file.parent.is_dir()


@pytest.mark.usefixtures("_runs")
@pytest.mark.parametrize(
    ("program", "sign", "why"),
    [("l", Sign.LOSES, ""), ("r", Sign.REFUSES, "no slot is free"), ("s", Sign.FALLS_BEHIND, "")],
)
def test_no_more_changes_are_made_than_show_that_it_is_not_kept(
    program: str, sign: Sign, why: str, tmp_path: Path
) -> None:
    step = stepped(pacer(tmp_path, program))
    assert (step.signs, step.why, len(step.trials)) == ((sign,), why, 1)
    assert step.changes < 5


@pytest.mark.usefixtures("_runs")
def test_whatever_is_lost_changes_go_on_where_that_decides_nothing(tmp_path: Path) -> None:
    lossy = pacer(tmp_path, "l", attrs.evolve(RULE, despite_losses=True))
    # Nobody was ever answered, so that what an added backend did is not known.
    assert stepped(lossy).lost == RULE.changes


@pytest.mark.usefixtures("_runs")
def test_a_run_that_came_to_no_verdict_is_a_sign_and_one_that_cannot_be_made_is_none(tmp_path: Path) -> None:
    step = stepped(pacer(tmp_path, "x"))
    assert (step.signs, step.why) == ((Sign.INVALID,), "the proxy died")
    with pytest.raises(CannotError, match="it cannot add"):
        stepped(pacer(tmp_path, "cannot"))


@pytest.mark.usefixtures("_runs")
def test_what_four_runs_do_not_decide_is_undecided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Rule(0.2, 1e-60)  # which takes more changes than there are
    monkeypatch.setattr(Rule, "changes", property(lambda _rule: 10))
    step = stepped(pacer(tmp_path, "f", few))
    assert (step.signs, step.changes, len(step.trials)) == ((Sign.UNDECIDED,), 40, 4)


@pytest.mark.usefixtures("_runs")
def test_when_it_is_interrupted_nothing_more_is_made(tmp_path: Path) -> None:
    interrupted = pacer(tmp_path, "f")
    interrupted.runs.interrupt()
    with pytest.raises(Stopped):
        stepped(interrupted)
