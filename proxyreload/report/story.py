"""One run to be told: its rows, and its record if there is one."""

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np

from proxyreload.explanation.screen import Told
from proxyreload.explanation.sources import Sources
from proxyreload.explanation.telling import tell
from proxyreload.record.paths import RunPaths, beside
from proxyreload.record.rundata import Change, Record, read_record
from proxyreload.report.batches import Integers
from proxyreload.report.rowfile import Flags, Rows, read_rows
from proxyreload.system.untrusted import printable


@attrs.frozen(eq=False)
class Story:
    """A run, as far as it was recorded."""

    name: str  #: of its file
    rows: Rows
    record: Record | None
    told: Told | None = None  #: of its losses, where there is a file of them
    file_of_losses: Path | None = None

    @property
    def title(self) -> str:
        """What ran."""
        return self.record.title if self.record else self.name

    @property
    def changes(self) -> Sequence[Change]:
        """The changes, in the order of their times."""
        return self.record.changes if self.record else ()

    @property
    def duration_us(self) -> int:
        """How long the clients sent; at least until the last row."""
        last_us = int(self.rows.time_us.max()) if len(self.rows) else 0
        return max(1, last_us, self.record.duration_us if self.record else 0)

    @property
    def probe(self) -> int:
        """The client that connects anew for each request, the highest; -1 if there is none."""
        rows = self.rows
        if not len(rows) or not rows.detailed:
            return -1
        highest = int(rows.client.max())
        if self.record is not None and self.record.traffic:
            first = sum(sent.clients for sent in self.record.traffic if not sent.probe)
            return first if any(sent.probe for sent in self.record.traffic) else -1
        if self.record is not None and isinstance(clients := self.record.options.get("clients"), int):
            return highest if highest == clients else -1
        carried: Integers = rows.carried[rows.client == highest]
        return highest if len(carried) > 1 and not carried.any() and highest > 0 else -1

    def plain(self, client: Integers) -> Flags:
        """Return which of these clients were asked for by number: latencies and changed connections are theirs.

        Where that is not recorded: all but the probe.
        """
        ours: Flags = client != self.probe
        if self.record is not None and self.record.traffic:
            ours &= client < self.record.traffic[0].clients
        return ours

    def aimed(self, kind: Integers) -> Flags:
        """Return which of these kinds, by their places in the rows, send when connections are being closed."""
        known = self.record.kinds if self.record is not None else {}
        aimed = [name in known and known[name].aimed for name in self.rows.kinds]
        return np.array(aimed, np.bool_)[kind]

    def change_before(self, time_us: Integers) -> Integers:
        """Return, for each time, the index of the latest change requested before; -1 before the first."""
        requested = np.array([change.requested_us for change in self.changes], np.int64)
        return np.searchsorted(requested, time_us, side="right").astype(np.int64) - 1


def read_story(paths: RunPaths) -> Story:
    """Read a run's files; raises `UsageError` where they are not what they should be."""
    record = None if paths.run is None else read_record(paths.run)
    losses = beside(paths.run, Path(record.losses)) if paths.run is not None and record and record.losses else None
    told = None if record is None or losses is None else tell(Sources(record, losses, paths.rows))
    return Story(printable(str(paths.named)), read_rows(paths.rows), record, told, losses)
