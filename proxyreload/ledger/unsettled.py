"""One request that is not settled at once: what is known of it, by both sides."""

from collections.abc import Mapping

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

    def under_way(self, silent_ns: Mapping[str, int]) -> bool:
        """Whether a backend is still at it, but for those who will never tell what they had until then."""
        return any(
            not (visit.answered_ns or visit.given_up_ns) and visit.received_ns > silent_ns.get(visit.instance, 0)
            for visit in self.visits.values()
        )

    @property
    def latest_executed(self) -> Arrival:
        """Who received it last of those that have carried it out, of whom there must be one."""
        return max((each for each in self.visits.values() if each.executed_ns), key=lambda each: each.received_ns)

    @property
    def told_ns(self) -> int:
        """When the latest of it happened."""
        told = [visit.told_ns for visit in self.visits.values()]
        return max([*told, self.exchange.ended_ns if self.exchange is not None else 0])
