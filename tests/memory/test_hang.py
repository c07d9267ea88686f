"""A proxy that hangs is noticed, a slow one is not taken for one."""

import pytest

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Broken, Event
from proxyreload.history.failures import CLOSED_REUSED, REFUSED, TIMEOUT
from proxyreload.run.hang import HangWatch
from proxyreload.system.clock import ns

from .clocks import START_NS
from .happened import exchange, failed, record

#: When it is noticed: a little later than it happens.
NOTICED_NS = START_NS + ns(6.25)


@pytest.fixture(name="bus")
def _bus() -> EventBus:
    return EventBus()


@pytest.fixture(name="told")
def _told(bus: EventBus) -> list[Event]:
    """Return what is told of what the bus brings."""
    sink = EventBus()
    HangWatch(bus, sink, lambda: NOTICED_NS, ns(5))
    return record(sink)


def broken(events: list[Event]) -> list[Broken]:
    """Return what was said to be broken."""
    return [event for event in events if isinstance(event, Broken)]


def times_out(bus: EventBus, at_s: float) -> None:
    bus.exchanged(failed(TIMEOUT, ended_ns=START_NS + ns(at_s)))
    bus.flush()


def answers(bus: EventBus, at_s: float, status: int = 200) -> None:
    bus.exchanged(exchange(ended_ns=START_NS + ns(at_s), status=status))
    bus.flush()


def test_time_outs_and_no_answer_for_as_long_are_a_hang(bus: EventBus, told: list[Event]) -> None:
    answers(bus, 1)
    times_out(bus, 6)
    assert broken(told) == [Broken("the proxy hangs: not one answer to any client for 5 s", NOTICED_NS)]


def test_a_time_out_while_others_have_answers_is_no_hang(bus: EventBus, told: list[Event]) -> None:
    answers(bus, 3)
    times_out(bus, 6)
    assert broken(told) == []


def test_an_answer_of_any_status_is_an_answer(bus: EventBus, told: list[Event]) -> None:
    answers(bus, 3, status=503)
    times_out(bus, 6)
    assert broken(told) == []


def test_a_proxy_that_never_answered_hangs(bus: EventBus, told: list[Event]) -> None:
    times_out(bus, 5)
    assert len(broken(told)) == 1


@pytest.mark.parametrize("failure", [REFUSED, CLOSED_REUSED])
def test_other_failures_are_no_hang(bus: EventBus, told: list[Event], failure: str) -> None:
    bus.exchanged(failed(failure, ended_ns=START_NS + ns(60)))
    bus.flush()
    assert broken(told) == []


def test_it_is_said_once(bus: EventBus, told: list[Event]) -> None:
    for at_s in (6, 7, 20):
        times_out(bus, at_s)
    assert len(broken(told)) == 1


def test_it_is_told_to_the_sink_alone(bus: EventBus, told: list[Event]) -> None:
    events = record(bus)
    times_out(bus, 6)
    assert (len(broken(told)), broken(events)) == (1, [])
