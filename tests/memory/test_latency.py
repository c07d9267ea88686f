"""Latencies in a histogram."""

import pytest

from proxyreload.system.clock import NS_PER_S
from proxyreload.verdict.baseline import Floor
from proxyreload.verdict.latency import Latency

from .fakes import exchange, failed


def test_without_any_every_figure_is_0() -> None:
    latency = Latency()
    assert (latency.count, latency.percentile_us(99), latency.max_us) == (0, 0, 0)


def test_percentiles_keep_three_digits() -> None:
    latency = Latency()
    latency.record(range(1, 1001))
    assert latency.count == 1000
    assert latency.percentile_us(50) == pytest.approx(500, rel=2e-3)
    assert latency.percentile_us(99) == pytest.approx(990, rel=2e-3)
    assert latency.max_us == pytest.approx(1000, rel=2e-3)


@pytest.mark.parametrize(("latency_us", "shown_us"), [(-5, 1), (0, 1), (10**11, 3_600_000_000)])
def test_what_is_beyond_the_scale_is_kept_at_its_end(latency_us: int, shown_us: int) -> None:
    latency = Latency()
    latency.record([latency_us])
    assert latency.count == 1
    assert latency.max_us == pytest.approx(shown_us, rel=2e-3)


def test_none_is_lost_however_many_different_ones_wait() -> None:
    latency = Latency()
    for start in range(1, 20_000, 100):
        latency.record(range(start, start + 100))
    assert latency.count == 20_000
    assert latency.percentile_us(50) == pytest.approx(10_000, rel=2e-3)
    latency.record([5])
    assert latency.count == 20_001


def test_one_can_be_added_to_another() -> None:
    one, other = Latency(), Latency()
    one.record([1000])
    other.record([3000])
    one.add(other)
    assert one.count == 2
    assert one.max_us == pytest.approx(3000, rel=2e-3)
    assert other.count == 1


def test_the_floor_counts_exchanges_failures_and_latencies() -> None:
    floor = Floor()
    floor.exchanged([exchange(), exchange(), failed("timeout")])
    floor.duration_ns = NS_PER_S // 2
    assert (floor.exchanges, floor.failures, floor.latency.count) == (3, {"timeout": 1}, 2)
    assert floor.rate_per_s == 6


def test_a_floor_that_was_not_measured_has_no_rate() -> None:
    assert Floor().rate_per_s == 0
