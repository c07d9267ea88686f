"""Failures per change, with an interval that can be believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.verdict.repetition import ENOUGH_CHANGES, repetition

from .clocks import some_examples


def test_of_too_few_changes_nothing_is_said() -> None:
    assert repetition([1] * (ENOUGH_CHANGES - 1), 1000) is None
    assert repetition([1] * ENOUGH_CHANGES, 1000) is not None


def test_without_a_loss_the_limit_is_the_rule_of_three_over_the_changes() -> None:
    found = repetition([0] * 20, 40_000)
    assert found is not None
    assert (found.low, found.high, found.per_change, found.lossy) == (0, 0.15, 0, 0)
    assert found.line() == (
        "failures per change (95 % interval): 0 (<0.15); 0 of 20 changes lost something; 0 per million exchanges"
    )


def test_the_mean_stands_between_the_limits() -> None:
    found = repetition([0, 4, 0, 2, 0, 0, 6, 0, 0, 1], 10_000)
    assert found is not None
    assert (found.per_change, found.lossy, found.per_million) == (1.3, 4, 1300)
    assert 0 < found.low < found.per_change < found.high < 6


def test_where_every_change_loses_the_same_there_is_no_doubt() -> None:
    found = repetition([3] * 8, 8000)
    assert found is not None
    assert (found.low, found.per_change, found.high) == (3, 3, 3)


def test_losses_in_clusters_leave_more_doubt_than_the_same_number_spread() -> None:
    spread, clustered = repetition([1] * 10 + [0] * 10, 1), repetition([10] + [0] * 19, 1)
    assert spread is not None
    assert clustered is not None
    assert clustered.high - clustered.low > spread.high - spread.low


@some_examples
@given(st.lists(st.integers(0, 1000), min_size=ENOUGH_CHANGES, max_size=300))
def test_whatever_was_lost_the_limits_hold_the_mean(losses: list[int]) -> None:
    found = repetition(losses, 10_000)
    assert found is not None
    assert found == repetition(losses, 10_000), "the same losses give the same figures"
    assert min(losses) <= found.low <= found.high
    assert found.failures == sum(losses)
    assert found.low <= found.per_change or found.failures == 0
    if found.failures:
        assert found.high >= found.per_change


@pytest.mark.parametrize("number", [5, 20, 3000])
def test_it_is_written_with_all_its_parts(number: int) -> None:
    found = repetition([1, *[0] * (number - 1)], number * 100)
    assert found is not None
    assert found.as_run() == {
        "changes": number,
        "lossy": 1,
        "failures": round(1 / number, 6),
        "low": round(found.low, 6),
        "high": round(found.high, 6),
        "failures_per_million": round(10_000 / number, 3),
    }
