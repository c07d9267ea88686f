"""The rows of ``losses.csv``."""

from collections.abc import Iterator
from pathlib import Path

import attrs

from proxyreload.history.failures import TURNED_AWAY
from proxyreload.record.csvlines import LARGEST, Cells, read_rows_of
from proxyreload.record.lossfile import CARRIED_OUT_TWICE, COLUMNS
from proxyreload.system.untrusted import WORDS_LIMIT, of_cell, printable

#: What is short where it is not made up.
_NAME_LIMIT = 60


@attrs.frozen
class LossRow:
    """One request that was lost, or carried out other than once; times in µs, None or empty where it is not known."""

    number: int  #: of the row, from 1
    time_us: int  #: since the clients' start
    client: int | None
    kind: str
    request: str
    failure: str
    front_port: int | None
    connection: int | None
    carried: int | None
    rested_us: int | None
    fate: str
    generation: str
    cause: str
    change: int | None
    since_change_us: int | None  #: from the change's request to when it was sent, or carried out again
    evidence: str

    @property
    def failed(self) -> bool:
        """Whether its client saw a failure."""
        return bool(self.failure) and self.failure != CARRIED_OUT_TWICE

    @property
    def lost(self) -> bool:
        """Whether it was lost, as its client saw it, and not turned away."""
        return self.failed and self.failure != TURNED_AWAY

    @property
    def key(self) -> tuple[int, int] | None:
        """Whose request it is, and its number: by which it is found in ``data.csv``."""
        if self.client is None or not (self.request.isdecimal() and self.request.isascii()):
            return None
        return self.client, int(self.request)


def read_losses(path: Path) -> Iterator[LossRow]:
    """Yield the rows; raises `UsageError` with file and line for one that is none."""
    for number, cells in enumerate(read_rows_of(path, COLUMNS), 1):
        yield _loss(number, cells)


def _loss(number: int, cells: Cells) -> LossRow:
    def told(name: str, limit: int = _NAME_LIMIT) -> str:
        return printable(of_cell(cells.text(name)), limit)

    return LossRow(
        number=number,
        time_us=cells.number("time"),
        client=cells.number_or_none("client"),
        kind=told("kind"),
        request=told("request"),
        failure=told("failure"),
        front_port=cells.number_or_none("front port"),
        connection=cells.number_or_none("connection"),
        carried=cells.number_or_none("carried"),
        rested_us=cells.number_or_none("idle us"),
        fate=told("fate"),
        generation=told("generation"),
        cause=told("cause") or "unknown",
        change=cells.number_or_none("change"),
        since_change_us=cells.number_or_none("since change us", -LARGEST),
        evidence=told("evidence", WORDS_LIMIT),
    )
