"""A backend's process that stands still is noticed; one that is slow, or whom nobody could hear, is not."""

import attrs
import pytest

from proxyreload.backend.pulse import INTERVAL_S, LOOKS, Pulse

from .clocks import Time


@attrs.define(eq=False)
class Watched:
    """A process and who watches it."""

    time: Time = attrs.field(factory=Time)
    until_ns: int = 1
    still: list[float] = attrs.field(factory=list)

    def start(self) -> Pulse:
        pulse = Pulse(lambda: self.until_ns, self.still.append)
        pulse.start(self.time)
        return pulse


@pytest.fixture(name="watched")
def _watched() -> Watched:
    return Watched()


def test_one_that_tells_nothing_stands_still_and_that_is_said_once(watched: Watched) -> None:
    watched.start()
    watched.time.pump([INTERVAL_S] * (LOOKS - 1))
    assert watched.still == []
    watched.time.pump([INTERVAL_S] * 10)
    assert watched.still == [LOOKS * INTERVAL_S]


def test_one_that_tells_something_now_and_then_does_not(watched: Watched) -> None:
    watched.start()
    for _ in range(10):
        watched.time.pump([INTERVAL_S] * (LOOKS - 1))
        watched.until_ns += 1
        watched.time.pump([INTERVAL_S])
    assert watched.still == []


def test_who_was_stopped_himself_has_looked_once(watched: Watched) -> None:
    watched.start()
    watched.time.advance(INTERVAL_S * 100)
    assert watched.still == []


def test_one_that_is_ended_is_looked_at_no_more(watched: Watched) -> None:
    watched.start().stop()
    watched.time.pump([INTERVAL_S] * 10)
    assert (watched.still, watched.time.getDelayedCalls()) == ([], [])
