"""This program standing still."""

import pytest

from proxyreload.history.events import StoodStill
from proxyreload.run.stall import INTERVAL_S, StallWatch
from proxyreload.system.clock import ns

from .clocks import Time


@pytest.fixture(name="time")
def _time() -> Time:
    return Time()


def test_a_program_that_goes_on_has_not_stood_still(time: Time) -> None:
    told: list[StoodStill] = []
    watch = StallWatch(time.ns, told.append)
    watch.start(time)
    time.pump([INTERVAL_S] * 20)
    watch.stop()
    assert (watch.peak_ns, told) == (0, [])


def test_the_longest_stall_is_kept_and_each_is_told(time: Time) -> None:
    told: list[StoodStill] = []
    watch = StallWatch(time.ns, told.append)
    watch.start(time)
    for stall_s in (0.2, 0.7, 0.3):
        time.rightNow += stall_s
        time.advance(INTERVAL_S)
        time.pump([INTERVAL_S] * 3)
    watch.stop()
    assert watch.peak_ns == ns(0.7)
    assert [each.at_ns - each.since_ns for each in told] == [ns(0.2), ns(0.7), ns(0.3)]


def test_a_stall_at_the_very_end_is_seen(time: Time) -> None:
    told: list[StoodStill] = []
    watch = StallWatch(time.ns, told.append)
    watch.start(time)
    time.rightNow += 2.0
    watch.stop()
    assert watch.peak_ns == pytest.approx(ns(2.0 - INTERVAL_S))
    assert len(told) == 1
    assert time.getDelayedCalls() == []
