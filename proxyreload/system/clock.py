"""The one monotonic clock of a run."""

import time
from collections.abc import Callable

#: Returns nanoseconds of a monotonic clock; only differences mean anything.
ClockNs = Callable[[], int]

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000
US_PER_MS = 1_000

_TRIES = 5

#: The real one. ``reactor.seconds()`` is the wall clock on epoll, so measurements never use it.
monotonic_ns: ClockNs = time.perf_counter_ns


def wall_offset_ns(clock_ns: ClockNs = monotonic_ns, wall_ns: ClockNs = time.time_ns) -> int:
    """Return what is added to a moment of the monotonic clock to have it in ns since the epoch.

    It is right to half of the time that lies between two looks at the one clock around a look at the other: of a few
    tries the shortest counts, for one may be interrupted.
    """
    tries = [(clock_ns(), wall_ns(), clock_ns()) for _try in range(_TRIES)]
    before_ns, wall, after_ns = min(tries, key=lambda each: each[2] - each[0])
    return wall - (before_ns + after_ns) // 2


def ns(seconds: float) -> int:
    """Return ``seconds`` in nanoseconds."""
    return round(seconds * NS_PER_S)


def seconds(duration_ns: int) -> float:
    """Return ``duration_ns`` in seconds."""
    return duration_ns / NS_PER_S
