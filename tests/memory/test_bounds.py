"""The bounds of numbers."""

from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.errors import UsageError
from proxyreload.system import bounds

from .clocks import some_examples

#: More digits than int() and str() take.
HUGE = 10**5000
EVERY = [value for value in vars(bounds).values() if isinstance(value, bounds.Bound)]


@pytest.mark.parametrize(
    "text", ["1e-320", "1e-300", "1e308", "1e999", "nan", "-inf", "", "1_000_000_0", "0", "9" * 5000]
)
def test_no_rate_without_an_interval(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        bounds.RATE_PER_S.parse("--rate", text)
    assert str(raised.value).startswith("--rate takes a number from 0.001 to 1000000 requests/s, not ")
    assert len(str(raised.value)) < 120


@pytest.mark.parametrize("value", [1e-320, 1e308, float("nan"), HUGE, True, None, "5", [], {}], ids=type)
def test_nor_over_the_api(value: object) -> None:
    with pytest.raises(UsageError, match="rate takes a number"):
        bounds.RATE_PER_S.of("rate", value)


@pytest.mark.parametrize("value", [1.0, HUGE, True, None, "5", -1], ids=type)
def test_whole_numbers_are_whole(value: object) -> None:
    with pytest.raises(UsageError, match="backends takes a whole number from 1 to 1000, not "):
        bounds.BACKENDS.of("backends", value)


@some_examples
@given(st.text(max_size=20) | st.from_regex(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?", fullmatch=True), st.sampled_from(EVERY))
def test_whatever_is_written_is_within_the_bounds_or_refused(text: str, bound: bounds.Bound) -> None:
    try:
        number = bound.parse("n", text)
    except UsageError as error:
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert isfinite(number)
        assert bound.lowest <= number <= bound.highest
        assert bound.of("n", number) == number
