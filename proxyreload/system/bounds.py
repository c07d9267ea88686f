"""The bounds of every number that somebody may set: on the command line, in a file, over the page's API.

Beyond them lie mistakes, and what arithmetic and timers cannot do: a rate of 1e-320 has no interval, a time-out of
1e300 s no date.
"""

from math import isfinite

import attrs

from proxyreload.errors import UsageError
from proxyreload.system.untrusted import printable

_SHOWN = 40
_DIGITS_LIMIT = 400


@attrs.frozen
class Bound:
    """From where to where a number may be."""

    lowest: float
    highest: float
    unit: str = ""

    def parse(self, name: str, text: str) -> float:
        """Return the number in a text; raises `UsageError`."""
        try:
            number = float(text) if len(text) <= _DIGITS_LIMIT else float("nan")
        except ValueError:
            number = float("nan")
        if not self.holds(number):
            raise self._wrong(name, text)
        return number

    def of(self, name: str, value: object) -> float:
        """Return a number of a file or a request; raises `UsageError`."""
        try:
            number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
        except OverflowError:
            number = float("inf")
        if not self.holds(number):
            raise self._wrong(name, value)
        return number

    def holds(self, number: float) -> bool:
        """Whether a number is within the bounds."""
        return isfinite(number) and self.lowest <= number <= self.highest

    def __str__(self) -> str:
        """Say what is taken."""
        unit = f" {self.unit}" if self.unit else ""
        return f"a number from {self.lowest:g} to {_whole(self.highest)}{unit}"

    def _wrong(self, name: str, value: object) -> UsageError:
        return UsageError(f"{name} takes {self}, not {_shown(value)}")


@attrs.frozen
class WholeBound(Bound):
    """The same for whole numbers."""

    def parse(self, name: str, text: str) -> int:
        """Return the whole number in a text; raises `UsageError`."""
        try:
            number = int(text) if len(text) <= _DIGITS_LIMIT else None
        except ValueError:
            number = None
        if number is None or not self.lowest <= number <= self.highest:
            raise self._wrong(name, text)
        return number

    def of(self, name: str, value: object) -> int:
        """Return a whole number of a file or a request; raises `UsageError`."""
        if not isinstance(value, int) or isinstance(value, bool) or not self.lowest <= value <= self.highest:
            raise self._wrong(name, value)
        return value

    def __str__(self) -> str:
        """Say what is taken."""
        return f"a whole number from {_whole(self.lowest)} to {_whole(self.highest)}"


def _whole(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def _shown(value: object) -> str:
    """Return what was given, bounded: five thousand digits are no line."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**_SHOWN:
        return "that many digits"
    return printable(repr(value)[: 4 * _SHOWN], _SHOWN)


CLIENTS = WholeBound(1, 10_000)
BACKENDS = WholeBound(1, 1000)
INSTANCE = WholeBound(0, 10**9)
PORT = WholeBound(1, 65535)
FREE_PORT = WholeBound(0, 65535)  #: 0: any that is free
SEED = WholeBound(0, 2**63 - 1)
REPEAT = WholeBound(1, 100_000)
ROUNDS = WholeBound(1, 1000)
EXCHANGES = WholeBound(1, 10**9)
DESCRIPTOR = WholeBound(0, 2**31 - 1)
RATE_PER_S = Bound(0.001, 1_000_000, "requests/s")
TIMEOUT_S = Bound(0.001, 3600, "seconds")
PACE_S = Bound(0.001, 3600, "seconds")
PACE_PER_S = Bound(0.001, 1000, "changes/s")
STOP_AFTER_S = Bound(0, 3600, "seconds")
WAIT_OLD_S = Bound(0, 86_400, "seconds")
KILL_AFTER_S = Bound(0.001, 3600, "seconds")
#: A run is a month long at most.
DURATION_S = Bound(0.001, 31 * 86_400, "seconds")
PAUSE_S = Bound(0, 31 * 86_400, "seconds")
#: There and back.
RTT_MS = Bound(0, 10_000, "ms")
