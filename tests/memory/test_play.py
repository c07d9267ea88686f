"""Playing a scenario: each step at its time, each change told from its request to its end."""

from collections.abc import Container
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred

from proxyreload.errors import ChangeError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Change, Event, Phase, Unproved
from proxyreload.plan.operations import CHANGE_TIMEOUT_S, Operations
from proxyreload.plan.play import PROOF_LIMIT_S, Play
from proxyreload.plan.scenario import Scenario, Step
from proxyreload.proxy.upstream import Upstream
from proxyreload.system.clock import ns

from .clocks import START_NS, Time, error_of, result_of, waits
from .happened import record
from .plugins import FakeProxy

ADD = Step("add", 2, at_s=5.0)
REMOVE = Step("remove", 0, at_s=10.0)


@attrs.define(eq=False)
class Stage:
    """A play under way, with a proxy that does as it is told."""

    steps: tuple[Step, ...]
    duration_s: float = 15.0
    time: Time = attrs.field(factory=Time)
    proxy: FakeProxy = attrs.field(factory=FakeProxy)
    proved: Container[int] = range(1000)  #: the numbers of the changes that the traffic shows
    events: list[Event] = attrs.field(init=False)
    play: Play = attrs.field(init=False)
    ended: Deferred[None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        bus = EventBus()
        self.events = record(bus)
        upstreams = {number: Upstream(number, "127.0.0.1", 1030 + number) for number in range(4)}
        scenario = Scenario("test", self.duration_s, (0, 1), self.steps)
        operations = Operations(cast(Any, self.time), self.time.ns, bus, self.proxy, upstreams, "test:runtime")
        self.play = Play(self.time, self.time.ns, scenario, operations, bus, lambda number: number in self.proved)
        self.ended = Deferred.fromCoroutine(self.play.run(START_NS))

    @property
    def told(self) -> list[tuple[int, str, str, str, float]]:
        """Each point of each change: number, action, instance, phase, seconds since the start."""
        return [
            (each.number, each.action, each.instance, each.phase.value, (each.at_ns - START_NS) / 1e9)
            for each in self.events
            if isinstance(each, Change)
        ]

    @property
    def last(self) -> Change:
        event = self.events[-1]
        assert isinstance(event, Change)
        return event


def test_nothing_happens_before_its_time() -> None:
    stage = Stage((ADD,))
    stage.time.advance(4.75)
    assert stage.proxy.calls == []


def test_a_change_is_told_when_it_is_requested_and_when_it_is_applied() -> None:
    stage = Stage((ADD,))
    stage.time.advance(5)
    assert stage.told == [(1, "add", "2", "requested", 5.0)]
    stage.time.advance(0.25)
    stage.proxy.done()
    assert stage.told[1:] == [(1, "add", "2", "applied", 5.25)]
    assert stage.last.mechanism == "test:runtime"


def test_each_step_is_done_at_its_time_and_the_play_ends_with_the_duration() -> None:
    stage = Stage((ADD, REMOVE))
    for _ in range(2):
        stage.time.advance(5)
        stage.proxy.done()
    assert stage.proxy.calls == [("add", 2), ("remove", 0)]
    assert [each[0] for each in stage.told] == [1, 1, 2, 2]
    stage.time.advance(4.75)
    assert waits(stage.ended)
    stage.time.advance(0.25)
    result_of(stage.ended)


def test_a_step_without_a_time_follows_the_one_before() -> None:
    stage = Stage((ADD, Step("remove", 0)))
    stage.time.advance(5)
    stage.proxy.done()
    assert stage.proxy.calls == [("add", 2), ("remove", 0)]


def test_a_pause_holds_what_follows() -> None:
    stage = Stage((Step("pause", pause_s=2.0), Step("add", 2)))
    stage.time.advance(1.75)
    assert stage.proxy.calls == []
    stage.time.advance(0.25)
    assert stage.proxy.calls == [("add", 2)]


def test_a_step_whose_time_passed_during_the_one_before_is_done_at_once() -> None:
    stage = Stage((ADD, REMOVE))
    stage.time.advance(5)
    stage.time.advance(7)
    assert stage.proxy.calls == [("add", 2)]
    stage.proxy.done()
    assert stage.proxy.calls == [("add", 2), ("remove", 0)]


def test_a_refusal_is_told_in_the_proxys_own_words_on_one_line() -> None:
    stage = Stage((ADD, REMOVE))
    stage.time.advance(5)
    stage.proxy.fails(ChangeError("No such backend.\n\n  See \x1b[1mthe manual.\n"))
    assert (stage.last.phase, stage.last.message) == (Phase.FAILED, r"No such backend. / See \x1b[1mthe manual.")


def test_a_plugins_own_error_is_told_with_its_name() -> None:
    stage = Stage((ADD,))
    stage.time.advance(5)
    stage.proxy.fails(KeyError("app"))
    assert (stage.last.phase, stage.last.message) == (Phase.FAILED, "KeyError: 'app'")


def test_a_plugin_that_gives_nothing_to_wait_for_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeProxy, "add_backend", lambda _self, _upstream: None)
    stage = Stage((ADD,))
    stage.time.advance(5)
    assert stage.last.phase is Phase.FAILED
    assert stage.last.message.startswith("TypeError: ")


def test_after_a_failed_change_the_play_goes_on() -> None:
    stage = Stage((ADD, REMOVE))
    stage.time.advance(5)
    stage.proxy.fails(ChangeError("no"))
    stage.time.advance(5)
    stage.proxy.done()
    assert [each[3] for each in stage.told] == ["requested", "failed", "requested", "applied"]


def test_a_change_that_never_ends_has_failed_and_is_cancelled() -> None:
    stage = Stage((ADD,), duration_s=1000.0)
    stage.time.advance(5)
    stage.time.advance(CHANGE_TIMEOUT_S)
    assert (stage.last.phase, stage.last.message) == (Phase.FAILED, "not done within 60 s")
    assert stage.proxy.cancelled == 1


def test_cancelled_between_steps_the_play_ends_where_it_is() -> None:
    stage = Stage((ADD, REMOVE))
    stage.time.advance(5)
    stage.proxy.done()
    stage.ended.cancel()
    error_of(stage.ended, CancelledError)
    assert stage.play.skipped() == ["remove backend 0"]
    assert stage.time.getDelayedCalls() == []


def test_cancelled_in_a_change_the_play_ends_where_it_is() -> None:
    stage = Stage((ADD, REMOVE))
    stage.time.advance(5)
    stage.ended.cancel()
    assert not waits(stage.ended), "the play goes on"
    error_of(stage.ended, CancelledError)
    assert stage.proxy.cancelled == 1
    assert stage.time.getDelayedCalls() == []


def test_a_change_that_was_cancelled_is_not_done() -> None:
    stage = Stage((ADD, REMOVE))
    stage.ended.addErrback(lambda failure: failure.trap(CancelledError))
    stage.time.advance(5)
    stage.ended.cancel()
    assert stage.play.skipped() == ["add backend 2", "remove backend 0"]


def test_a_pause_that_was_not_held_is_no_change_that_was_not_made() -> None:
    assert Stage((Step("pause", pause_s=2.0), Step("add", 2))).play.skipped() == ["add backend 2"]


def test_a_play_without_end_goes_on_for_days() -> None:
    stage = Stage((), duration_s=float("inf"))
    for _ in range(5):
        stage.time.advance(86_400)
    assert waits(stage.ended)
    stage.ended.cancel()
    error_of(stage.ended, CancelledError)


@pytest.mark.parametrize(
    ("elapsed_s", "ahead"), [(0, "add backend 2 in 5 s"), (4.75, "add backend 2 in 0 s"), (5, "add backend 2")]
)
def test_what_comes_next_is_told(elapsed_s: float, ahead: str) -> None:
    assert Stage((ADD,)).play.ahead(elapsed_s) == ahead


def test_after_the_last_step_the_end_comes_next() -> None:
    stage = Stage((ADD,))
    stage.time.advance(5)
    assert stage.play.ahead(5.0) == "add backend 2"
    stage.proxy.done()
    assert (stage.play.ahead(5.0), stage.play.ahead(16.0)) == ("ends in 10 s", "ends in 0 s")


def test_without_an_end_ctrl_c_comes_next() -> None:
    assert Stage((), duration_s=float("inf")).play.ahead(3.0) == "Ctrl-C ends"


def test_times_are_those_of_the_runs_clock_not_of_the_reactors() -> None:
    time = Time()
    scenario = Scenario("test", 15.0, (0, 1), ())
    slow = Play(time, lambda: START_NS + ns(time.seconds() / 2), scenario, None, EventBus(), lambda _number: True)
    ended = Deferred.fromCoroutine(slow.run(START_NS))
    time.pump([1] * 29)
    assert waits(ended)
    time.pump([0.5] * 4)
    result_of(ended)


# Proof.

PACED = (Step("pause", pause_s=2.0), Step("add", 2), Step("pause", pause_s=2.0), Step("remove", 0))


def unproved(stage: Stage) -> list[tuple[int, float]]:
    """Return the changes that went without proof, with how long they were waited for."""
    return [(each.number, each.waited_s) for each in stage.events if isinstance(each, Unproved)]


def paced(proved: set[int]) -> Stage:
    """Return a play whose first change is applied at 2 s."""
    stage = Stage(PACED, proved=proved)
    stage.time.advance(2)
    stage.proxy.done()
    return stage


def test_a_pause_counts_from_the_proof_of_the_change_before_it() -> None:
    proved: set[int] = set()
    stage = paced(proved)
    stage.time.pump([0.25] * 12)
    proved.add(1)
    stage.time.pump([0.25] * 8)
    assert stage.proxy.calls == [("add", 2)]
    stage.time.advance(0.25)
    assert stage.proxy.calls == [("add", 2), ("remove", 0)]
    assert unproved(stage) == []


def test_a_change_that_is_never_seen_has_its_time_and_then_the_play_goes_on_and_says_so() -> None:
    stage = paced(set())
    stage.time.pump([0.25] * 40)
    assert unproved(stage) == [(1, PROOF_LIMIT_S)]
    stage.time.pump([0.25] * 9)
    assert stage.proxy.calls == [("add", 2), ("remove", 0)]


def test_a_refused_change_is_waited_for_no_longer() -> None:
    stage = Stage(PACED, proved=())
    stage.time.advance(2)
    stage.proxy.fails(ChangeError("no"))
    stage.time.advance(2)
    assert stage.proxy.calls == [("add", 2), ("remove", 0)]


def test_a_step_that_has_a_time_is_made_then() -> None:
    stage = Stage((ADD, REMOVE), proved=())
    stage.time.advance(5)
    stage.proxy.done()
    stage.time.advance(5)
    assert stage.proxy.calls == [("add", 2), ("remove", 0)]


def test_a_run_does_not_end_before_its_last_change_is_proved() -> None:
    proved: set[int] = set()
    stage = Stage((ADD,), duration_s=6.0, proved=proved)
    stage.time.advance(5)
    stage.proxy.done()
    stage.time.pump([0.25] * 12)
    assert waits(stage.ended)
    proved.add(1)
    stage.time.advance(0.25)
    result_of(stage.ended)


def test_ended_while_it_waits_for_proof_a_play_waits_no_longer() -> None:
    stage = paced(set())
    stage.play.stop()
    stage.time.advance(0.25)
    assert unproved(stage) == []
    stage.time.pump([1] * 3)
    result_of(stage.ended)
    assert stage.play.skipped() == ["remove backend 0"]
