"""The one monotonic clock of a run."""

import time
from collections.abc import Callable

#: Returns nanoseconds of a monotonic clock; only differences mean anything.
ClockNs = Callable[[], int]

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000
US_PER_MS = 1_000

#: The real one. ``reactor.seconds()`` is the wall clock on epoll, so measurements never use it.
monotonic_ns: ClockNs = time.perf_counter_ns


def ns(seconds: float) -> int:
    """Return ``seconds`` in nanoseconds."""
    return round(seconds * NS_PER_S)


def seconds(duration_ns: int) -> float:
    """Return ``duration_ns`` in seconds."""
    return duration_ns / NS_PER_S
