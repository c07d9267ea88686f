"""Who takes what happened."""

from typing import Protocol

from proxyreload.history.events import Arrival, Event, Exchange


class Sink(Protocol):
    """Takes events from those who make them: a run's history, or a bus by itself."""

    def exchanged(self, exchange: Exchange, /) -> None:
        """Take one exchange."""

    def arrived(self, arrival: Arrival, /) -> None:
        """Take one arrival."""

    def publish(self, event: Event) -> None:
        """Take any other event."""
