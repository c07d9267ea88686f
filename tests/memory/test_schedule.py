"""When requests are due in an open loop, and how well that was kept."""

from collections import deque
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionRefusedError  # noqa: A004

from proxyreload.client.client import Client
from proxyreload.client.load import Load
from proxyreload.client.schedule import Schedule
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Event, Exchange, ScheduleKept
from proxyreload.system.clock import NS_PER_MS, NS_PER_S, ns
from proxyreload.traffic.get import from_numbered_backend

from .clocks import START_NS, Time, result_of, some_examples, waits
from .connections import PREPARED, Front
from .happened import record


@attrs.define
class Client0:
    """Takes down when its requests are due."""

    dues: list[int] = attrs.field(factory=list)

    def due(self, due_ns: int) -> None:
        self.dues.append(due_ns - START_NS)


def schedule(time: Time, clients: list[Client0], rate_per_s: float) -> Schedule:
    """Return a schedule for clients that only take down."""
    return Schedule(time, time.ns, cast(list[Client], clients), rate_per_s)


def test_the_first_request_is_due_at_once() -> None:
    time, client = Time(), Client0()
    schedule(time, [client], 4).start()
    assert client.dues == [0]


def test_requests_are_due_at_even_intervals() -> None:
    time, client = Time(), Client0()
    schedule(time, [client], 4).start()
    time.pump([0.25] * 4)
    assert client.dues == [0, ns(0.25), ns(0.5), ns(0.75), ns(1)]


def test_clients_take_turns() -> None:
    time, clients = Time(), [Client0() for _ in range(3)]
    schedule(time, clients, 4).start()
    time.pump([0.25] * 4)
    assert [len(client.dues) for client in clients] == [2, 2, 1]
    assert clients[1].dues == [ns(0.25), ns(1)]


def test_what_a_late_reactor_missed_is_made_due_at_once_with_its_own_times() -> None:
    time, client = Time(), Client0()
    schedule(time, [client], 4).start()
    time.advance(1.1)
    assert client.dues == [0, ns(0.25), ns(0.5), ns(0.75), ns(1)]


def test_lateness_of_the_instruments_own_is_counted() -> None:
    time, client = Time(), Client0()
    kept = schedule(time, [client], 4)
    kept.start()
    time.advance(0.25)
    assert (kept.slipped, kept.slip_peak_ns) == (0, 0)
    time.advance(1)
    assert (kept.made_due, kept.slipped, kept.slip_peak_ns) == (6, 3, ns(0.75))


def test_after_stop_nothing_is_due() -> None:
    time, client = Time(), Client0()
    stopped = schedule(time, [client], 4)
    stopped.start()
    stopped.stop()
    time.advance(10)
    assert client.dues == [0]
    assert time.getDelayedCalls() == []


def test_stopping_twice_or_before_the_start_is_no_error() -> None:
    never_started = schedule(Time(), [Client0()], 4)
    never_started.stop()
    never_started.stop()


def test_a_rate_that_cannot_be_kept_does_not_keep_the_reactor_from_everything_else() -> None:
    time, client = Time(), Client0()
    readings = 0

    def slow_clock_ns() -> int:
        nonlocal readings
        readings += 1
        if readings > 10_000:
            pytest.fail("the schedule never returns")
        return START_NS + readings * NS_PER_MS

    overloaded = Schedule(time, slow_clock_ns, cast(list[Client], [client]), rate_per_s=2000.0)
    overloaded.start()
    assert client.dues


def test_another_rate_counts_from_the_last_request() -> None:
    time, client = Time(), Client0()
    changed = schedule(time, [client], 4)
    changed.start()
    time.pump([0.25, 0.125])
    changed.set_rate(2)
    time.pump([0.125] * 8)
    assert client.dues == [0, ns(0.25), ns(0.75), ns(1.25)]
    changed.set_rate(8)
    time.pump([0.125] * 2)
    assert client.dues[4:] == [ns(1.375), ns(1.5), ns(1.625)]


def test_a_higher_rate_makes_nothing_due_in_the_past() -> None:
    time, client = Time(), Client0()
    changed = schedule(time, [client], 1)
    changed.start()
    time.advance(0.75)
    changed.set_rate(4)
    assert client.dues == [0, ns(0.75)]
    assert changed.slipped == 0


def test_a_schedule_that_was_stopped_goes_on_with_the_next_request() -> None:
    time, clients = Time(), [Client0(), Client0()]
    stopped = schedule(time, clients, 4)
    stopped.start()
    stopped.stop()
    stopped.set_rate(2)
    time.advance(10)
    stopped.start()
    time.pump([0.25] * 2)
    assert [client.dues for client in clients] == [[0, ns(10.5)], [ns(10)]]


@some_examples
@given(st.floats(0.5, 5000), st.lists(st.floats(0, 0.5), max_size=10), st.integers(1, 5))
def test_due_times_do_not_depend_on_when_the_reactor_came_round(rate: float, steps: list[float], number: int) -> None:
    time, clients = Time(), [Client0() for _ in range(number)]
    schedule(time, clients, rate).start()
    for step in steps:
        time.advance(step)
    dues = sorted(due for client in clients for due in client.dues)
    assert dues == [int(index * NS_PER_S / rate) for index in range(len(dues))]
    elapsed_ns = time.ns() - START_NS
    assert dues[-1] <= elapsed_ns
    # What the clock of the reactor rounds away may leave the very next one to its next turn.
    assert len(dues) >= elapsed_ns * rate / NS_PER_S - 1


# All the clients of a run.


def load(time: Time, front: Front, bus: EventBus, **options: Any) -> Load:
    """Return the clients of a run."""
    fields: dict[str, Any] = {
        "clients": 2,
        "timeout_s": 4.0,
        "connectors": [front],
        "probe_rate_per_s": 10.0,
        **options,
    }
    return Load(
        reactor=time, clock_ns=time.ns, sink=bus, prepared=PREPARED, expectation=from_numbered_backend, **fields
    )


def answer_all(front: Front) -> None:
    """Answer every request that is under way."""
    for wire in list(front.wires):
        wire.answers()


def test_the_probe_is_numbered_after_the_clients() -> None:
    time, bus = Time(), EventBus()
    front = Front(time)
    load(time, front, bus).start()
    assert front.requests == [b"0-0", b"1-0", b"p2-0"]


def test_the_probe_may_have_a_way_of_its_own() -> None:
    time, bus = Time(), EventBus()
    front, probes = Front(time), Front(time)
    load(time, front, bus, probe_connector=probes).start()
    assert (front.requests, probes.requests) == ([b"0-0", b"1-0"], [b"p2-0"])


def test_the_probe_keeps_its_gentle_rate_while_the_clients_go_as_fast_as_they_can() -> None:
    time, bus = Time(), EventBus()
    front, events = Front(time), record(bus)
    load(time, front, bus, probe_rate_per_s=4.0).start()
    for _ in range(8):
        answer_all(front)
        time.advance(0.125)
    bus.flush()
    exchanges = [event for event in events if isinstance(event, Exchange)]
    assert sum(exchange.probe for exchange in exchanges) == 4
    assert sum(not exchange.probe for exchange in exchanges) == 16


def test_with_a_rate_the_clients_share_it() -> None:
    time, bus = Time(), EventBus()
    front = Front(time)
    load(time, front, bus, rate_per_s=4.0, probe_rate_per_s=0).start()
    for _ in range(3):
        answer_all(front)
        time.advance(0.25)
    assert front.requests == [b"0-0", b"0-1", b"1-0", b"1-1"]


def test_without_a_rate_there_is_no_schedule_to_keep() -> None:
    time, bus = Time(), EventBus()
    started = load(time, Front(time), bus)
    started.start()
    assert started.punctuality() is None


def test_how_well_the_schedule_was_kept_names_the_clients_that_were_late() -> None:
    time, bus = Time(), EventBus()
    front = Front(time)
    started = load(time, front, bus, rate_per_s=4.0, probe_rate_per_s=0)
    started.start()
    time.pump([0.25] * 2)
    answer_all(front)
    punctuality = started.punctuality()
    assert punctuality == ScheduleKept(
        requests=3, slipped=0, slip_peak_ns=0, late={0: 1}, late_peak_ns=0, at_ns=START_NS + ns(0.5)
    )


@pytest.mark.parametrize(("slipped", "kept"), [(0, True), (1, True), (2, False)])
def test_a_schedule_is_kept_if_one_request_in_a_thousand_slips_at_most(slipped: int, kept: bool) -> None:  # noqa: FBT001
    assert ScheduleKept(1000, slipped, slip_peak_ns=0, late={}, late_peak_ns=0, at_ns=START_NS).kept is kept


def test_what_is_due_at_the_end_is_sent_before_it() -> None:
    time, bus = Time(), EventBus()
    front = Front(time)
    started = load(time, front, bus, rate_per_s=4.0, probe_rate_per_s=0)
    started.start()
    time.advance(0.25)
    time.rightNow += 2  # the process stands still
    stopping = started.stop()
    sent = len(front.requests)
    while waits(stopping):
        answer_all(front)
    punctuality = started.punctuality()
    assert punctuality is not None
    assert (sent, len(front.requests)) == (2, 10)
    assert (punctuality.requests, punctuality.never_sent, punctuality.missed) == (10, 0, False)
    assert time.getDelayedCalls() == []


def test_what_is_still_queued_after_a_second_was_never_sent() -> None:
    time, bus = Time(), EventBus()
    front = Front(time)
    started = load(time, front, bus, rate_per_s=4.0, probe_rate_per_s=0)
    started.start()
    time.pump([0.25] * 8)
    stopping = started.stop()
    time.advance(1)
    assert len(front.requests) == 2
    answer_all(front)
    assert stopping.called
    punctuality = started.punctuality()
    assert punctuality is not None
    assert (punctuality.requests, punctuality.never_sent, punctuality.missed) == (9, 7, True)


def test_more_than_can_be_made_due_at_the_end_was_never_sent_either() -> None:
    time, client = Time(), Client0()
    due = schedule(time, [client], 1000)
    due.start()
    time.rightNow += 100
    due.stop()
    assert len(client.dues) == 16_385
    assert due.made_due + due.unmade == 100_001


@pytest.mark.parametrize(("never_sent", "missed"), [(0, False), (1, False), (2, True)])
def test_more_than_one_in_a_thousand_never_sent_is_too_much(never_sent: int, missed: bool) -> None:  # noqa: FBT001
    kept = ScheduleKept(1000, 0, 0, {}, 0, START_NS, never_sent)
    assert kept.missed is missed


def sent_by(bus: EventBus, events: list[Event]) -> list[tuple[int, float, float]]:
    """Return each exchange's client, and when it was due and written, in seconds since the start."""
    bus.flush()
    return [
        (event.client, (event.due_ns - START_NS) / NS_PER_S, (event.written_ns - START_NS) / NS_PER_S)
        for event in events
        if isinstance(event, Exchange)
    ]


def test_from_a_closed_loop_to_a_rate() -> None:
    time, bus = Time(), EventBus()
    front, events = Front(time), record(bus)
    started = load(time, front, bus, probe_rate_per_s=0)
    started.start()
    time.advance(1)
    started.set_rate(4)
    # Request 0 of the schedule finds its client busy, and keeps its due time.
    time.advance(0.125)
    answer_all(front)
    assert front.requests == [b"0-0", b"0-1", b"1-0"]
    front.wires[0].answers()
    time.advance(0.125)
    front.wires[1].answers()
    assert sent_by(bus, events) == [(0, 0, 0), (1, 0, 0), (0, 1, 1.125), (1, 1.25, 1.25)]
    punctuality = started.punctuality()
    assert punctuality is not None
    assert (punctuality.requests, punctuality.late) == (2, {0: 1})


def test_from_a_rate_to_a_closed_loop() -> None:
    time, bus = Time(), EventBus()
    front, events = Front(time), record(bus)
    started = load(time, front, bus, rate_per_s=4.0, probe_rate_per_s=0)
    started.start()
    time.pump([0.25] * 2)
    answer_all(front)  # client 0 was due again at 0.5 s
    time.advance(0.125)
    started.set_rate(None)
    # Client 1 has its answer and goes on at once; client 0 has not.
    assert front.requests == [b"0-0", b"0-1", b"1-0", b"1-1"]
    time.advance(1)
    answer_all(front)
    answer_all(front)
    # What was due at 0.5 s was written when there was room for it, and counts from 0.5 s.
    assert sent_by(bus, events)[2:] == [(0, 0.5, 0.5), (1, 0.625, 0.625), (0, 1.625, 1.625), (1, 1.625, 1.625)]


def test_a_rate_is_set_again_and_again() -> None:
    time, bus = Time(), EventBus()
    front, events = Front(time), record(bus)
    started = load(time, front, bus, rate_per_s=4.0, probe_rate_per_s=0, clients=1)
    started.start()
    for rate in (8.0, None, 2.0, 4.0, None, 1.0):
        answer_all(front)
        time.advance(0.25)
        started.set_rate(rate)
    stopped = started.stop()
    while waits(stopped):
        answer_all(front)
    result_of(stopped)
    sent = sent_by(bus, events)
    assert [due for _client, due, _written in sent] == sorted({due for _client, due, _written in sent})
    assert time.getDelayedCalls() == []
    assert len(sent) == 8


def test_a_client_that_pauses_follows_the_schedule_at_once() -> None:
    time, bus = Time(), EventBus()
    front, events = Front(time, outcomes=deque([ConnectionRefusedError()] * 2)), record(bus)
    started = load(time, front, bus, clients=1, probe_rate_per_s=0)
    started.start()
    started.set_rate(1)
    time.advance(0.5)
    bus.flush()
    assert [event.due_ns - START_NS for event in events if isinstance(event, Exchange)] == [0, 0]


def test_who_has_stopped_takes_no_rate() -> None:
    time, bus = Time(), EventBus()
    front = Front(time)
    stopped = load(time, front, bus)
    stopped.set_rate(5)
    stopped.start()
    stopped.stop()
    answer_all(front)
    stopped.set_rate(5)
    assert time.getDelayedCalls() == []


def test_stopping_waits_for_every_client() -> None:
    time, bus = Time(), EventBus()
    front = Front(time)
    started = load(time, front, bus)
    started.start()
    stopped = started.stop()
    front.wires[0].answers()
    front.wires[1].answers()
    assert waits(stopped)
    front.wires[2].answers()
    result_of(stopped)
    assert time.getDelayedCalls() == []


def test_aborting_ends_the_exchanges_of_all_clients() -> None:
    time, bus = Time(), EventBus()
    front, events = Front(time), record(bus)
    started = load(time, front, bus)
    started.start()
    stopped = started.stop()
    started.abort()
    result_of(stopped)
    bus.flush()
    assert sorted(event.client for event in events if isinstance(event, Exchange)) == [0, 1, 2]


def test_clients_that_go_straight_to_the_backends_are_dealt_out_to_them_in_turn() -> None:
    time, bus = Time(), EventBus()
    fronts = [Front(time), Front(time)]
    load(time, fronts[0], bus, connectors=fronts, clients=3, probe_rate_per_s=0, mark=b"f").start()
    assert [front.requests for front in fronts] == [[b"f0-0", b"f2-0"], [b"f1-0"]]
