"""What happens in a quarter of a second."""

from bisect import bisect_right
from collections import Counter
from math import ceil
from typing import Any

import attrs

#: How long a slice is.
SLICE_S = 0.25
#: Upper bounds of the latency histogram's buckets, in µs.
BUCKETS_US = (*(step * 10**power for power in range(1, 5) for step in (10, 25, 50)), 1_000_000, 5_000_000)
#: More different ``Backend-Id`` values than this are somebody's invention.
INSTANCES_AT_MOST = 64
ANOTHER = "another"
#: Failures are counted all, and told one by one so many at most.
LOSSES_AT_MOST = 50


@attrs.define(eq=False)
class Slice:
    """One slice while it fills, and when it is over."""

    answers: Counter[str] = attrs.field(factory=Counter)  #: by backend
    sent: Counter[str] = attrs.field(factory=Counter)  #: exchanges by kind of traffic
    lost: Counter[tuple[str, str]] = attrs.field(factory=Counter)  #: failures by kind and class
    latencies_us: list[int] = attrs.field(factory=list)  #: of plain clients' successes; sorted when it is over
    front_changed: int = 0
    back_changed: int = 0
    closed: Counter[tuple[str, str]] = attrs.field(factory=Counter)  #: the clients' connections, by kind and ending
    losses: list[dict[str, Any]] = attrs.field(factory=list)
    changes: list[dict[str, Any]] = attrs.field(factory=list)
    segments: list[list[Any]] = attrs.field(factory=list)
    ends: list[list[Any]] = attrs.field(factory=list)
    back: list[list[Any]] = attrs.field(factory=list)

    def close(self, known: set[str]) -> None:
        """Let nothing more in; `known` are the backends met so far, of which there are only so many."""
        self.answers.pop("", None)
        self.latencies_us.sort()
        for instance in [each for each in self.answers if each not in known]:
            if len(known) < INSTANCES_AT_MOST:
                known.add(instance)
            else:
                self.answers[ANOTHER] += self.answers.pop(instance)

    @property
    def failures(self) -> Counter[str]:
        """How many failed, by class."""
        failures: Counter[str] = Counter()
        for (_kind, failure), number in self.lost.items():
            failures[failure] += number
        return failures

    def room_for(self, *, aimed: bool) -> bool:
        """Return whether there is room for a loss; aimed ones have half of it at most."""
        if aimed and sum(loss["aimed"] for loss in self.losses) >= LOSSES_AT_MOST // 2:
            return False
        return len(self.losses) < LOSSES_AT_MOST

    def lost_of(self, kind: str) -> int:
        """Return how many of a kind failed."""
        return sum(number for (each, _failure), number in self.lost.items() if each == kind)

    def percentile_us(self, percent: float) -> int | None:
        """Return the latency that so many % did not exceed; None if there is none."""
        latencies_us = self.latencies_us
        if not latencies_us:
            return None
        return latencies_us[max(0, ceil(len(latencies_us) * percent / 100) - 1)]

    def buckets(self) -> list[int]:
        """Return how many latencies were not above each of `BUCKETS_US`."""
        return [bisect_right(self.latencies_us, bound_us) for bound_us in BUCKETS_US]

    def figures(self) -> dict[str, Any]:
        """Return its figures as they are sent."""
        return {
            "answers": self.answers,
            "failures": self.failures,
            "kinds": {kind: [sent, self.lost_of(kind)] for kind, sent in self.sent.items()},
            "p50_us": self.percentile_us(50),
            "p99_us": self.percentile_us(99),
            "max_us": self.percentile_us(100),
            "front_changed": self.front_changed,
            "back_changed": self.back_changed,
        }

    def lists(self) -> dict[str, Any]:
        """Return its lists as they are sent, those that are empty left out."""
        lists = {
            "losses": self.losses,
            "changes": self.changes,
            "segments": self.segments,
            "ends": self.ends,
            "back": self.back,
        }
        return {name: entries for name, entries in lists.items() if entries}
