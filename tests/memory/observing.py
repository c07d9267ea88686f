"""An observation of what comes over a bus, as a run wires it."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Event
from proxyreload.run.wiring import VERDICT
from proxyreload.verdict.observation import Observation


def observed(bus: EventBus) -> Observation:
    """Return an observation that takes all that a bus brings, and publishes what that changed."""
    observation = Observation()

    def take(topic: type, events: Sequence[Event]) -> None:
        for derived, told in groupby(observation.take(topic, events), type):
            bus.deliver(derived, list(told))

    for topic in observation.topics:
        bus.subscribe(topic, partial(take, topic), VERDICT)
    return observation
