"""A loss that something is made of: each word of its row is one that is known, each number within its bounds."""

import re
from pathlib import Path

import attrs

from proxyreload.errors import UsageError
from proxyreload.history import failures
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate
from proxyreload.record.lossfile import CARRIED_OUT_TWICE
from proxyreload.record.lossrows import LossRow, read_losses
from proxyreload.system.bounds import PORT, WholeBound
from proxyreload.system.untrusted import printable

_CAUSES, _FATES = {cause.value: cause for cause in Cause}, {fate.value: fate for fate in Fate}
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,59}", re.ASCII)
_STATUS = re.compile(r"status ([1-5][0-9]{2})", re.ASCII)
#: None where no client saw one.
_FAILURES = {CARRIED_OUT_TWICE, ""} | {value for name, value in vars(failures).items() if name.isupper()}
_NUMBER = WholeBound(0, 2**31)


@attrs.frozen
class KnownLoss:
    """One loss; None where nobody knows. Times in µs."""

    number: int  #: of its row in ``losses.csv``, from 1
    ended_us: int  #: since the clients started
    client: int
    kind: str
    request: int
    failure: str
    front_port: int | None
    connection: int | None
    carried: int
    idle_us: int | None
    fate: Fate | None
    cause: Cause
    change: int | None
    since_change_us: int | None
    evidence: str  #: fit to be shown

    @property
    def status(self) -> int:
        """The status that it was answered with, where that was the failure; else 0."""
        found = _STATUS.fullmatch(self.failure)
        return int(found[1]) if found is not None else 0

    @property
    def answered(self) -> bool:
        """Whether its client had a right answer: it was carried out again all the same."""
        return self.fate is not None and self.fate.answered


@attrs.frozen
class Among:
    """A loss, and how many others there are."""

    loss: KnownLoss
    losses: int
    of_its_cause: int


def read_loss(path: Path, number: int) -> Among:
    """Return the loss with this number, from 1; raises `UsageError` with the file where there is none."""
    name = printable(str(path))
    row: LossRow | None = None
    total, causes = 0, dict.fromkeys(_CAUSES, 0)
    for each in read_losses(path):
        total += 1
        if each.cause in causes:
            causes[each.cause] += 1
        if each.number == number:
            row = each
    if row is None:
        there = "is none" if not total else "is one" if total == 1 else f"are {total}"
        msg = f"--loss {number}: {name} has no such row, there {there}"
        raise UsageError(msg)
    return Among(known(row, f"{name}: loss {number}"), total, causes[row.cause])


def known(row: LossRow, what: str) -> KnownLoss:
    """Return a row of which every word is known; raises `UsageError`, which begins with `what`."""
    words = {
        "cause": (row.cause, row.cause in _CAUSES),
        "fate": (row.fate, not row.fate or row.fate in _FATES),
        "failure": (row.failure, row.failure in _FAILURES or _STATUS.fullmatch(row.failure)),
        "kind": (row.kind, _KIND.fullmatch(row.kind)),
        "client and request": (f"{row.client}-{row.request}", row.key),
    }
    for column, (text, is_known) in words.items():
        if not is_known:
            msg = f"{what}: {column}: '{printable(text, 40)}' is none that is known"
            raise UsageError(msg)
    assert row.key is not None  # noqa: S101
    return KnownLoss(
        number=row.number,
        ended_us=row.time_us,
        client=_NUMBER.of(f"{what}: client", row.key[0]),
        kind=row.kind,
        request=row.key[1],
        failure=row.failure,
        front_port=None if row.front_port is None else PORT.of(f"{what}: front port", row.front_port),
        connection=row.connection,
        carried=row.carried or 0,
        idle_us=row.rested_us,
        fate=_FATES[row.fate] if row.fate else None,
        cause=_CAUSES[row.cause],
        change=row.change,
        since_change_us=row.since_change_us,
        evidence=row.evidence,
    )
