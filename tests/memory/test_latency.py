"""Latencies in a histogram."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from proxyreload.client.load import Crowd
from proxyreload.history.events import BaselineTaken, KindTaken
from proxyreload.plan.settings import LoadSettings
from proxyreload.plan.traffic import Group, brief
from proxyreload.run.calibration import BASELINE_S, Taking, take_baseline
from proxyreload.system.clock import NS_PER_S, ns
from proxyreload.system.reactor import IReactor
from proxyreload.traffic.registry import kind_named
from proxyreload.verdict.baseline import Baseline
from proxyreload.verdict.latency import Latency

from .clocks import START_NS, Time, result_of, some_examples
from .connections import PREPARED, Front
from .happened import exchange, failed


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


@some_examples
@given(st.lists(st.lists(st.integers(0, 10**10), max_size=30), max_size=5))
def test_packed_ones_take_little_and_add_up_to_the_same(drawn: list[list[int]]) -> None:
    whole, unpacked = Latency(), Latency()
    for latencies_us in drawn:
        one = Latency()
        one.record(latencies_us)
        whole.add(one)
        packed = one.packed()
        assert len(packed.encoded) < 2000
        unpacked.add_packed(packed)
    assert unpacked.count == whole.count
    assert [unpacked.percentile_us(p) for p in (0, 50, 99, 100)] == [whole.percentile_us(p) for p in (0, 50, 99, 100)]


# The baseline.


def test_the_baseline_counts_exchanges_failures_and_latencies() -> None:
    taking = Taking()
    taking.exchanged([exchange(), exchange(), failed("timeout")])
    whole, kinds = taking.taken, {"idle": KindTaken({500: 2}, 3, {"timeout": 1})}
    taken = BaselineTaken(whole.latencies_us, whole.exchanges, whole.failures, NS_PER_S // 2, START_NS, kinds)
    baseline = Baseline.of(taken)
    assert (baseline.exchanges, baseline.failures, baseline.latency.count) == (3, {"timeout": 1}, 2)
    assert baseline.latency.percentile_us(50) == pytest.approx(1000, rel=2e-3)
    assert baseline.rate_per_s == 6
    assert (baseline.kinds["idle"].exchanges, baseline.kinds["idle"].latency.count) == (3, 2)
    assert taken.every_failure == {"timeout": 2}


def test_the_baseline_has_a_client_of_each_other_kind_apart_from_the_rest() -> None:
    time = Time()
    fronts = [Front(time)]
    idle = kind_named("idle")
    (group,) = brief([Group(idle, 40, rtt_s=0.02), Group(kind_named("get"), 10)])
    assert (group.clients, group.rtt_s, group.values) == (1, 0.0, {"gap": (0.05, 0.1)})
    crowd = Crowd("idle", 1, lambda: idle.client(group.values), PREPARED, fronts[0])
    settings = LoadSettings(clients=1, timeout_s=2.0)
    work = take_baseline(cast(IReactor, time), time.ns, fronts, PREPARED, settings, [crowd])
    taking = Deferred.fromCoroutine(work)
    while time.seconds() < BASELINE_S:
        time.advance(0.125)
        for wire in fronts[0].wires:
            wire.answers(instance=b"0")
    for wire in fronts[0].wires:
        if not wire.transport.closed:
            wire.answers(instance=b"0")
    taken = result_of(taking)
    assert set(taken.kinds) == {"idle"}
    assert taken.kinds["idle"].failures == {}
    assert taken.exchanges + taken.kinds["idle"].exchanges == len(fronts[0].requests)
    assert 3 <= taken.kinds["idle"].exchanges <= 9


def test_a_baseline_that_was_not_measured_has_no_rate() -> None:
    assert Baseline(Latency(), 0, {}, 0).rate_per_s == 0


def test_the_baseline_is_what_the_same_clients_measure_at_the_backends() -> None:
    time = Time()
    fronts = [Front(time), Front(time)]
    settings = LoadSettings(clients=3, rate_per_s=4.0, probe_rate_per_s=10.0, timeout_s=2.0)
    taking = Deferred.fromCoroutine(take_baseline(cast(IReactor, time), time.ns, fronts, PREPARED, settings))
    while time.seconds() < BASELINE_S:
        time.advance(0.125)
        for front in fronts:
            for wire in front.wires:
                wire.answers(instance=b"0" if front is fronts[0] else b"1")
    fronts[1].wires[0].answers(instance=b"1")  # what was due at the very end
    taken = result_of(taking)
    # Of clients 0 and 2 the one backend, of client 1 the other; the probe is none of them.
    assert [sorted(front.requests) for front in fronts] == [[b"b0-0", b"b0-1", b"b2-0"], [b"b1-0", b"b1-1"]]
    assert (taken.exchanges, taken.failures, sum(taken.latencies_us.values())) == (5, {}, 5)
    assert taken.duration_ns >= ns(BASELINE_S)
    assert taken.at_ns == time.ns()
    assert all(wire.transport.closed for front in fronts for wire in front.wires)
    assert time.getDelayedCalls() == []
