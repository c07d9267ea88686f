"""One comparison as it was published: who was tried under which conditions, and what came of it."""

from collections.abc import Mapping

import attrs

from proxyreload.site.address import mechanism_part, plain_part

CANNOT = "cannot"
NOT_RUN = "not run"
#: What becomes of removed backends under some conditions.
KILLED = "killed"
#: Keys of a row's times, which may be null, and what they are.
TIMES = {
    "applied_ms": "applied after, ms",
    "effective_ms": "effective after, ms",
    "drained_ms": "drained after, ms",
    "p99_steady_us": "p99 steady, µs",
    "p99_around_us": "p99 around, µs",
}


@attrs.frozen
class Condition:
    """Under what each mechanism was run."""

    name: str  #: ``near, leaving``; empty where nothing was varied
    rtt_ms: float | None = None  #: to every client; None: as each kind has it
    removed: str = ""  #: what becomes of a removed backend: ``leaving``, ``killed``; empty: as the options say


@attrs.frozen
class KindTally:
    """What one kind of traffic came to in a row."""

    kind: str
    verdict: str  #: ``cannot`` where the kind is not carried; empty where nothing was sent
    exchanges: int
    lost: int
    why: str = ""  #: it cannot
    causes: Mapping[str, int] = attrs.field(factory=dict)
    new_ms: float | None = None  #: the longest row of failures of any change, over new connections
    reused_ms: float | None = None  #: and over reused ones
    aimed: bool = False

    @property
    def anchor(self) -> str:
        """Its place on a page."""
        return plain_part(self.kind)


@attrs.frozen
class Price:
    """What a row's changes took of the host."""

    processes: int | None
    resident_bytes: int | None
    cpu_s_per_change: float | None
    old_generations: int | None
    lived_on_ms: float | None
    left: int | None
    on_old: Mapping[str, int]  #: how many clients of which kind were on old generations, at most at once


@attrs.frozen
class TrialTold:
    """One run of a row, and where its files were, relative to the comparison's file; they are looked for there only."""

    round: int
    verdict: str
    why: str
    run: str  #: its ``run.json``, empty if it has none


@attrs.frozen
class RowTold:
    """One mechanism under one condition."""

    edition: str
    mechanism: str  #: without the version that was asked for
    version: str  #: its number, empty if the program tells none
    proxy_version: str  #: in the program's words
    condition: str
    killed: bool  #: in it removed backends are killed, as in a crash
    part: str  #: its address below ``cell/``
    verdict: str
    why: str
    advice: str
    link: str
    exchanges: int
    changes: int
    failures: Mapping[str, int]
    kinds: tuple[KindTally, ...]
    causes: Mapping[str, int]
    per_change: float | None
    low: float
    high: float
    per_million: float
    times: Mapping[str, float | None]  #: by `TIMES`
    price: Price | None
    new_ms: float | None
    reused_ms: float | None
    storm: int | None  #: connections opened in the busiest 100 ms
    command: tuple[str, ...]
    trials: tuple[TrialTold, ...]

    @property
    def anchor(self) -> str:
        """The mechanism's part of an address."""
        return mechanism_part(self.mechanism)

    @property
    def plugin(self) -> str:
        """The proxy."""
        return self.mechanism.partition(":")[0]

    @property
    def judged(self) -> bool:
        """Whether it came to a verdict."""
        return self.verdict not in (CANNOT, NOT_RUN)

    @property
    def address(self) -> str:
        """Its page in the site."""
        return f"cell/{self.part}/index.html"

    def tally(self, kind: str) -> KindTally | None:
        """Return what a kind came to; None if it was not sent."""
        return next((each for each in self.kinds if each.kind == kind), None)

    @property
    def lost_steadily(self) -> tuple[int, int]:
        """How many of how many requests were lost, of the kinds that are not aimed."""
        told = [each for each in self.kinds if not each.aimed]
        return sum(each.lost for each in told), sum(each.exchanges for each in told)


@attrs.frozen
class Edition:
    """One comparison."""

    id: str  #: the day, and a digest of the file: the same file is the same edition
    day: str
    started: str  #: empty if it is not told
    what: str
    versions: tuple[str, ...]
    proxyreload: str
    machine: Mapping[str, object]
    command: tuple[str, ...]
    conditions: tuple[Condition, ...]
    rows: tuple[RowTold, ...]

    @property
    def address(self) -> str:
        """Its page in the site."""
        return f"edition/{self.id}/index.html"
