"""Which signals are one, and what the first, the second and the third do; what was ignored stays so."""

import signal
from collections.abc import Callable, Collection, Iterator
from typing import Any, cast

import attrs
import pytest

from proxyreload.cli.signals import ECHO_NS, on_signals, raise_on_signals
from proxyreload.system.defect import Ended
from proxyreload.system.ending import ENDING
from proxyreload.system.reactor import IReactor


@attrs.define
class Turn:
    """A reactor that calls at once, and sets handlers of its own when it starts, as Twisted's does."""

    starting: list[Callable[[], None]] = attrs.field(factory=list)

    def callFromThread(self, function: Any) -> None:
        function()

    def callWhenRunning(self, function: Any) -> None:
        self.starting.append(function)

    def start(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for function in self.starting:
            function()


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = [signal.getsignal(number) for number in ENDING]
    yield
    for number, what in zip(ENDING, before, strict=True):
        signal.signal(number, what)


def arrivals(*sent: tuple[int, int], never_ignored: Collection[int] = ()) -> tuple[list[int], list[int]]:
    """Return when the signals sent at these times interrupted, and when they let all be given up."""
    times_ns = [0]
    interrupts: list[int] = []
    given_up: list[int] = []
    reactor = Turn()
    on_signals(
        cast(IReactor, reactor),
        lambda: interrupts.append(times_ns[-1]),
        lambda: given_up.append(times_ns[-1]),
        lambda: times_ns[-1],
        never_ignored,
    )
    reactor.start()
    for at_ns, number in sent:
        times_ns.append(at_ns)
        signal.raise_signal(number)
    return interrupts, given_up


def test_an_echo_is_the_same_signal() -> None:
    assert arrivals((0, signal.SIGINT), (ECHO_NS - 1, signal.SIGINT)) == ([0], [])


def test_a_second_one_after_that_is_another() -> None:
    assert arrivals((0, signal.SIGINT), (ECHO_NS, signal.SIGINT)) == ([0, ECHO_NS], [])


def test_another_signal_is_no_echo() -> None:
    assert arrivals((5, signal.SIGINT), (6, signal.SIGTERM)) == ([5, 6], [])


def test_the_third_gives_all_up_whichever_it_is() -> None:
    assert arrivals((5, signal.SIGINT), (6, signal.SIGHUP), (7, signal.SIGTERM)) == ([5, 6], [7])
    assert arrivals(*((ECHO_NS * n, signal.SIGINT) for n in (1, 2, 3)))[1] == [ECHO_NS * 3]


@pytest.mark.parametrize("number", ENDING)
def test_what_was_ignored_stays_ignored(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)
    others = [other for other in ENDING if other is not number]
    assert arrivals((5, number), (6, others[0]), (7, others[1])) == ([6, 7], [])
    assert signal.getsignal(number) is signal.SIG_IGN


def test_but_what_somebody_else_counts_on() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert arrivals((5, signal.SIGTERM), never_ignored=[signal.SIGTERM]) == ([5], [])


@pytest.mark.parametrize("number", ENDING)
def test_without_a_reactor_a_signal_is_raised_where_the_program_is(number: signal.Signals) -> None:
    raise_on_signals()
    with pytest.raises(Ended, match=number.name):
        signal.raise_signal(number)


@pytest.mark.parametrize("number", ENDING)
def test_without_a_reactor_too_what_was_ignored_stays_so(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise_on_signals()
    signal.raise_signal(number)
