"""How a run's history reaches the verdict, the record and whoever else has subscribed."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

import attrs
from twisted.python.failure import Failure

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Broken, Event, ReporterFailed
from proxyreload.history.order import History
from proxyreload.system.clock import ClockNs
from proxyreload.verdict.observation import Observation

#: What the verdict is called, should it fail.
VERDICT = "verdict"


@attrs.define(eq=False)
class Wiring:
    """Sources tell the history, which publishes on the bus what is complete, in the order of time.

    Who cannot go on is removed; without the verdict, or one of those ``vital``, the run is not valid.
    """

    clock_ns: ClockNs
    vital: frozenset[str]  #: the names of subscribers
    bus: EventBus = attrs.field(init=False)
    history: History = attrs.field(init=False)
    observation: Observation = attrs.field(factory=Observation, init=False)

    def __attrs_post_init__(self) -> None:
        """Let the verdict see all of it."""
        self.bus = EventBus(self._failed)
        self.history = History(self.bus.deliver, self.clock_ns)
        for topic in self.observation.topics:
            self.bus.subscribe(topic, partial(self._observe, topic), VERDICT)

    def _observe(self, topic: type, events: Sequence[Event]) -> None:
        for derived, told in groupby(self.observation.take(topic, events), type):
            self.bus.deliver(derived, list(told))

    def _failed(self, name: str, failure: Failure) -> None:
        error = failure.value
        reason = f"{name}: {error.strerror if isinstance(error, OSError) and error.strerror else error}"
        if name == VERDICT:  # which can hear of it no more
            self.observation.broken.append(reason)
        if name == VERDICT or name in self.vital:
            self.history.here.publish(Broken(reason, self.clock_ns()))
        else:
            self.bus.publish(ReporterFailed(reason))
