"""Waiting with a limit."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from proxyreload.system.waiting import LateError, until, within

from .clocks import error_of, result_of, waits


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


async def stubborn(*waits_for: Deferred[int]) -> int:
    """Wait for one after the other, whoever cancels it."""
    for each in waits_for[:-1]:
        try:
            return await each
        except CancelledError:
            continue
    return await waits_for[-1]


def test_work_that_ignores_its_cancellation_is_left_to_itself() -> None:
    clock, first, second = Clock(), Deferred[int](), Deferred[int]()
    done = Deferred.fromCoroutine(within(clock, stubborn(first, second), 5.0))
    clock.advance(4.5)
    assert waits(done)
    clock.advance(0.5)
    error_of(done, LateError)
    assert first.called
    assert waits(second)
    assert clock.getDelayedCalls() == []


def test_what_becomes_of_work_that_was_left_to_itself_is_of_no_interest() -> None:
    for outcome in (42, ValueError("much later")):
        clock, second = Clock(), Deferred[int]()
        done = Deferred.fromCoroutine(within(clock, stubborn(Deferred[int](), second), 5.0))
        clock.advance(5)
        error_of(done, LateError)
        if isinstance(outcome, int):
            second.callback(outcome)
        else:
            second.errback(outcome)
        assert clock.getDelayedCalls() == []


def test_waiting_for_work_that_ignores_it_can_be_cancelled() -> None:
    clock, second = Clock(), Deferred[int]()
    done = Deferred.fromCoroutine(within(clock, stubborn(Deferred[int](), second), 5.0))
    done.cancel()
    error_of(done, CancelledError)
    assert waits(second)
    assert clock.getDelayedCalls() == []


def test_work_that_is_cancelled_may_come_to_an_end_of_its_own() -> None:
    async def orderly() -> int:
        try:
            return await Deferred[int]()
        except CancelledError:
            return 7

    clock = Clock()
    done = Deferred.fromCoroutine(within(clock, orderly(), 5.0))
    clock.advance(5)
    assert result_of(done) == 7
