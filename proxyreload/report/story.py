"""One run to be told: its rows, and its record if there is one."""

from collections.abc import Sequence

import attrs
import numpy as np

from proxyreload.report.batches import Integers
from proxyreload.report.paths import RunPaths
from proxyreload.report.rowfile import Rows, read_rows
from proxyreload.report.rundata import Change, Record, read_record
from proxyreload.system.untrusted import printable


@attrs.frozen(eq=False)
class Story:
    """A run, as far as it was recorded."""

    name: str  #: of its file
    rows: Rows
    record: Record | None

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
        if self.record is not None and isinstance(clients := self.record.options.get("clients"), int):
            return highest if highest == clients else -1
        carried: Integers = rows.carried[rows.client == highest]
        return highest if len(carried) > 1 and not carried.any() and highest > 0 else -1

    def change_before(self, time_us: Integers) -> Integers:
        """Return, for each time, the index of the latest change requested before; -1 before the first."""
        requested = np.array([change.requested_us for change in self.changes], np.int64)
        return np.searchsorted(requested, time_us, side="right").astype(np.int64) - 1


def read_story(paths: RunPaths) -> Story:
    """Read a run's files; raises `UsageError` where they are not what they should be."""
    record = None if paths.run is None else read_record(paths.run)
    return Story(printable(str(paths.named)), read_rows(paths.rows), record)
