"""A proxy that hangs is noticed, a slow one is not taken for one."""

from collections.abc import Iterable
from typing import cast

import attrs
import pytest
from twisted.internet.defer import Deferred

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Broken, Event, Phase
from proxyreload.history.failures import CLOSED_REUSED, REFUSED, TIMEOUT
from proxyreload.run.hang import HangWatch
from proxyreload.system.clock import ns

from .clocks import START_NS
from .happened import change, exchange, failed, record

#: When it is noticed: a little later than it happens.
NOTICED_NS = START_NS + ns(6.25)


@pytest.fixture(name="bus")
def _bus() -> EventBus:
    return EventBus()


@attrs.define(eq=False)
class Backends:
    """Those who are asked straight, and when they have had their time to answer."""

    silent: list[str] = attrs.field(factory=list)
    asked: list[set[str]] = attrs.field(factory=list)
    time: Deferred[None] = attrs.field(factory=Deferred)

    async def ask(self, instances: Iterable[str]) -> list[str]:
        self.asked.append(set(instances))
        await self.time
        return self.silent


@pytest.fixture(name="backends")
def _backends() -> Backends:
    return Backends()


@pytest.fixture(name="watch")
def _watch(bus: EventBus, backends: Backends) -> HangWatch:
    return HangWatch(bus, EventBus(), lambda: NOTICED_NS, ns(5), backends.ask, {"0", "1"})


@pytest.fixture(name="told")
def _told(watch: HangWatch, backends: Backends) -> list[Event]:
    """Return what is told of what the bus brings; backends answer at once."""
    backends.time.callback(None)
    return record(cast(EventBus, watch.sink))


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
    said = "the proxy hangs: not one answer to any client for 5 s, though its backends, asked straight, answer"
    assert broken(told) == [Broken(said, NOTICED_NS)]


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


@pytest.mark.parametrize(
    ("silent", "said"),
    [
        (["1"], "backend 1 does not answer, asked straight without the proxy: "),
        (["0", "1"], "backends 0, 1 do not answer, asked straight without the proxy: "),
    ],
)
def test_a_proxy_whose_backends_do_not_answer_is_not_blamed(
    bus: EventBus, told: list[Event], backends: Backends, silent: list[str], said: str
) -> None:
    backends.silent = silent
    times_out(bus, 6)
    assert [each.reason for each in broken(told)] == [said + "not one answer to any client for 5 s"]


def test_who_has_an_answer_while_backends_are_asked_has_no_proxy_that_hangs(
    bus: EventBus, watch: HangWatch, backends: Backends
) -> None:
    events = record(cast(EventBus, watch.sink))
    times_out(bus, 6)
    answers(bus, 6.5)
    backends.time.callback(None)
    assert broken(events) == []
    times_out(bus, 12)
    assert len(broken(events)) == 1


def test_a_backend_that_is_silent_is_named_also_where_others_answer(
    bus: EventBus, watch: HangWatch, backends: Backends
) -> None:
    events = record(cast(EventBus, watch.sink))
    backends.silent = ["1"]
    times_out(bus, 6)
    answers(bus, 6.5)
    backends.time.callback(None)
    assert len(broken(events)) == 1


def test_nobody_is_blamed_once_the_run_is_over(bus: EventBus, watch: HangWatch, backends: Backends) -> None:
    events = record(cast(EventBus, watch.sink))
    times_out(bus, 6)
    watch.stop()
    times_out(bus, 7)
    assert (broken(events), len(backends.asked)) == ([], 1)


def test_those_are_asked_who_are_behind_the_proxy(bus: EventBus, told: list[Event], backends: Backends) -> None:
    bus.publish(change(Phase.REQUESTED, START_NS, "add", "2", 1))
    bus.publish(change(Phase.REQUESTED, START_NS, "remove", "0", 2))
    bus.publish(change(Phase.APPLIED, START_NS, "remove", "1", 3))
    times_out(bus, 6)
    assert (backends.asked, len(broken(told))) == ([{"0", "2"}], 1)
