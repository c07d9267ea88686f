"""A run goes on until the proxy's old processes are gone, or says that it waited no longer."""

from collections.abc import Collection
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Ended, Event, OldGeneration, Started
from proxyreload.plan.play import Play
from proxyreload.plan.scenario import Scenario
from proxyreload.proxy.interfaces import IGenerations
from proxyreload.run.oldprocesses import AFTERWARDS_S, ANSWER_LIMIT_S, INTERVAL_S, OldProcesses
from proxyreload.system.clock import ns
from proxyreload.terminal.summary import summary_lines
from proxyreload.verdict.judgement import judge
from proxyreload.verdict.observation import observe

from .clocks import START_NS, Time, error_of, result_of, waits
from .happened import record
from .plugins import FakeProxy


@attrs.define(eq=False)
class Retired:
    """A workspace with processes that have handed over."""

    pids: set[int]

    def retired(self) -> set[int]:
        return set(self.pids)


@implementer(IGenerations)
class Knowing(FakeProxy):
    """A proxy whose plugin knows of old processes, or fails to say, or never does."""

    old: Collection[int] | Exception | None = ()

    async def old_processes(self) -> Collection[int]:
        if isinstance(self.old, Exception):
            raise self.old
        if self.old is None:
            await Deferred()
        return cast(Collection[int], self.old)


@attrs.define(eq=False)
class Scene:
    """The end of a scenario."""

    pids: set[int] = attrs.field(factory=set)
    proxy: FakeProxy = attrs.field(factory=FakeProxy)
    limit_s: float = 15.0
    time: Time = attrs.field(factory=Time)
    events: list[Event] = attrs.field(init=False)
    play: Play = attrs.field(init=False)
    workspace: Retired = attrs.field(init=False)
    over: Deferred[None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        bus = EventBus()
        self.events = record(bus)
        self.workspace = Retired(self.pids)
        self.play = Play(self.time, self.time.ns, Scenario("test", 1.0, (), ()), None, bus, lambda _number: True)
        old = OldProcesses(self.time, self.time.ns, bus, cast(Any, self.workspace), self.proxy)
        self.over = Deferred.fromCoroutine(old.outlast(self.limit_s, self.play))

    def passes(self, seconds: float) -> None:
        self.time.pump([INTERVAL_S] * round(seconds / INTERVAL_S))

    @property
    def told(self) -> tuple[int, int, float, str]:
        (event,) = self.events
        assert isinstance(event, OldGeneration)
        return event.first, event.left, round(event.waited_ns / 1e9, 1), event.unknown


def test_without_an_old_process_the_run_ends_at_once() -> None:
    scene = Scene()
    result_of(scene.over)
    assert scene.told == (0, 0, 0.0, "")


def test_it_goes_on_until_the_last_one_is_gone_and_far_clients_have_seen_that() -> None:
    scene = Scene({7, 8})
    scene.passes(2)
    scene.workspace.pids.remove(8)
    scene.passes(1)
    assert waits(scene.over)
    assert scene.play.ahead(5.0) == "waits for the old generation of the proxy (1)"
    scene.workspace.pids.clear()
    scene.passes(AFTERWARDS_S)
    assert waits(scene.over)
    scene.passes(INTERVAL_S)
    result_of(scene.over)
    assert scene.told == (2, 0, 3.0 + INTERVAL_S + AFTERWARDS_S, "")


def test_it_waits_no_longer_than_it_may_and_says_how_many_live_still() -> None:
    scene = Scene({7, 8}, limit_s=3.0)
    scene.passes(3.0 + INTERVAL_S)
    result_of(scene.over)
    assert scene.told[:2] == (2, 2)


def test_with_a_duration_that_was_given_it_only_looks() -> None:
    scene = Scene({7}, limit_s=0.0)
    result_of(scene.over)
    assert scene.told == (1, 1, 0.0, "")


def test_a_signal_ends_the_wait_and_what_is_left_is_told() -> None:
    scene = Scene({7})
    scene.passes(1)
    scene.over.cancel()
    error_of(scene.over, CancelledError)
    assert scene.told == (1, 1, 1.0, "")


def test_a_plugins_own_old_processes_count_once() -> None:
    proxy = Knowing()
    proxy.old = [8, 9]
    scene = Scene({7, 8}, proxy, limit_s=0.0)
    result_of(scene.over)
    assert scene.told == (3, 3, 0.0, "")


def test_a_plugin_that_fails_to_say_is_not_taken_to_say_none() -> None:
    proxy = Knowing()
    proxy.old = ChangeError("no such socket")
    scene = Scene(set(), proxy)
    result_of(scene.over)
    assert scene.told == (0, 0, 0.0, "no such socket")


def test_nor_is_one_that_never_says() -> None:
    proxy = Knowing()
    proxy.old = None
    scene = Scene(set(), proxy)
    scene.time.advance(ANSWER_LIMIT_S)
    result_of(scene.over)
    assert scene.told[3] == "its plugin does not say so within 5 s"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (OldGeneration(0, 0, 0, START_NS), ""),
        (OldGeneration(2, 0, ns(3.04), START_NS), "the run went on for 3.0 s until the old generation was gone"),
        (
            OldGeneration(2, 1, ns(15), START_NS),
            "1 process of the old generation still lives after 15.0 s more: what ends later is not seen",
        ),
        (
            OldGeneration(2, 2, 0, START_NS),
            "2 processes of the old generation still live after 0.0 s more: what ends later is not seen",
        ),
        (OldGeneration(0, 0, 0, START_NS, "gone"), "whether the old generation still lives is not known: gone"),
    ],
)
def test_the_terminal_says_so_in_a_line(event: OldGeneration, line: str) -> None:
    observation = observe([(Started, [Started(START_NS)]), (OldGeneration, [event]), (Ended, [Ended(START_NS + 1)])])
    said = [each for each in summary_lines(observation, judge(observation), "it") if "old generation" in each]
    assert said == ([line] if line else [])
