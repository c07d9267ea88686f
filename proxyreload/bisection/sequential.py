"""Wald's sequential test: as many changes as are needed to tell a good version from a bad one, and no more.

A. Wald, Sequential Tests of Statistical Hypotheses, 1945, https://doi.org/10.1214/aoms/1177731118
"""

from enum import Enum
from math import log

import attrs

#: A version is good if so small a part of what makes one bad is hit: a loss by mere chance, of a busy machine for one.
CLEAN_PART = 0.05


class Decision(Enum):
    """What a test has come to."""

    GOOD = "good"
    BAD = "bad"


@attrs.frozen
class SequentialTest:
    """What is known of one version: how many changes there were, and how many of them were hit.

    Either it is good, and at most `clean` of its changes are hit, or it is bad, and at least `bad` are. What was seen
    is some times as likely under the one as under the other, and when that is ``1 / error`` times, it is decided. Wald
    has shown that either error is then at most `error`, however many changes that takes.
    """

    bad: float
    error: float
    changes: int = 0
    hits: int = 0

    @property
    def clean(self) -> float:
        """The part of its changes that is hit in a good version, at most."""
        return self.bad * CLEAN_PART

    def after(self, *, hit: bool) -> "SequentialTest":
        """Return what is known after one more change."""
        return attrs.evolve(self, changes=self.changes + 1, hits=self.hits + hit)

    @property
    def evidence(self) -> float:
        """The logarithm of how many times likelier it is that the version is bad."""
        hit, missed = log(self.bad / self.clean), log((1 - self.bad) / (1 - self.clean))
        return self.hits * hit + (self.changes - self.hits) * missed

    @property
    def decision(self) -> Decision | None:
        """What it has come to; None as long as more changes are needed."""
        enough = -log(self.error)
        if self.evidence >= enough:
            return Decision.BAD
        return Decision.GOOD if self.evidence <= -enough else None
