"""The files that a story is told from."""

from pathlib import Path

import attrs

from proxyreload.errors import UsageError
from proxyreload.record.paths import beside, is_comparison
from proxyreload.record.rundata import Record, Sent, read_record
from proxyreload.system.untrusted import printable


@attrs.frozen
class Sources:
    """A run that has ended, and where its rows are."""

    record: Record
    losses: Path
    rows: Path | None  #: None: they are nowhere, and what they tell is left out

    @property
    def named(self) -> str:
        """The file of the losses, as it can be shown."""
        return printable(str(self.losses))

    def sent(self, client: int | None) -> Sent | None:
        """Return the group of clients that one belongs to: they are numbered in the order of the groups."""
        first = 0
        for sent in self.record.traffic:
            first += sent.clients
            if client is not None and client < first:
                return sent
        return None


def find_sources(path: Path) -> Sources:
    """Return a run's files by its ``run.json``; raises `UsageError` where that is none, or has no losses."""
    if is_comparison(path):
        msg = f"{path} is a comparison: name the run.json of one of its runs"
        raise UsageError(msg)
    record = read_record(path)
    if not record.losses:
        msg = f"{path} names no file of losses: it was written by an earlier proxyreload, run it again"
        raise UsageError(msg)
    losses = beside(path, Path(record.losses))
    if losses is None:
        msg = f"{path}: its losses, {printable(record.losses)!r}, are not beside it"
        raise UsageError(msg)
    return Sources(record, losses, beside(path, Path(record.csv or "data.csv")))
