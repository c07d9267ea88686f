"""The event bus: who has subscribed to a topic of event is called with it.

In a run the history publishes on it, in the order of time. By itself, as for the baseline, it only makes batches.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from proxyreload.history.events import Arrival, Event, Exchange

E = TypeVar("E")

#: What a subscriber is: called with one or more events of the type it asked for, in the order they happened.
Subscriber = Callable[[Sequence[Any]], None]

#: Rows wait no longer than this for the others of their batch.
FLUSH_INTERVAL_S = 0.01
BATCH_SIZE = 64


@attrs.define
class EventBus:
    """Delivers events to those who subscribed to their type.

    The frequent ones, exchanges and arrivals, are delivered in batches: when there are `BATCH_SIZE`, every
    `FLUSH_INTERVAL_S`, and before any other event, so that a change never overtakes an exchange that ended before it.
    A subscriber that raises is reported to `on_failure` and removed; the others go on.
    """

    on_failure: Callable[[str, Failure], None] | None = None
    _subscribers: dict[type, list[tuple[str, Subscriber]]] = attrs.field(factory=dict, init=False)
    _exchanges: list[Exchange] = attrs.field(factory=list, init=False)
    _arrivals: list[Arrival] = attrs.field(factory=list, init=False)
    _undelivered: deque[tuple[type, Sequence[Any]]] = attrs.field(factory=deque, init=False)
    _delivering: bool = attrs.field(default=False, init=False)
    _ticking: LoopingCall | None = attrs.field(default=None, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def subscribe(self, topic: type[E], subscriber: Callable[[Sequence[E]], None], name: str = "") -> None:
        """Call `subscriber` with every batch of events of the type `topic`; `name` is what it is reported as."""
        self._subscribers.setdefault(topic, []).append((name or repr(subscriber), subscriber))

    def remove(self, name: str) -> None:
        """Forget all that was subscribed under `name`."""
        for topic, subscribers in self._subscribers.items():
            self._subscribers[topic] = [entry for entry in subscribers if entry[0] != name]

    def start(self, reactor: IReactorTime) -> None:
        """Deliver waiting exchanges and arrivals at least every `FLUSH_INTERVAL_S`."""
        self._ticking = LoopingCall(self.flush)
        self._ticking.clock = reactor
        self._ticking.start(FLUSH_INTERVAL_S, now=False)

    def stop(self) -> None:
        """Deliver what waits, and tick no more."""
        self.flush()
        if self._ticking is not None and self._ticking.running:
            self._ticking.stop()

    def exchanged(self, exchange: Exchange) -> None:
        """Publish one exchange, with the next batch."""
        exchanges = self._exchanges
        exchanges.append(exchange)
        if len(exchanges) >= BATCH_SIZE:
            self.flush()

    def arrived(self, arrival: Arrival) -> None:
        """Publish one arrival, with the next batch."""
        arrivals = self._arrivals
        arrivals.append(arrival)
        if len(arrivals) >= BATCH_SIZE:
            self.flush()

    def publish(self, event: Event) -> None:
        """Publish any other event now, after the exchanges and arrivals before it."""
        if not self._subscribers.get(type(event)):  # for nobody can it come too early
            return
        self.flush()
        self.deliver(type(event), [event])

    def flush(self) -> None:
        """Deliver the waiting exchanges and arrivals now."""
        if self._exchanges:
            # A subscriber may publish: the waiting list is another one by then.
            exchanges, self._exchanges = self._exchanges, []
            self.deliver(Exchange, exchanges)
        if self._arrivals:
            arrivals, self._arrivals = self._arrivals, []
            self.deliver(Arrival, arrivals)

    def deliver(self, topic: type, events: Sequence[Any]) -> None:
        """Deliver events of one topic, but after what is being delivered now.

        A subscriber may publish, and order must hold for all.
        """
        self._undelivered.append((topic, events))
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._undelivered:
                self._tell(*self._undelivered.popleft())
        finally:
            self._delivering = False

    def _tell(self, topic: type, events: Sequence[Any]) -> None:
        for name, subscriber in tuple(self._subscribers.get(topic, ())):
            try:
                subscriber(events)
            except Exception:  # noqa: BLE001  (a reporter's failure must not be the run's)
                self._failed(name, Failure())

    def _failed(self, name: str, failure: Failure) -> None:
        self.remove(name)
        self._log.debug("{name} failed and was removed: {failure}", name=name, failure=failure)
        if self.on_failure is not None:
            self.on_failure(name, failure)
