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


@pytest.mark.parametrize("by", ["--rtt", "relay", "packets"])
def test_whatever_the_way_requests_that_are_on_it_when_nginx_is_reloaded_are_lost_and_nothing_else(by: str) -> None:
    if by == "packets":
        _require_a_way()
    met = meet(by, RTT_MS, 5)
    assert met.reloads > 0
    # Each of twenty connections that send one request after another is in that race nearly all the time.
    assert met.lost > 0
    assert met.failures.keys() <= RACE
    assert met.latencies_us[0] >= RTT_MS * 1000
    if by != "relay":  # which lets everybody in at once
        assert met.connects_us[0] >= RTT_MS * 1000


@pytest.mark.skipif(bool(netem_lacks()), reason=f"no tc netem here: {netem_lacks()}")
def test_a_way_is_by_netem_where_the_kernel_has_it() -> None:
    with way(1) as between:
        assert between.by == "netem"


def _require_a_way() -> None:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    try:
        with way(1):
            pass
    except BenchmarkError as error:
        pytest.skip(str(error))
