"""Latency before, around and after each change: what is kept of it, however many changes there are."""

import gc
import tracemalloc
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxyreload.system.clock import NS_PER_US
from proxyreload.verdict.latency import Figures, Latency
from proxyreload.verdict.phases import SETTLE_NS, Phases

from .clocks import START_NS, some_examples
from .happened import exchange

LATENCIES_US = st.lists(st.integers(0, 10**8), max_size=40)


def recorded(*latencies_us: int) -> Latency:
    """Return these in a histogram."""
    latency = Latency()
    latency.record(latencies_us)
    return latency


def played(phases: list[list[int]]) -> Phases:
    """Let requests take so long in each phase: before the first change, around it, after it, around the second …"""
    told, at_ns = Phases(), START_NS
    for index, latencies_us in enumerate(phases):
        if index % 2:
            told.requested(index // 2 + 1)
            told.over(at_ns)
        elif index:
            at_ns += SETTLE_NS + 1
            told.exchanged([exchange(ended_ns=at_ns, failure="timeout")])
        for latency_us in latencies_us:
            told.exchanged([exchange(due_ns=at_ns - latency_us * NS_PER_US, ended_ns=at_ns)])
    return told


@some_examples
@given(LATENCIES_US)
def test_the_figures_of_a_histogram_are_what_it_told_itself(latencies_us: list[int]) -> None:
    latency = recorded(*latencies_us)
    figures = latency.figures()
    assert (figures.count, figures.max_us) == (latency.count, latency.max_us)
    for percentile in (50, 99, 99.9):
        assert figures.percentile_us(percentile) == latency.percentile_us(percentile)
    assert figures.percentiles() == latency.percentiles()


@some_examples
@given(st.lists(LATENCIES_US, min_size=1, max_size=9))
def test_each_phase_keeps_its_figures_and_the_sums_lose_none(drawn: list[list[int]]) -> None:
    told = played(drawn)
    assert len(told.all) == len(drawn)
    for phase, latencies_us in zip(told.all, drawn, strict=True):
        alone = recorded(*latencies_us)
        assert phase.latency.count == alone.count, phase.name
        assert phase.latency.percentile_us(99) == alone.percentile_us(99), phase.name
        assert phase.latency.max_us == alone.max_us, phase.name
    steady = recorded(*(each for latencies_us in drawn[::2] for each in latencies_us))
    around = recorded(*(each for latencies_us in drawn[1::2] for each in latencies_us))
    assert told.total("before", "after").figures() == steady.figures()
    assert told.total("around").figures() == around.figures()


def test_of_many_changes_no_more_than_two_histograms_are_kept() -> None:
    told = played([[100, 200]] * 201)
    assert sum(isinstance(phase.latency, Latency) for phase in told.all) <= 2
    assert told.total("around").count == 200
    assert [phase.latency.count for phase in told.all] == [2] * 201


def test_a_phase_that_was_over_long_ago_takes_less_than_a_kilobyte() -> None:
    kept, sizes = [], []
    gc.disable()  # nothing may wait for the collector: in a run it hardly ever looks at what is old
    tracemalloc.start()
    try:
        for phases in (3, 101, 1101):
            kept.append(played([[100, 200]] * phases))
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        gc.enable()
    few, many = (after - before for before, after in pairwise(sizes))
    assert (many - few) / 1000 < 1000


def test_what_waits_to_be_counted_at_the_end_of_a_phase_is_counted_batch_by_batch() -> None:
    told = Phases()
    told.exchanged([exchange(due_ns=START_NS - each * NS_PER_US, ended_ns=START_NS) for each in range(1, 2001)])
    told.requested(1)
    batches = 0
    while isinstance(told.all[0].latency, Latency):
        told.exchanged([exchange(ended_ns=START_NS)])
        batches += 1
    assert batches > 2  # none of which took long
    assert isinstance(told.all[0].latency, Figures)
    assert (told.all[0].latency.count, told.all[1].latency.count) == (2000, batches)
