"""What connections that were closed unannounced would have lost, had their clients been farther away.

A client that is a round trip away learns of a FIN half of it late, and what it sends is half of it on the way: for so
long each of its requests is lost, of the time that passes between two of them.
"""

from collections.abc import Sequence

import attrs

from proxyreload.verdict.windows import ObservedChange

#: Distances that people know: in a building, in a country, between continents. There and back.
DISTANCES_MS: Sequence[int] = (1, 10, 50)


@attrs.frozen
class Race:
    """What one change would have cost clients that send one request after another."""

    closed: int  #: connections closed unannounced while they rested
    lost: tuple[float, ...]  #: requests at each of `DISTANCES_MS`, on average

    def line(self) -> str:
        """Say it in a line."""
        lost = ", ".join(f"{lost:.1f} at {ms} ms" for lost, ms in zip(self.lost, DISTANCES_MS, strict=True))
        return f"of {self.closed} such clients, one request after another, farther away would have lost: {lost}"

    def as_run(self) -> dict[str, object]:
        """Return it as it stands in ``run.json``."""
        return {
            "closed": self.closed,
            "lost_at_ms": {str(ms): round(lost, 2) for lost, ms in zip(self.lost, DISTANCES_MS, strict=True)},
        }


def lost_share(distance_s: float, service_s: float, rest_s: float = 0.0) -> float:
    """Return which share of such connections loses a request: round trip / (round trip + rest + service)."""
    whole_s = distance_s + service_s + rest_s
    return distance_s / whole_s if whole_s else 0.0


def race_of(change: ObservedChange, service_us: int) -> Race | None:
    """Return what a change would have cost, with this median latency; None if it closed nothing unannounced."""
    closed = change.closures.unannounced
    if not closed:
        return None
    return Race(closed, tuple(closed * lost_share(ms / 1000, service_us / 1e6) for ms in DISTANCES_MS))
