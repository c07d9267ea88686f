"""The failures of a run, for a table and as marks."""

from collections.abc import Sequence

import attrs
import numpy as np

from proxyreload.ledger.fatewords import fate_words
from proxyreload.record.lossrows import LossRow, read_losses
from proxyreload.report.batches import OTHER, UNKNOWN, Integers
from proxyreload.report.story import Story

#: Classes with a row of their own in the picture; the rarer ones share the last.
CLASSES_AT_MOST = 10
OTHERS = "other classes"


@attrs.frozen
class Loss:
    """One failed exchange."""

    time_us: int
    since_us: int | None  #: since the latest change's request; none before the first
    change: int  #: its number, 0 before the first
    client: int
    probe: bool
    kind: str  #: of traffic
    aimed: bool  #: at the closing of connections
    age_us: int | None  #: of the connection
    carried: int | None  #: requests that the connection had carried before
    failure: str
    instance: str
    front_port: int
    back_port: int
    status: str
    fate: str = ""  #: in words; empty where it is not known
    cause: str = ""
    generation: str = ""

    @property
    def named(self) -> str:
        """Its class; what was aimed stands apart."""
        return _named(self.failure, aimed=self.aimed)


def failed(story: Story) -> Integers:
    """Return the rows that failed, by time."""
    rows = np.flatnonzero(story.rows.failure)
    return rows[np.argsort(story.rows.time_us[rows], kind="stable")]


def classes(story: Story) -> list[tuple[str, int]]:
    """Return the classes of failures and how many there were, the most frequent first; what was aimed stands apart."""
    rows = story.rows
    aimed = story.aimed(rows.kind)
    found = []
    for which in (False, True):
        counts = np.bincount(rows.failure[aimed == which], minlength=len(rows.failures))
        found += [
            (_named(rows.failures[index], aimed=which), int(counts[index])) for index in np.flatnonzero(counts[1:]) + 1
        ]
    return sorted(found, key=lambda item: (-item[1], item[0]))


def _named(failure: str, *, aimed: bool) -> str:
    return f"{failure} (aimed)" if aimed else failure


def losses(story: Story, chosen: Integers) -> list[Loss]:
    """Return these rows as failures."""
    rows, probe = story.rows, story.probe
    change = story.change_before(rows.time_us[chosen])
    aimed = story.aimed(rows.kind[chosen])
    opened_us = _opened(story, chosen)
    return [
        Loss(
            time_us=int(rows.time_us[row]),
            since_us=int(rows.time_us[row]) - story.changes[index].requested_us if index >= 0 else None,
            change=story.changes[index].number if index >= 0 else 0,
            client=int(rows.client[row]),
            probe=bool(rows.client[row] == probe),
            kind=rows.kinds[rows.kind[row]],
            aimed=bool(at_closing),
            age_us=None if begun_us == UNKNOWN else max(0, int(rows.time_us[row] - begun_us)),
            carried=None if rows.carried[row] == UNKNOWN else int(rows.carried[row]),
            failure=rows.failures[rows.failure[row]],
            instance=rows.instances[rows.instance[row]],
            front_port=max(0, int(rows.front_port[row])),
            back_port=max(0, int(rows.back_port[row])),
            status=_status(story, int(row)),
        )
        for row, index, at_closing, begun_us in zip(chosen, change, aimed, opened_us, strict=True)
    ]


def explained(story: Story, shown: Sequence[Loss]) -> list[Loss]:
    """Return them with what the file of losses says of each; raises `UsageError` where that is broken."""
    if story.file_of_losses is None:
        return list(shown)
    wanted = {(loss.client, loss.time_us) for loss in shown}
    known = {
        (row.client, row.time_us): row
        for row in read_losses(story.file_of_losses)
        if row.failed and (row.client, row.time_us) in wanted
    }
    return [_explained(loss, known.get((loss.client, loss.time_us))) for loss in shown]


def _explained(loss: Loss, row: LossRow | None) -> Loss:
    if row is None:
        return loss
    return attrs.evolve(
        loss, fate=fate_words(row.fate).one if row.fate else "", cause=row.cause, generation=row.generation
    )


def thinned(rows: Integers, most: int) -> Integers:
    """Return at most so many of `rows`, evenly spread."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _status(story: Story, row: int) -> str:
    rows = story.rows
    status = rows.statuses[int(rows.status[row])]
    return rows.failures[int(rows.failure[row])] if status == OTHER else status


def _opened(story: Story, chosen: Integers) -> Sequence[int]:
    """Return when the connections of these rows carried their first request, in µs; `UNKNOWN` without one."""
    rows = story.rows
    used = np.flatnonzero(rows.connection != UNKNOWN)
    if not len(used):
        return [UNKNOWN] * len(chosen)
    span = int(rows.connection.max()) + 1
    key = rows.client.astype(np.int64) * span + rows.connection
    # Only the connections that failed matter: few, of many rows.
    wanted = np.unique(key[chosen][rows.connection[chosen] != UNKNOWN])
    mine = used[np.isin(key[used], wanted)]
    keys, first = np.unique(key[mine], return_index=True)
    first_row = mine[first]
    asked_us = np.where(rows.written_us[first_row] == UNKNOWN, rows.time_us[first_row], rows.written_us[first_row])
    begun: dict[int, int] = dict(
        zip(keys.tolist(), np.minimum(asked_us, rows.time_us[first_row]).tolist(), strict=True)
    )
    return [begun[int(key[row])] if rows.connection[row] != UNKNOWN else UNKNOWN for row in chosen]
