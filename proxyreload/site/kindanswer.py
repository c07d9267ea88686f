"""What a mechanism does to a kind of traffic, in words that need no other page."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import attrs

from proxyreload.explanation.causewords import cause_words
from proxyreload.ledger.cause import Cause
from proxyreload.site.collection import Subject, kinds_of
from proxyreload.site.edition import CANNOT, NOT_RUN, KindTally, RowTold
from proxyreload.site.marks import worst_of

#: Of what one is lost, and many; what a kind is called that is not here is its own name.
_CALLED = {
    "get": ("GET", "GETs"),
    "fresh": ("request over a new connection", "requests over new connections"),
    "idle": ("request of a client that rests", "requests of clients that rest"),
    "aimed": ("request sent as connections close", "requests sent as connections close"),
    "post": ("POST", "POSTs"),
    "slow": ("request with a slow answer", "requests with slow answers"),
    "stream": ("event stream", "event streams"),
    "download": ("download", "downloads"),
    "upload": ("upload", "uploads"),
    "websocket": ("WebSocket", "WebSockets"),
    "h2": ("HTTP/2 request", "HTTP/2 requests"),
    "grpc": ("gRPC call", "gRPC calls"),
}
#: Verdicts with which nothing was lost, and nothing would have been.
HARMLESS = ("seamless", "graceful")
_OTHERS_AT_MOST = 4


@attrs.frozen
class Part:
    """What it came to under one condition."""

    row: RowTold
    tally: KindTally | None

    @property
    def verdict(self) -> str:
        """What its mark is drawn by."""
        if self.tally is None or not (self.tally.verdict or self.tally.exchanges):
            return self.row.verdict if not self.row.judged else NOT_RUN
        return self.tally.verdict or NOT_RUN

    @property
    def lost(self) -> int:
        """How many."""
        return self.tally.lost if self.tally is not None else 0

    @property
    def exchanges(self) -> int:
        """Of how many."""
        return self.tally.exchanges if self.tally is not None else 0

    @property
    def address(self) -> str:
        """The cell's own."""
        return self.row.address + (f"#{self.tally.anchor}" if self.tally is not None else "")

    @property
    def words(self) -> str:
        """Say it in a few words."""
        told = f"{self.lost:,} of {self.exchanges:,} lost" if self.exchanges else ""
        return ", ".join(filter(None, [f"{self.verdict}: {told}" if told else self.verdict, self.row.condition]))


@attrs.frozen
class Answer:
    """What a mechanism does to a kind of traffic, in its newest state."""

    mechanism: str
    kind: str
    parts: tuple[Part, ...]
    address: str
    others: tuple[Subject, ...]  #: mechanisms of the same proxy with which none of that kind is lost
    disproved: tuple[str, ...]  #: what the mechanisms that the known cure names lose of the kind all the same

    @property
    def leaving(self) -> tuple[Part, ...]:
        """Those in which removed backends leave; all, where there are no others."""
        return _leaving(self.parts)

    @property
    def killed(self) -> tuple[Part, ...]:
        """The others, which the verdict is not told by: what a killed one takes with it is lost with any proxy."""
        return tuple(part for part in self.parts if part not in self.leaving)

    @property
    def verdict(self) -> str:
        """The worst, where removed backends leave."""
        return worst_of(part.verdict for part in self.leaving)

    @property
    def called(self) -> str:
        """What many of it are called."""
        return called(self.kind)

    @property
    def plugin(self) -> str:
        """The proxy."""
        return self.mechanism.partition(":")[0]

    @property
    def aimed(self) -> bool:
        """Whether the kind is, for proof."""
        return any(part.tally is not None and part.tally.aimed for part in self.parts)

    @property
    def lost(self) -> int:
        """How many were, where removed backends leave."""
        return sum(part.lost for part in self.leaving)

    @property
    def exchanges(self) -> int:
        """Of how many."""
        return sum(part.exchanges for part in self.leaving)

    @property
    def crash(self) -> str:
        """Say how many were lost where removed backends are killed; empty if none was."""
        lost, exchanges = sum(part.lost for part in self.killed), sum(part.exchanges for part in self.killed)
        if not lost:
            return ""
        gone = sum(part.tally.causes.get(Cause.BACKEND_GONE.value, 0) for part in self.killed if part.tally is not None)
        with_it = f", {gone:,} of them with the backend, as with any proxy" if gone else ""
        return f"Where removed backends are killed, as in a crash: {lost:,} of {exchanges:,} lost{with_it}"

    @property
    def headline(self) -> str:
        """Say in a few words whether it is harmed."""
        exchanges = self.exchanges
        if self.lost:
            losing = [part for part in self.leaving if part.lost]
            fewer = len(losing) < len(self.leaving)
            only = f", only {'; '.join(part.row.condition for part in losing)}" if fewer else ""
            return f"{self.mechanism} loses {self.called}: {self.lost:,} of {exchanges:,}{only}"
        if self.verdict == "racy":
            return f"{self.mechanism} may lose {self.called}: none of {exchanges:,} here, but somebody a moment later"
        if self.verdict in HARMLESS:
            return f"{self.mechanism} loses no {self.called}: none of {exchanges:,}"
        if self.verdict == CANNOT:
            return f"{self.mechanism} does not carry {self.called}"
        return f"{self.mechanism} came to no verdict over {self.called}: {self.verdict}"

    @property
    def by_condition(self) -> str:
        """Say under which condition how many, where there are several."""
        if len(self.parts) < 2:  # noqa: PLR2004  (one says all)
            return ""
        return "; ".join(part.words for part in self.parts)

    @property
    def why(self) -> str:
        """Say what kept it from being carried, or judged."""
        told = (part.tally.why if part.tally is not None else part.row.why for part in self.parts)
        return next(filter(None, told), "")

    @property
    def causes(self) -> Counter[str]:
        """Why they were lost, the most frequent first."""
        total: Counter[str] = Counter()
        for part in self.leaving:
            if part.tally is not None:
                total.update(part.tally.causes)
        return Counter(dict(total.most_common()))

    @property
    def harmed(self) -> bool:
        """Whether there is something to be cured."""
        return self.verdict not in (*HARMLESS, CANNOT, NOT_RUN)

    @property
    def cure(self) -> tuple[str, str]:
        """What is known to help, and where that is said."""
        return cure_of([part.row for part in self.leaving]) if self.harmed else ("", "")

    @property
    def cured_by_cause(self) -> dict[str, str]:
        """What cures each cause, whatever the proxy."""
        return {cause: cause_words(cause).cure for cause in self.causes if cause_words(cause).cure}

    @property
    def search(self) -> str:
        """What it is found by besides what stands on the page."""
        changed = "reload reloading restart upgrade change backends" if self.harmed else ""
        lost = "lose loses lost losing" if self.lost else ""
        return " ".join(filter(None, [self.mechanism, self.kind, self.called, self.verdict, lost, changed]))


def called(kind: str) -> str:
    """Return what many of a kind are called."""
    return _CALLED[kind][1] if kind in _CALLED else f"{kind} requests"


def cure_of(rows: Sequence[RowTold]) -> tuple[str, str]:
    """Return the first that is known to help one of these, and where that is said."""
    return next(((row.advice, row.link) for row in rows if row.advice), ("", ""))


def part_of(row: RowTold, kind: str) -> Part:
    """Return what a row came to with a kind."""
    return Part(row, row.tally(kind))


def answers_of(subject: Subject, everyone: Sequence[Subject]) -> Iterator[Answer]:
    """Yield what a mechanism does to each kind."""
    beside = [other for other in everyone if other.plugin == subject.plugin and other.name != subject.name]
    for kind in kinds_of(subject.newest):
        parts = tuple(part_of(row, kind) for row in subject.newest)
        others = tuple(other for other in beside if _spares(other, kind))[:_OTHERS_AT_MOST]
        anchor = next(part.tally.anchor for part in parts if part.tally is not None)
        advice = cure_of([part.row for part in _leaving(parts)])[0]
        named = [other for other in beside if _names(advice, other.name)]
        told = tuple(filter(None, (_loses(other, kind) for other in named)))
        yield Answer(subject.name, kind, parts, f"{subject.address}#{anchor}", others, told)


def _names(advice: str, mechanism: str) -> bool:
    """Whether an advice names a mechanism, and not another one that begins so."""
    return re.search(rf"(?<![\w:-]){re.escape(mechanism)}(?![\w:-])", advice) is not None


def _loses(subject: Subject, kind: str) -> str:
    """Say how many of a kind a mechanism loses, under which conditions; empty if none."""
    losing = [part for part in _leaving([part_of(row, kind) for row in subject.newest]) if part.lost]
    told = ", ".join(f"{part.lost:,} of {part.exchanges:,} {part.row.condition}".strip() for part in losing)
    return f"{subject.name} loses {told}" if told else ""


def _spares(subject: Subject, kind: str) -> bool:
    """Whether none of a kind was lost with a mechanism, wherever removed backends leave."""
    return all(part.verdict in HARMLESS for part in _leaving([part_of(row, kind) for row in subject.newest]))


def _leaving(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return those in which removed backends leave; all, where there are no others."""
    return tuple(part for part in parts if not part.row.killed) or tuple(parts)
