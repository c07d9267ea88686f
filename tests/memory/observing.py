"""An observation of what comes over a bus, as a run wires it."""

from collections.abc import Sequence
from functools import partial

from proxyreload.history.bus import EventBus
from proxyreload.history.events import ConnectionChanged, Event
from proxyreload.run.wiring import VERDICT
from proxyreload.verdict.observation import Observation


def observed(bus: EventBus) -> Observation:
    """Return an observation that takes all that a bus brings, and publishes what that changed."""
    observation = Observation()

    def take(topic: type, events: Sequence[Event]) -> None:
        changed = observation.take(topic, events)
        if changed:
            bus.deliver(ConnectionChanged, changed)

    for topic in observation.topics:
        bus.subscribe(topic, partial(take, topic), VERDICT)
    return observation
