"""What a plugin goes on with after its change: it is told if it fails, and ends with the run."""

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred

from proxyreload.errors import ChangeError
from proxyreload.history.events import LeftUndone
from proxyreload.proxy.foreign import words_of
from proxyreload.proxy.meanwhile import Meanwhile
from proxyreload.terminal.lines import undone_line

from .clocks import START_NS, result_of, waits


@attrs.define(eq=False)
class Scene:
    """Work that waits until the test says how it ends."""

    told: list[tuple[str, str]] = attrs.field(factory=list)
    step: Deferred[None] = attrs.field(factory=Deferred)
    cancelled: int = 0
    meanwhile: Meanwhile = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.meanwhile = Meanwhile(lambda what, error: self.told.append((what, words_of(error))))

    async def work(self) -> None:
        try:
            await self.step
        except CancelledError:
            self.cancelled += 1
            raise


async def fails(error: BaseException) -> None:
    raise error


def test_it_fires_when_the_work_is_done_and_nobody_hears_of_it() -> None:
    scene = Scene()
    over = scene.meanwhile.do(scene.work(), "it lets go")
    assert waits(over)
    scene.step.callback(None)
    assert (result_of(over), scene.told) == (None, [])
    scene.meanwhile.leave_off()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ChangeError("no such server"), "no such server"),
        (KeyError("b0"), "KeyError: 'b0'"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_whatever_it_fails_with_is_told_once(error: BaseException, words: str) -> None:
    scene = Scene()
    result_of(scene.meanwhile.do(fails(error), "it lets go"))
    assert scene.told == [("it lets go", words)]


def test_being_cancelled_is_no_failure() -> None:
    scene = Scene()
    one = scene.meanwhile.do(scene.work(), "one")
    scene.step = Deferred()
    other = scene.meanwhile.do(scene.work(), "other")
    one.cancel()
    result_of(one)
    assert (scene.cancelled, scene.told, waits(other)) == (1, [], True)
    scene.meanwhile.leave_off()
    result_of(other)
    assert (scene.cancelled, scene.told) == (2, [])


@pytest.mark.parametrize("error", [None, ChangeError("too late")])
def test_whatever_it_makes_of_being_cancelled_it_is_over_and_nobody_hears_more(error: Exception | None) -> None:
    scene = Scene()

    async def work() -> None:
        try:
            await Deferred[None]()
        except CancelledError:
            await scene.step
            if error is not None:
                raise error from None

    over = scene.meanwhile.do(work(), "it lets go")
    scene.meanwhile.leave_off()
    result_of(over)
    scene.step.callback(None)
    assert scene.told == []


def test_the_terminal_has_a_line_for_it() -> None:
    undone = LeftUndone("HAProxy lets go of app/backend0", "it is gone", START_NS + 1_500_000)
    assert undone_line(undone, START_NS) == "   0.001500  left undone: HAProxy lets go of app/backend0: it is gone"
