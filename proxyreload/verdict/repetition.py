"""What many changes of one sort amount to."""

import random
from collections.abc import Sequence
from statistics import fmean

import attrs

#: With fewer changes than this nothing can be said of the next one.
ENOUGH_CHANGES = 5
#: Resamples of the bootstrap, and how many draws are made at most for all of them together.
_RESAMPLES, _DRAWS_AT_MOST = 2000, 2_000_000
#: The two-sided confidence is 95 %.
_TAIL = 0.025


@attrs.frozen
class Repetition:
    """Failures per change, with a confidence interval, beside failures per million exchanges."""

    changes: int
    lossy: int  #: changes in whose window something failed
    failures: int  #: in the windows of all
    low: float  #: the 95 % confidence interval of failures per change
    high: float
    per_million: float  #: failures per million exchanges

    @property
    def per_change(self) -> float:
        """The mean."""
        return self.failures / self.changes

    def interval(self) -> str:
        """Return the mean and its interval as text."""
        if not self.failures:
            return f"0 (<{short(self.high)})"
        return f"{short(self.per_change)} ({short(self.low)} to {short(self.high)})"

    def as_run(self) -> dict[str, object]:
        """Return it as it stands in ``run.json``."""
        return {
            "changes": self.changes,
            "lossy": self.lossy,
            "failures": round(self.per_change, 6),
            "low": round(self.low, 6),
            "high": round(self.high, 6),
            "failures_per_million": round(self.per_million, 3),
        }

    def line(self) -> str:
        """Return it as a sentence."""
        return (
            f"failures per change (95 % interval): {self.interval()}; "
            f"{self.lossy} of {self.changes} changes lost something; {short(self.per_million)} per million exchanges"
        )


def repetition(losses: Sequence[int], exchanges: int) -> Repetition | None:
    """Return what the losses of each change amount to; None if there are too few changes.

    Failures come in clusters, so that counting them one by one would promise too much: the interval is that of a
    bootstrap over the changes, each with its losses. Without a loss it is the rule of three, over the changes.
    """
    number = len(losses)
    if number < ENOUGH_CHANGES:
        return None
    failures = sum(losses)
    low, high = _bootstrap(losses) if failures else (0.0, 3 / number)
    per_million = failures * 1_000_000 / exchanges if exchanges else 0.0
    return Repetition(number, sum(loss > 0 for loss in losses), failures, low, high, per_million)


def _bootstrap(losses: Sequence[int]) -> tuple[float, float]:
    chance = random.Random(0)  # noqa: S311  (the same figures for the same run)
    number = len(losses)
    resamples = max(100, min(_RESAMPLES, _DRAWS_AT_MOST // number))
    means = sorted(fmean(chance.choices(losses, k=number)) for _resample in range(resamples))
    return means[int(_TAIL * resamples)], means[int((1 - _TAIL) * resamples)]


def short(number: float) -> str:
    """Return two significant digits, of large numbers all before the point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"  # noqa: PLR2004
