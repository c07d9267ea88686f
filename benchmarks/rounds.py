"""Interleaved rounds: what is compared is measured side by side, and compared within its round."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import attrs

from benchmarks.peer import Measured
from benchmarks.processes import BenchmarkError


@contextmanager
def temporary() -> Iterator[Path]:
    """Give a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="proxyreload-bench-") as name:
        yield Path(name)


@attrs.frozen
class Contestant:
    """One of those that are compared."""

    name: str
    measure: Callable[[Path], Measured]  #: takes an empty folder for its files


@attrs.define
class Rounds:
    """What was measured, requests a second by contestant, one table for each round."""

    rates: list[dict[str, float]] = attrs.field(factory=list)
    troubles: dict[str, str] = attrs.field(factory=dict)  #: why a contestant has no rate in some round

    def of(self, name: str) -> list[float]:
        """Return one contestant's rates."""
        return [rates[name] for rates in self.rates if name in rates]

    def rate(self, name: str) -> float | None:
        """Return the median of one contestant's rates."""
        rates = self.of(name)
        return median(rates) if rates else None

    def ratios(self, ours: str, theirs: str) -> list[float]:
        """Return the ratios of two contestants, each within one round."""
        return [rates[ours] / rates[theirs] for rates in self.rates if ours in rates and theirs in rates]


def play(contestants: Sequence[Contestant], number: int, say: Callable[[str], None]) -> Rounds:
    """Measure all of them `number` times, each round beginning with another one."""
    rounds = Rounds()
    for index in range(number):
        rates: dict[str, float] = {}
        rounds.rates.append(rates)
        first = index % len(contestants)
        for contestant in (*contestants[first:], *contestants[:first]):
            try:
                with temporary() as folder:
                    rate = rates[contestant.name] = contestant.measure(folder).per_s
                outcome = f"{rate:9.0f}/s"
            except BenchmarkError as error:
                rounds.troubles[contestant.name] = str(error)
                outcome = f"{error}  {error.said}"
            say(f"round {index + 1} of {number}  {contestant.name:26} {outcome}")
    return rounds
