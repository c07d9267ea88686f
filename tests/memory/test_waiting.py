"""Waiting with a limit."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from proxyreload.system.waiting import LateError, until, within

from .fakes import error_of, result_of, waits


class Condition:
    """Holds once it is said to."""

    def __init__(self) -> None:
        self.holds = False
        self.looks = 0

    async def look(self) -> bool:
        self.looks += 1
        return self.holds


def test_a_condition_that_holds_is_looked_at_once() -> None:
    condition = Condition()
    condition.holds = True
    assert result_of(Deferred.fromCoroutine(until(Clock(), condition.look, 1.0))) is True
    assert condition.looks == 1


def test_a_condition_is_looked_at_until_it_holds() -> None:
    clock, condition = Clock(), Condition()
    waiting = Deferred.fromCoroutine(until(clock, condition.look, 10.0, 0.5))
    clock.pump([0.5] * 3)
    assert waits(waiting)
    condition.holds = True
    clock.advance(0.5)
    assert result_of(waiting) is True
    assert condition.looks == 5


def test_a_condition_that_never_holds_is_given_up() -> None:
    clock, condition = Clock(), Condition()
    waiting = Deferred.fromCoroutine(until(clock, condition.look, 2.0, 0.5))
    clock.pump([0.5] * 4)
    assert result_of(waiting) is False


async def answer(deferred: Deferred[int]) -> int:
    return await deferred


def test_work_that_is_done_in_time_gives_its_result() -> None:
    clock, work = Clock(), Deferred[int]()
    done = Deferred.fromCoroutine(within(clock, answer(work), 5.0))
    work.callback(42)
    assert result_of(done) == 42
    assert clock.getDelayedCalls() == []


def test_work_that_fails_gives_its_error() -> None:
    work = Deferred[int]()
    done = Deferred.fromCoroutine(within(Clock(), answer(work), 5.0))
    work.errback(ValueError("wrong"))
    assert str(error_of(done, ValueError)) == "wrong"


def test_work_that_is_late_is_cancelled() -> None:
    clock, cancelled = Clock(), list[int]()
    work: Deferred[int] = Deferred(lambda _deferred: cancelled.append(1))
    done = Deferred.fromCoroutine(within(clock, answer(work), 5.0))
    clock.advance(5)
    error_of(done, LateError)
    assert cancelled == [1]
