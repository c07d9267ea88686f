"""What unannounced closings would have cost clients that are farther away."""

import pytest

from proxyreload.history.events import Ending
from proxyreload.verdict.race import Race, lost_share, race_of
from proxyreload.verdict.windows import Closures, ObservedChange

from .clocks import START_NS


@pytest.mark.parametrize(
    ("distance_s", "service_s", "rest_s", "share"),
    [(0.01, 0.01, 0, 0.5), (0.01, 0.0, 0, 1), (0.001, 0.001, 0.998, 0.001), (0, 0.01, 0, 0), (0, 0, 0, 0)],
)
def test_the_share_is_that_of_the_round_trip(distance_s: float, service_s: float, rest_s: float, share: float) -> None:
    assert lost_share(distance_s, service_s, rest_s) == pytest.approx(share)


def change(front: dict[Ending, int]) -> ObservedChange:
    return ObservedChange(1, "reload", "", "test:reload", START_NS, closures=Closures(front))


def test_connections_that_were_closed_unannounced_would_have_lost_requests() -> None:
    race = race_of(change({Ending.IDLE: 20, Ending.ANNOUNCED: 5}), 1000)
    assert race is not None
    assert race.as_run() == {"closed": 20, "lost_at_ms": {"1": 10.0, "10": 18.18, "50": 19.61}}
    assert race.line().endswith("would have lost: 10.0 at 1 ms, 18.2 at 10 ms, 19.6 at 50 ms")


def test_announced_ones_would_not() -> None:
    assert race_of(change({Ending.ANNOUNCED: 5}), 1000) is None
    assert Race(0, (0.0, 0.0, 0.0)).as_run()["closed"] == 0
