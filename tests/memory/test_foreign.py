"""A plugin's code: what it raises, or makes of being cancelled, is an ordinary error, and nothing of it is waited for."""

import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from proxyreload.errors import ChangeError, ExitStatus, StartError, UsageError
from proxyreload.proxy.foreign import Calling, asked, words_of
from proxyreload.system.untrusted import WORDS_LIMIT
from proxyreload.system.waiting import LateError

from .clocks import Time, error_of, result_of, waits

RAISED = [SystemExit(0), SystemExit(), KeyboardInterrupt(), GeneratorExit(), BaseException("odd"), ValueError("x\ny")]
WORDS = ["SystemExit: 0", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseException: odd", "ValueError: x / y"]
Call = Callable[[], Awaitable[object] | None]


def ask(clock: Time, call: Call, what: str = "") -> Deferred[None]:
    return Deferred.fromCoroutine(asked(cast(Any, clock), call, 10.0, ChangeError, what))


@pytest.mark.parametrize(("error", "words"), list(zip(RAISED, WORDS, strict=True)), ids=WORDS)
@pytest.mark.parametrize("when", ["called", "begun", "later"])
def test_what_is_raised_to_end_the_program_is_an_error_like_others(error: BaseException, words: str, when: str) -> None:
    clock = Time()

    async def work() -> None:
        if when == "later":
            await deferLater(cast(Any, clock), 1)
        raise error

    def call() -> Awaitable[None]:
        if when == "called":
            raise error
        return work()

    doing = ask(clock, call, "it failed")
    clock.advance(1)
    raised = error_of(doing, ChangeError)
    assert str(raised) == f"it failed: {words}"
    assert raised.__class__ is ChangeError


def test_an_error_of_ours_stays_as_it_is() -> None:
    async def work() -> None:
        msg = "in its\nwords"
        raise UsageError(msg)

    raised = error_of(ask(Time(), work, "it failed"), UsageError)
    assert (str(raised), cast(UsageError, raised).status) == ("in its\nwords", ExitStatus.USAGE)


def test_nothing_need_be_returned_but_what_is_must_be_awaitable() -> None:
    assert result_of(ask(Time(), lambda: None)) is None
    assert "TypeError" in str(error_of(ask(Time(), cast(Call, lambda: 5)), ChangeError))


def test_a_cancellation_of_its_own_is_an_error_and_ours_is_none() -> None:
    async def own() -> None:
        raise CancelledError

    async def waiting() -> None:
        await Deferred()

    assert str(error_of(ask(Time(), own), ChangeError)) == "CancelledError"
    doing = ask(Time(), waiting)
    doing.cancel()
    error_of(doing, CancelledError)


async def deaf() -> None:
    while True:
        try:
            await Deferred()
        except CancelledError:
            continue


async def exits() -> None:
    try:
        await Deferred()
    except CancelledError:
        raise SystemExit(0) from None


async def returns() -> None:
    try:
        await Deferred()
    except CancelledError:
        return


@pytest.mark.parametrize("work", [deaf, exits])
def test_whatever_it_makes_of_being_cancelled_it_is_over(work: Call) -> None:
    clock = Time()
    doing, late = ask(clock, work), ask(clock, work)
    doing.cancel()
    error_of(doing, CancelledError)
    clock.advance(9.9)
    assert waits(late)
    clock.advance(0.1)
    error_of(late, LateError)
    assert clock.getDelayedCalls() == []


def test_what_is_done_in_spite_of_being_cancelled_is_done() -> None:
    doing = ask(Time(), returns)
    doing.cancel()
    assert result_of(doing) is None


class Unspeakable(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise SystemExit(0)


def test_words_are_bounded_and_on_one_line() -> None:
    assert words_of(Unspeakable()) == "Unspeakable: its text raised SystemExit"
    assert words_of(ValueError("\x1b[2J\n\n a")) == "ValueError: \\x1b[2J / a"
    assert words_of(ChangeError("no such\nserver")) == "no such / server"
    assert len(words_of(ValueError("x" * 10_000))) == WORDS_LIMIT + 1


@pytest.mark.parametrize(("error", "words"), list(zip(RAISED, WORDS, strict=True)), ids=WORDS)
def test_a_call_that_is_not_awaited(error: BaseException, words: str) -> None:
    with pytest.raises(StartError) as raised, Calling(StartError, "it"):
        raise error
    assert str(raised.value) == f"it: {words}"
    with pytest.raises(UsageError, match=r"^so$"), Calling(StartError, "it"):
        raise UsageError("so")  # noqa: EM101


@pytest.fixture(name="_ctrl_c")
def _interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_meanwhile_is_no_error_of_the_plugins() -> None:
    with pytest.raises(KeyboardInterrupt), Calling(StartError, "it"):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(StartError), Calling(StartError, "it"):
        raise KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Calling(StartError, "it"):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
