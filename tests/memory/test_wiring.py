"""A run's wiring: what happens with each request goes on in batches, however often connections change."""

from collections.abc import Sequence

from proxyreload.history.events import BackClosed, ConnectionChanged, Ending, Event, Exchange, FrontClosed
from proxyreload.run.wiring import Wiring

from .clocks import Time
from .happened import exchange

REQUESTS = 50


def batches(wiring: Wiring, *topics: type[Event]) -> list[tuple[str, int]]:
    """Return a list that takes the topic and the size of every batch."""
    taken: list[tuple[str, int]] = []

    def take(events: Sequence[Event]) -> None:
        taken.append((type(events[0]).__name__, len(events)))

    for topic in topics:
        wiring.bus.subscribe(topic, take)
    return taken


def test_with_a_connection_for_each_request_batches_stay_whole() -> None:
    time = Time()
    wiring = Wiring(time.ns, frozenset())
    taken = batches(wiring, Exchange, ConnectionChanged, FrontClosed, BackClosed)
    here = wiring.history.here
    for number in range(REQUESTS):
        at_ns = time.ns()
        back_port = 50000 + number
        here.exchanged(exchange(number=number, connection=number, back_port=back_port, ended_ns=at_ns))
        here.publish(FrontClosed(0, number, 40000, 1, Ending.ANNOUNCED, at_ns, probe=False))
        here.publish(BackClosed("0", back_port, 1, probe_only=False, closed_ns=at_ns))
        time.advance(0.001)
    wiring.history.settle()
    assert taken == [
        ("Exchange", REQUESTS),
        ("ConnectionChanged", REQUESTS - 1),  # a client's first connection is no change
        ("FrontClosed", REQUESTS),
        ("BackClosed", REQUESTS),
    ]
