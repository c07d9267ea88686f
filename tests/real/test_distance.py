"""A delay line beside real ways: a relay that delays both directions, and packets that are delayed by the kernel."""

import os
import sys
from pathlib import Path

import pytest

# Last: what is installed is tested, the benchmarks are only in the checkout.
sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.farness import meet
from benchmarks.processes import BenchmarkError
from benchmarks.ways import netem_lacks, way

pytestmark = pytest.mark.real

RTT_MS = 20
RACE = {f"{how} before response, reused" for how in ("closed", "reset")}


def _packets() -> list[str]:
    """Say which way delays packets, if root may make one here: by netem, or where the kernel has none by TUN devices."""
    if os.geteuid() != 0:
        return []
    try:
        with way(1) as between:
            return [between.by]
    except BenchmarkError:
        return []


@pytest.mark.parametrize("by", ["--rtt", "relay", *(["packets"] if _packets() else [])])
def test_whatever_the_way_requests_that_are_on_it_when_nginx_is_reloaded_are_lost_and_nothing_else(by: str) -> None:
    met = meet(by, RTT_MS, 5)
    assert met.reloads > 0
    # Each of twenty connections that send one request after another is in that race nearly all the time.
    assert met.lost > 0
    assert met.failures.keys() <= RACE
    assert met.latencies_us[0] >= RTT_MS * 1000
    if by != "relay":  # which lets everybody in at once
        assert met.connects_us[0] >= RTT_MS * 1000


def test_packets_are_delayed_by_netem_where_the_kernel_has_it() -> None:
    assert _packets() in ([], ["TUN" if netem_lacks() else "netem"])
