"""The event bus: batches, order, and subscribers that raise."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from proxyreload.history.bus import BATCH_SIZE, FLUSH_INTERVAL_S, EventBus
from proxyreload.history.events import Arrival, Broken, ConnectionChanged, Ended, Ending, Event, Exchange, Started

from .clocks import some_examples
from .happened import exchange, front_closed, record


def batches(bus: EventBus) -> list[list[int]]:
    """Return the numbers of the exchanges, batch by batch, as they come."""
    taken: list[list[int]] = []
    bus.subscribe(Exchange, lambda exchanges: taken.append([e.number for e in exchanges]))
    return taken


def arrival(request_id: str) -> Arrival:
    """Return an arrival."""
    return Arrival("0", request_id, 50000, 0, 1)


def names(events: Sequence[Event]) -> list[str]:
    """Return the types of events."""
    return [type(event).__name__ for event in events]


def test_exchanges_wait_for_the_others_of_their_batch() -> None:
    bus = EventBus()
    taken = batches(bus)
    bus.exchanged(exchange(number=0))
    bus.exchanged(exchange(number=1))
    assert taken == []
    bus.flush()
    assert taken == [[0, 1]]


def test_a_full_batch_is_delivered_at_once() -> None:
    bus = EventBus()
    taken = batches(bus)
    for number in range(BATCH_SIZE):
        bus.exchanged(exchange(number=number))
    assert taken == [list(range(BATCH_SIZE))]


def test_a_full_batch_of_arrivals_is_delivered_at_once() -> None:
    bus = EventBus()
    events = record(bus)
    for _ in range(BATCH_SIZE):
        bus.arrived(arrival("0-0"))
    assert len(events) == BATCH_SIZE


def test_nothing_waits_longer_than_the_interval() -> None:
    bus, clock = EventBus(), Clock()
    taken = batches(bus)
    bus.start(clock)
    bus.exchanged(exchange(number=7))
    clock.advance(FLUSH_INTERVAL_S)
    assert taken == [[7]]


def test_stopping_delivers_what_waits_and_ends_the_ticking() -> None:
    bus, clock = EventBus(), Clock()
    taken = batches(bus)
    bus.start(clock)
    bus.exchanged(exchange(number=7))
    bus.stop()
    assert taken == [[7]]
    assert clock.getDelayedCalls() == []


def test_a_bus_that_was_never_started_can_be_stopped() -> None:
    bus = EventBus()
    taken = batches(bus)
    bus.exchanged(exchange())
    bus.stop()
    bus.stop()
    assert len(taken) == 1


def test_an_empty_batch_is_never_delivered() -> None:
    bus = EventBus()
    taken = batches(bus)
    bus.flush()
    bus.publish(Ended(1))
    assert taken == []


def test_a_change_never_overtakes_the_exchanges_before_it() -> None:
    bus = EventBus()
    events = record(bus)
    bus.exchanged(exchange())
    bus.arrived(arrival("0-0"))
    bus.publish(Broken("it broke", 1))
    bus.exchanged(exchange())
    bus.flush()
    assert names(events) == ["Exchange", "Arrival", "Broken", "Exchange"]


def test_a_subscriber_hears_of_its_own_type_only() -> None:
    bus, heard = EventBus(), list[Event]()
    bus.subscribe(Started, heard.extend)
    bus.publish(Started(1))
    bus.publish(Ended(2))
    assert heard == [Started(1)]


def test_an_event_that_nobody_asked_for_is_no_error() -> None:
    EventBus().publish(Broken("nobody cares", 1))


def test_subscribers_are_told_in_the_order_of_their_subscription() -> None:
    bus, heard = EventBus(), list[str]()
    for name in "abc":
        bus.subscribe(Ended, lambda _events, name=name: heard.append(name), name)  # type: ignore[misc]
    bus.publish(Ended(1))
    assert heard == ["a", "b", "c"]


def test_what_a_subscriber_publishes_comes_after_what_it_was_told_for_everyone() -> None:
    bus = EventBus()
    bus.subscribe(Exchange, lambda exchanges: bus.publish(ConnectionChanged(exchanges[0], front=True, back=False)))
    events = record(bus)
    bus.exchanged(exchange())
    bus.flush()
    assert names(events) == ["Exchange", "ConnectionChanged"]


def test_what_is_exchanged_while_a_batch_is_told_goes_with_the_next() -> None:
    bus = EventBus()
    seen: list[list[int]] = []

    def once_more(exchanges: Sequence[Exchange]) -> None:
        seen.append([e.number for e in exchanges])
        if exchanges[0].number == 0:
            bus.exchanged(exchange(number=1))
            bus.flush()

    bus.subscribe(Exchange, once_more)
    after = batches(bus)
    bus.exchanged(exchange(number=0))
    bus.flush()
    assert seen == after == [[0], [1]]


def test_a_subscriber_that_raises_is_reported_and_removed() -> None:
    reported: list[tuple[str, str]] = []

    def on_failure(name: str, failure: Failure) -> None:
        reported.append((name, failure.getErrorMessage()))

    bus, told = EventBus(on_failure), list[int]()

    def raising(_events: Sequence[Ended]) -> None:
        told.append(1)
        msg = "no space left"
        raise OSError(msg)

    bus.subscribe(Ended, raising, "data.csv")
    bus.publish(Ended(1))
    bus.publish(Ended(2))
    assert reported == [("data.csv", "no space left")]
    assert told == [1]


def test_the_others_go_on_when_one_raises() -> None:
    bus = EventBus()
    before = record(bus)
    bus.subscribe(Ended, lambda _events: 1 / 0, "broken")  # type: ignore[arg-type]
    after = record(bus)
    bus.publish(Ended(1))
    bus.publish(Ended(2))
    assert before == after == [Ended(1), Ended(2)]


def test_a_subscriber_that_raises_is_removed_from_all_it_subscribed_to() -> None:
    bus, told = EventBus(), list[Event]()
    bus.subscribe(Ended, lambda _events: 1 / 0, "reporter")  # type: ignore[arg-type]
    bus.subscribe(Started, told.extend, "reporter")
    bus.publish(Ended(1))
    bus.publish(Started(2))
    assert told == []


def test_the_report_of_a_failure_may_be_published_itself() -> None:
    bus = EventBus(lambda name, _failure: bus.publish(Broken(name, 1)))
    events = record(bus)
    bus.subscribe(Ended, lambda _events: 1 / 0, "reporter")  # type: ignore[arg-type]
    bus.publish(Ended(1))
    assert names(events) == ["Ended", "Broken"]


def test_an_interrupt_is_not_taken_for_a_reporters_failure() -> None:
    bus = EventBus()

    def interrupted(_events: Sequence[Ended]) -> None:
        raise KeyboardInterrupt

    bus.subscribe(Ended, interrupted)
    with pytest.raises(KeyboardInterrupt):
        bus.publish(Ended(1))


@some_examples
@given(st.lists(st.sampled_from(("exchange", "arrival", "change", "flush")), max_size=40))
def test_every_event_is_delivered_once_and_in_the_order_of_its_kind(actions: list[str]) -> None:
    bus = EventBus()
    events = record(bus)
    exchanges: list[Exchange] = []
    barriers: list[tuple[int, int]] = []
    for number, action in enumerate(actions):
        if action == "exchange":
            exchanges.append(exchange(number=number))
            bus.exchanged(exchanges[-1])
        elif action == "arrival":
            bus.arrived(arrival(str(number)))
        elif action == "change":
            bus.publish(Broken("", number))
            barriers.append((number, len(events)))
        else:
            bus.flush()
    bus.stop()
    assert [event for event in events if isinstance(event, Exchange)] == exchanges
    assert len(events) == sum(action != "flush" for action in actions)
    for number, delivered in barriers:
        before = [action for action in actions[: number + 1] if action != "flush"]
        assert delivered == len(before)


def test_what_nobody_asked_for_breaks_no_batch() -> None:
    bus = EventBus()
    taken = batches(bus)
    for number in range(3):
        bus.exchanged(exchange(number=number))
        bus.publish(front_closed(Ending.ANNOUNCED))
    bus.flush()
    assert taken == [[0, 1, 2]]
