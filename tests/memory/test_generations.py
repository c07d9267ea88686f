"""The generations of the proxy's processes: how long an old one lives, and whose connections it holds still."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import pytest

from proxyreload.history.events import Ended, Event, Held, Holding, Phase, Started
from proxyreload.proxy.holders import Holders
from proxyreload.run import generationwatch
from proxyreload.run.generationwatch import HOLDING_EVERY_S, LIVING_EVERY_S, GenerationWatch
from proxyreload.system.clock import ns
from proxyreload.verdict.generations import LOOKS_KEPT, Generations
from proxyreload.verdict.observation import observe

from .clocks import START_NS, Time
from .happened import change
from .observing import run_json

KINDS = {"0": "get", "1": "get", "2": "stream", "p3": "fresh"}
WHOSE = {40000 + client: Holding(client, 0) for client in range(3)}


def at(second: float) -> int:
    return START_NS + ns(second)


def held(second: float, newest: int, living: set[int], generations: Mapping[int, int] | None = None) -> Held:
    """Return a look: which generation held the connection of each client."""
    by_port = {40000 + client: number for client, number in (generations or {}).items()}
    return Held(newest, by_port, at(second), frozenset(living), WHOSE if by_port else {})


RELOAD: list[Event] = [
    held(1.9, 0, {0}, {0: 0, 1: 0, 2: 0}),
    change(Phase.REQUESTED, at(2), "reload", "", 1),
    change(Phase.APPLIED, at(2.1), "reload", "", 1),
    held(2.1, 1, {0, 1}),
    held(2.2, 1, {0, 1}, {0: 1, 1: 0, 2: 0}),
    held(3.2, 1, {0, 1}, {0: 1, 1: 1, 2: 0}),
    held(4.2, 1, {0, 1}, {0: 1, 1: 1, 2: 0}),
    held(5.1, 1, {1}),
]


def observed_of(*events: Event) -> Any:
    history = [Started(START_NS, kinds=KINDS), *events, Ended(at(10))]
    return observe((type(event), [event]) for event in history)


def test_it_is_told_since_when_until_when_and_for_whom(tmp_path: Path) -> None:
    old, new = run_json(observed_of(*RELOAD), tmp_path)["summary"]["generations"]
    assert old == {
        "number": 0,
        "change": None,
        "since_us": 0,
        "replaced_us": 2_100_000,
        "until_us": 5_100_000,
        "on_it": [
            {"at_us": 2_200_000, "clients": {"get": 1, "stream": 1}},
            {"at_us": 3_200_000, "clients": {"stream": 1}},
        ],
        "connections": [[0, 0], [1, 0], [2, 0]],
    }
    assert (new["number"], new["change"], new["since_us"], new["replaced_us"], new["until_us"]) == (
        1,
        1,
        2_100_000,
        None,
        None,
    )


def test_where_nobody_has_looked_there_are_none(tmp_path: Path) -> None:
    assert run_json(observed_of(), tmp_path)["summary"]["generations"] == []
    assert run_json(observed_of(Held(-1, {}, at(1), frozenset())), tmp_path)["summary"]["generations"] == []


def test_who_is_seen_on_none_is_no_more_on_the_old_one() -> None:
    generations = observed_of(*RELOAD[:5], held(3, 1, {0, 1}, {0: 1, 1: 1, 2: 1})).generations.all
    assert [dict(kinds) for _at_ns, kinds in generations[0].on_it] == [{"get": 1, "stream": 1}, {}]


def test_so_many_looks_are_kept() -> None:
    generations = Generations()
    looks = [held(3 + n / 100, 1, {0, 1}, {2: n % 2}) for n in range(3 * LOOKS_KEPT)]
    generations.held([held(1, 0, {0}), *looks], START_NS, 1, lambda _client: "get")
    assert len(generations.all[0].on_it) == LOOKS_KEPT


def test_a_look_that_took_long_knows_nothing_of_what_began_meanwhile() -> None:
    late = held(2.3, 0, {0}, {2: 0})
    old, new = observed_of(*RELOAD[:4], late, *RELOAD[4:]).generations.all
    assert (old.until_ns, new.until_ns) == (at(5.1), 0)


# Looking.


@attrs.define(eq=False)
class Scene:
    """A proxy of two generations, of which one is old."""

    time: Time = attrs.field(factory=Time)
    told: list[Held] = attrs.field(factory=list)
    living: set[int] = attrs.field(factory=lambda: {100, 200})
    pids: list[int] = attrs.field(factory=lambda: [100])
    watch: GenerationWatch = attrs.field(init=False)
    holders: Holders = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.holders = Holders(1, self.time.ns, lambda: self.pids, self.living.__contains__, lambda: WHOSE)
        self.holders.count()
        sink: Any = self
        self.watch = GenerationWatch(cast(Any, self.time), self.time.ns, sink, self.holders)
        self.watch.start(self.time)

    def publish(self, event: Held) -> None:
        self.told.append(event)

    def reload(self) -> None:
        self.pids.append(200)
        self.holders.count()

    def wait(self, seconds: float) -> None:
        self.time.pump([LIVING_EVERY_S / 2] * round(2 * seconds / LIVING_EVERY_S))


@pytest.fixture(name="scene")
def _scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(Time, "getThreadPool", lambda _self: None, raising=False)

    async def at_once(_reactor: object, _pool: object, call: Callable[..., Held], *arguments: Held) -> Held:
        return call(*arguments)

    monkeypatch.setattr(generationwatch, "deferToThreadPool", at_once)
    return Scene()


def test_while_there_is_no_old_generation_nothing_is_told(scene: Scene) -> None:
    scene.wait(5)
    assert scene.told == []


def test_while_there_is_one_it_is_looked_at_who_is_on_it_and_at_its_end_that_it_is_gone(scene: Scene) -> None:
    scene.wait(HOLDING_EVERY_S)
    scene.reload()
    scene.wait(3 * HOLDING_EVERY_S)
    assert 3 <= len(scene.told) <= 4
    assert {(each.newest, each.living, each.whose == WHOSE) for each in scene.told} == {(1, frozenset({0, 1}), True)}
    before = len(scene.told)
    scene.living.remove(100)
    scene.wait(3 * HOLDING_EVERY_S)
    [gone] = scene.told[before:]
    assert (gone.living, dict(gone.whose)) == (frozenset({1}), {})


def test_what_has_ended_by_the_end_of_the_run_is_told(scene: Scene) -> None:
    scene.reload()
    scene.wait(HOLDING_EVERY_S)
    scene.living.remove(100)
    scene.watch.stop()
    assert scene.told[-1].living == frozenset({1})
    assert scene.time.getDelayedCalls() == []
    scene.watch.stop()


def test_a_command_that_runs_meanwhile_is_no_generation(scene: Scene) -> None:
    scene.reload()
    scene.pids.append(300)
    scene.living.add(300)
    scene.wait(3 * HOLDING_EVERY_S)
    assert {each.newest for each in scene.told} == {1}
