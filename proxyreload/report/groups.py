"""Who sent what: the clients of a run in groups of one kind of traffic, as far away."""

from collections.abc import Sequence

import attrs
import numpy as np

from proxyreload.report.batches import Integers
from proxyreload.report.curves import latency_us
from proxyreload.report.story import Story
from proxyreload.traffic.identity import PROBE_KIND

#: Requests of aimed clients are of one volley, if no more than so much lies between two, and the quarter of what
#: usually does.
_APART_AT_MOST_US = 5_000
_SHARE_OF_USUAL = 0.25
#: And if they are so many at least, and such a part of the clients: what comes together by chance are fewer.
_VOLLEY_AT_LEAST, _VOLLEY_SHARE = 5, 0.2


@attrs.frozen
class Group:
    """Clients of one kind that have consecutive numbers."""

    kind: str
    first: int  #: client
    clients: int
    rtt_ms: float = 0.0  #: how far away they are, there and back
    probe: bool = False
    aimed: bool = False  #: they send when connections are being closed

    @property
    def title(self) -> str:
        """What it is called."""
        away = f", {self.rtt_ms:g} ms away" if self.rtt_ms else ""
        return f"{self.kind or 'clients'}{away}{', the probe' if self.probe else ''}"

    @property
    def fresh(self) -> bool:
        """Whether each request has a connection of its own, which its client closes."""
        return self.probe or self.kind == PROBE_KIND

    def has(self, client: Integers) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Return which of these clients are among its."""
        return (client >= self.first) & (client < self.first + self.clients)


@attrs.frozen
class Volley:
    """Requests that aimed clients sent at once."""

    at_us: int
    sent: int
    lost: int


@attrs.frozen
class GroupFigures:
    """What the rows say of a group; latencies are of its successes, None if there are none."""

    exchanges: int
    failures: int
    p50_us: int | None
    p99_us: int | None


def groups(story: Story) -> Sequence[Group]:
    """Return the groups in the order of their clients: as recorded, or else as the rows tell them by their kinds."""
    rows, record = story.rows, story.record
    last = int(rows.client.max()) if len(rows) else -1
    told: list[Group] = []
    if record is not None:
        first = 0
        for sent in record.traffic:
            aimed = bool((kind := record.kinds.get(sent.kind)) and kind.aimed)
            told.append(Group(sent.kind, first, sent.clients, sent.rtt_ms, sent.probe, aimed))
            first += sent.clients
        if told and first > last:
            return told
    return _by_kind(story)


def _by_kind(story: Story) -> list[Group]:
    """Return a group for each run of clients whose first requests are of the same kind, and one of the probe."""
    rows = story.rows
    clients, begins = np.unique(rows.client, return_index=True)
    told: list[Group] = []
    for client, kind in zip(clients.tolist(), rows.kind[begins].tolist(), strict=True):
        probe = client == story.probe
        if told and not probe and told[-1].kind == rows.kinds[kind]:
            told[-1] = attrs.evolve(told[-1], clients=client - told[-1].first + 1)
        else:
            told.append(Group(rows.kinds[kind], client, 1, probe=probe))
    return told


def several(told: Sequence[Group]) -> bool:
    """Whether there is more than one group beside the probe."""
    return sum(not group.probe for group in told) > 1


def figures_of(story: Story, group: Group) -> GroupFigures:
    """Return what the rows say of a group."""
    rows = story.rows
    mine = group.has(rows.client)
    failed = rows.failure[mine] > 0
    taken = np.sort(latency_us(story)[mine][~failed & (rows.due_us[mine] >= 0)])
    p50, p99 = (
        (None, None) if not len(taken) else (int(taken[int(np.ceil(len(taken) * share)) - 1]) for share in (0.5, 0.99))
    )
    return GroupFigures(int(mine.sum()), int(failed.sum()), p50, p99)


def volleys(story: Story, group: Group) -> list[Volley]:
    """Return when an aimed group's clients sent together; their first requests, all at the start, are none."""
    rows = story.rows
    sent = np.flatnonzero(group.has(rows.client) & (rows.written_us >= 0) & (rows.carried > 0))
    if not group.aimed or not len(sent):
        return []
    sent = sent[np.argsort(rows.written_us[sent], kind="stable")]
    at_us = rows.written_us[sent]
    apart_us = min(_APART_AT_MOST_US, _SHARE_OF_USUAL * story.duration_us / len(sent))
    least = max(_VOLLEY_AT_LEAST, _VOLLEY_SHARE * group.clients)
    begins = np.flatnonzero(np.diff(at_us, prepend=-_APART_AT_MOST_US * 2) > apart_us)
    ends = np.append(begins[1:], len(sent))
    return [
        Volley(int(at_us[begin]), int(end - begin), int((rows.failure[sent[begin:end]] > 0).sum()))
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        if end - begin >= least
    ]
