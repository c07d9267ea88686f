"""Numbers on the command line, with errors that name the option."""

from math import isfinite

from twisted.python.usage import UsageError


def whole(option: str, value: str, lowest: int, highest: int) -> int:
    """Return a whole number between `lowest` and `highest`; raises `UsageError`."""
    try:
        number = int(value)
    except ValueError:
        number = lowest - 1
    if not lowest <= number <= highest:
        msg = f"{option} takes a whole number from {lowest} to {highest}, not {value!r}"
        raise UsageError(msg)
    return number


def positive(option: str, value: str) -> float:
    """Return a number above 0; raises `UsageError`."""
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not (isfinite(number) and number > 0):
        msg = f"{option} takes a number above 0, not {value!r}"
        raise UsageError(msg)
    return number
