"""A signal that arrives twice at once, from whoever signals a program and its group, is one."""

import signal
from collections.abc import Iterator
from typing import Any, cast

import pytest

from proxyreload.cli.signals import ECHO_NS, on_signals
from proxyreload.system.reactor import IReactor


class Turn:
    """A reactor that calls at once."""

    def callFromThread(self, function: Any) -> None:
        function()


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, what in zip(numbers, before, strict=True):
        signal.signal(number, what)


def arrivals(*sent: tuple[int, int]) -> list[int]:
    """Return when the signals sent at these times interrupted."""
    times_ns = [0]
    interrupts: list[int] = []
    on_signals(cast(IReactor, Turn()), lambda: interrupts.append(times_ns[-1]), lambda: times_ns[-1])
    for at_ns, number in sent:
        times_ns.append(at_ns)
        signal.raise_signal(number)
    return interrupts


def test_an_echo_is_the_same_signal() -> None:
    assert arrivals((0, signal.SIGINT), (ECHO_NS - 1, signal.SIGINT)) == [0]


def test_a_second_one_after_that_is_another() -> None:
    assert arrivals((0, signal.SIGINT), (ECHO_NS, signal.SIGINT)) == [0, ECHO_NS]


def test_another_signal_is_no_echo() -> None:
    assert arrivals((5, signal.SIGINT), (6, signal.SIGTERM)) == [5, 6]
