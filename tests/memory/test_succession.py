"""Backends of one number, one after another: a new one is there while the one before still drains."""

from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import Deferred
from zope.interface import implementer

from proxyreload.backend.interfaces import IBackend
from proxyreload.backend.succession import Succession
from proxyreload.errors import StartError

from .clocks import Time, error_of, result_of


@implementer(IBackend)
@attrs.define(eq=False)
class Fake:
    """One of them, which says what it was asked for."""

    instance: int = 0
    host: str = "127.0.0.1"
    port: int = 1030
    obstacles: list[StartError] = attrs.field(factory=list)
    calls: list[str] = attrs.field(factory=list)
    gone: "Deferred[None]" = attrs.field(factory=Deferred)
    slow: "Deferred[None] | None" = None

    async def start(self, _reactor: object) -> None:
        self.calls.append("start")
        if self.slow is not None:
            await self.slow
        if self.obstacles:
            raise self.obstacles.pop()

    async def leave(self) -> None:
        self.calls.append("leave")
        await self.gone

    async def kill(self) -> None:
        self.calls.append("kill")

    async def stop(self) -> None:
        self.calls.append("stop")

    def hurry(self) -> None:
        self.calls.append("hurry")


class Scene:
    """A succession, and all that it has made."""

    def __init__(self) -> None:
        self.time = Time()
        self.made: list[Fake] = []
        self.obstacles: list[StartError] = []
        self.succession = Succession(0, "127.0.0.1", 1030, self.make)

    def make(self) -> Fake:
        fake = Fake(obstacles=self.obstacles)
        self.made.append(fake)
        return fake

    def begin(self, what: str) -> "Deferred[None]":
        """Ask for something."""
        call = getattr(self.succession, what)
        return Deferred.fromCoroutine(call(cast(Any, self.time)) if what == "start" else call())

    def done(self, what: str) -> None:
        """Ask for something that is done at once."""
        result_of(self.begin(what))


@pytest.fixture(name="scene")
def _scene() -> Scene:
    scene = Scene()
    scene.done("start")
    return scene


def test_the_next_one_starts_while_the_one_before_drains(scene: Scene) -> None:
    leaving = scene.begin("leave")
    scene.done("start")
    assert [each.calls for each in scene.made] == [["start", "leave"], ["start"]]
    assert not leaving.called
    scene.made[0].gone.callback(None)
    result_of(leaving)
    assert [each.calls for each in scene.made] == [["start", "leave", "stop"], ["start"]]


def test_the_end_is_the_end_of_all(scene: Scene) -> None:
    scene.begin("leave")
    scene.done("start")
    scene.succession.hurry()
    scene.done("stop")
    assert [each.calls[-2:] for each in scene.made] == [["hurry", "stop"]] * 2


def test_where_the_port_is_not_given_up_yet_it_is_tried_again(scene: Scene) -> None:
    scene.begin("leave")
    scene.obstacles += [StartError("in use")] * 2
    starting = scene.begin("start")
    for _ in range(2):
        assert not starting.called
        scene.time.advance(0.05)
    result_of(starting)
    assert [each.calls for each in scene.made[1:]] == [["start", "stop"], ["start", "stop"], ["start"]]
    assert scene.time.getDelayedCalls() == []


def test_but_not_for_ever(scene: Scene) -> None:
    scene.begin("leave")
    scene.obstacles += [StartError("in use")] * 1000
    starting = scene.begin("start")
    while scene.time.getDelayedCalls():
        scene.time.advance(0.05)
    assert str(error_of(starting, StartError)) == "in use"


def test_nor_again_where_it_has_taken_long_to_fail(scene: Scene) -> None:
    scene.begin("leave")
    made = scene.make

    def slow() -> Fake:
        fake = made()
        fake.slow = Deferred()
        return fake

    scene.succession.make = slow
    scene.obstacles += [StartError("does not listen")] * 2
    starting = scene.begin("start")
    scene.time.advance(15)
    late = scene.made[-1].slow
    assert late is not None
    late.callback(None)
    assert str(error_of(starting, StartError)) == "does not listen"


def test_where_nobody_leaves_it_is_an_error_at_once(scene: Scene) -> None:
    scene.obstacles.append(StartError("in use"))
    assert str(error_of(scene.begin("start"), StartError)) == "in use"
    assert scene.time.getDelayedCalls() == []


def test_one_that_was_killed_is_given_back_before_the_next(scene: Scene) -> None:
    scene.done("kill")
    scene.done("start")
    assert [each.calls for each in scene.made] == [["start", "kill", "stop"], ["start"]]
