"""One request that is not settled at once: what is known of it, by both sides."""

import attrs

from proxyreload.history.events import Arrival, Exchange
from proxyreload.system.clock import NS_PER_S

#: Which request a backend had: over which connection, and as the how manyth.
Visit = tuple[str, int, int]


#: Nothing more is expected of a request after so long: neither of its client, who has its outcome, nor of a proxy that
#: might repeat it.
SETTLES_NS = 5 * NS_PER_S


@attrs.define(eq=False)
class Unsettled:
    """What its client and the backends say of it so far."""

    request_id: str
    exchange: Exchange | None = None  #: once it has an outcome
    opened_ns: int = 0  #: when the connection of a failure was opened, 0 if that is not known
    rested_ns: int = 0  #: how long that had rested before, 0 if it had carried nothing
    visits: dict[Visit, Arrival] = attrs.field(factory=dict)

    def came(self, arrival: Arrival) -> None:
        """Note how far it has come at a backend."""
        self.visits[arrival.instance, arrival.back_port, arrival.carried] = arrival

    @property
    def executed(self) -> int:
        """How often it was carried out."""
        return sum(bool(visit.executed_ns) for visit in self.visits.values())

    @property
    def answered(self) -> bool:
        """Whether its client has its answer."""
        return self.exchange is not None and not self.exchange.failure

    def under_way(self, silent: set[str]) -> bool:
        """Whether a backend is still at it, but for those `silent`, who will never tell."""
        return any(
            not (visit.answered_ns or visit.given_up_ns or visit.instance in silent) for visit in self.visits.values()
        )

    @property
    def again_ns(self) -> int:
        """When a backend received it that carried it out once too often; 0 if none did."""
        received = sorted(visit.received_ns for visit in self.visits.values() if visit.executed_ns)
        return received[-1] if received else 0

    @property
    def told_ns(self) -> int:
        """When the latest of it happened."""
        told = [visit.told_ns for visit in self.visits.values()]
        return max([*told, self.exchange.ended_ns if self.exchange is not None else 0])
