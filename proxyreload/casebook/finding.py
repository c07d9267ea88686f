"""What a case's run has come to, and whether that is what is to be found."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import attrs

from proxyreload.casebook.bug import Expectation
from proxyreload.ledger.fate import Fate
from proxyreload.record.lossrows import read_losses
from proxyreload.record.rundata import read_record

_FATES = frozenset(fate.value for fate in Fate)


@attrs.frozen
class Finding:
    """One run, as its files tell it; without a verdict it came to none, and `why` says why."""

    verdict: str = ""  #: of the kind in question, or of the run
    kind: str = ""
    failures: int = 0
    exchanges: int = 0
    causes: Mapping[str, int] = attrs.field(factory=dict)
    fates: Mapping[str, int] = attrs.field(factory=dict)
    why: str = ""
    cannot: bool = False  #: with that version, which is nothing that went wrong

    @property
    def cause(self) -> str:
        """The cause of most of what was lost."""
        return max(self.causes, key=lambda each: self.causes[each], default="")

    def meets(self, expected: Expectation) -> bool:
        """Whether it is what is expected."""
        return (
            self.verdict in {each.value for each in expected.verdicts}
            and (expected.cause is None or self.cause in ("", expected.cause.value))
            and (expected.fate is None or self.fates.get(expected.fate.value, 0) > 0)
            and (expected.never is None or not self.fates.get(expected.never.value, 0))
        )

    def __str__(self) -> str:
        """``aimed lossy, 31 of 420 lost, keep-alive race``."""
        if not self.verdict:
            return self.why or "no verdict"
        told = [f"{self.kind} {self.verdict}".strip(), f"{self.failures} of {self.exchanges} lost"]
        if self.cause:
            told.append(self.cause)
        twice = sum(number for fate, number in self.fates.items() if Fate(fate).twice)
        if twice:
            told.append(f"{twice} carried out twice")
        return ", ".join(told)


def found(run: Path, losses: Path, kind: str) -> Finding:
    """Read what a run has come to; raises `UsageError` where its files are none."""
    record = read_record(run)
    rows = [row for row in read_losses(losses) if kind in ("", row.kind)]
    told = record.kinds.get(kind)
    if kind and told is None:
        return Finding(why=f"nothing was sent of {kind}")
    return Finding(
        verdict=record.verdict if told is None else told.verdict,
        kind=kind,
        failures=record.failure if told is None else told.lost,
        exchanges=record.exchanges if told is None else told.exchanges,
        causes=Counter(row.cause for row in rows if row.lost),
        fates=Counter(row.fate for row in rows if row.fate in _FATES),
    )
