"""TCP connections, as the rows show them: the clients' to the proxy, the proxy's to the backends."""

import attrs
import numpy as np
from numpy.typing import NDArray

from proxyreload.history.events import CLOSE_FRAME, GOAWAY, RESET
from proxyreload.history.failures import TRAILERS_LOST, WRONG_BODY, is_refusal
from proxyreload.report.batches import UNKNOWN, Integers
from proxyreload.report.rowfile import Flags, Rows
from proxyreload.report.story import Story

#: How a front connection ended; ``closed`` where the rows do not say whether that was announced.
ANNOUNCED, IDLE, CUT, CLOSED, OPEN = "announced", "idle", "cut", "closed", "open"
ENDINGS = (ANNOUNCED, IDLE, CUT, CLOSED, OPEN, GOAWAY, CLOSE_FRAME, RESET)

#: After a rest of so much of the run another stretch begins; the first share that makes few enough.
_REST_SHARES = (1 / 400, 1 / 200, 1 / 50, 1 / 10, 1)
#: And if it is so many times as long as usual, or such a part of the run that it cannot be overlooked.
_RESTS, _SEEN_SHARE = 8, 1 / 50

_PORTS = 1 << 16


@attrs.frozen(eq=False)
class FrontConnections:
    """The clients' connections, by client and time; ``first`` and ``last`` are indices into ``order``."""

    order: Integers  #: rows, connection by connection
    first: Integers
    last: Integers
    client: Integers
    number: Integers
    port: Integers
    opened_us: Integers
    ended_us: Integers
    ending: NDArray[np.int8]  #: index into `ENDINGS`

    def __len__(self) -> int:
        return len(self.first)

    @property
    def requests(self) -> Integers:
        """How many each carried."""
        return self.last - self.first + 1

    @property
    def broke_off(self) -> Flags:
        """Which ended with a request under way."""
        return np.isin(self.ending, (ENDINGS.index(CUT), ENDINGS.index(RESET)))

    def ends(self, chosen: Flags) -> dict[str, int]:
        """Return how many of these ended in each way, of those in which one did."""
        counts = np.bincount(self.ending[chosen], minlength=len(ENDINGS))
        return {name: int(number) for name, number in zip(ENDINGS, counts, strict=True) if number}


@attrs.frozen(eq=False)
class Segments:
    """Stretches of connections over which one backend answered."""

    connection: Integers  #: index of the connection
    instance: Integers
    begin_us: Integers
    end_us: Integers
    alone: Flags  #: no other backend answered over this connection


@attrs.frozen(eq=False)
class BackConnections:
    """The proxy's connections to the backends, by backend and time."""

    instance: Integers
    port: Integers
    first_us: Integers
    last_us: Integers
    answers: Integers
    probe_only: Flags
    changed: Flags  #: counted in ``back changed``


def front_connections(story: Story) -> FrontConnections:
    """Tell the clients' connections and how each ended."""
    rows = story.rows
    order = np.flatnonzero(rows.connection != UNKNOWN)
    order = order[np.lexsort((rows.connection[order], rows.client[order]))]
    client, connection = rows.client[order], rows.connection[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (client[1:] != client[:-1]) | (connection[1:] != connection[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(order)) - 1 if len(first) else first
    ending = _endings(rows, client[first], order[last])
    closed_us = _closed_us(story, client[first], connection[first])
    # Rows tell of a connection that rested no more than that another one followed.
    rested = (closed_us != UNKNOWN) & ((ending == ENDINGS.index(IDLE)) | (ending == ENDINGS.index(OPEN)))
    ending[rested] = ENDINGS.index(IDLE)
    told_us = _tell_protocols(story, client[first], connection[first], ending)
    rested &= told_us == UNKNOWN
    is_open = ending == ENDINGS.index(OPEN)
    begun = order[first]
    asked_us = np.where(rows.written_us[begun] == UNKNOWN, rows.time_us[begun], rows.written_us[begun])
    return FrontConnections(
        order=order,
        first=first,
        last=last,
        client=client[first],
        number=connection[first],
        port=rows.front_port[begun],
        opened_us=np.minimum(asked_us, rows.time_us[begun]),
        ended_us=np.maximum(
            told_us, np.where(rested, closed_us, np.where(is_open, story.duration_us, rows.time_us[order[last]]))
        ),
        ending=ending,
    )


def _closed_us(story: Story, client: Integers, number: Integers) -> Integers:
    """Return when connections were closed while they rested, as far as that was recorded; else `UNKNOWN`."""
    known = story.record.closed_idle if story.record is not None else {}
    return np.array([known.get(each, UNKNOWN) for each in zip(client.tolist(), number.tolist(), strict=True)], np.int64)


def _tell_protocols(story: Story, client: Integers, number: Integers, ending: NDArray[np.int8]) -> Integers:
    """Put right how connections ended of which more is recorded than rows tell; returns when, or `UNKNOWN`."""
    told_us = np.full(len(client), UNKNOWN, np.int64)
    known = story.record.closed_by if story.record is not None else {}
    if known:
        for place, which in enumerate(zip(client.tolist(), number.tolist(), strict=True)):
            if which in known:
                told_us[place], how = known[which]
                ending[place] = ENDINGS.index(how)
    return told_us


def _endings(rows: Rows, client: Integers, last_row: Integers) -> NDArray[np.int8]:
    """Tell how connections ended from each one's last row, and from whether its client opened another."""
    followed = np.zeros(len(client), np.bool_)
    followed[:-1] = client[1:] == client[:-1]
    cutting = np.array([bool(name) and not _whole_answer(name) for name in rows.failures], np.bool_)
    reset = np.array([name.startswith(RESET) for name in rows.failures], np.bool_)[rows.failure[last_row]]
    announced, cut = rows.announced[last_row], cutting[rows.failure[last_row]]
    otherwise = np.where(followed, ENDINGS.index(IDLE if rows.detailed else CLOSED), ENDINGS.index(OPEN))
    broken = np.where(reset, ENDINGS.index(RESET), ENDINGS.index(CUT))
    ending = np.where(announced, ENDINGS.index(ANNOUNCED), np.where(cut, broken, otherwise))
    return ending.astype(np.int8)


def _whole_answer(failure: str) -> bool:
    """Return whether a failure leaves its connection open."""
    return is_refusal(failure) or failure in (WRONG_BODY, TRAILERS_LOST)


def segments(story: Story, front: FrontConnections, chosen: Integers, most: int) -> Segments:
    """Return over which stretches of these connections which backend answered; so many at most."""
    rows = story.rows
    mine = np.zeros(len(front), np.bool_)
    mine[chosen] = True
    answered = (rows.instance[front.order] > 0) & np.repeat(mine, front.requests)
    of = np.repeat(np.arange(len(front)), front.requests)[answered]
    row = front.order[answered]
    order = np.lexsort((rows.time_us[row], rows.instance[row], of))
    of, row = of[order], row[order]
    instance, time_us = rows.instance[row], rows.time_us[row]
    other = np.ones(len(of), np.bool_)
    other[1:] = (of[1:] != of[:-1]) | (instance[1:] != instance[:-1])
    began_us = np.where(rows.written_us[row] == UNKNOWN, time_us, rows.written_us[row])
    first = _first(story, other, began_us - np.append(0, time_us[:-1]), most)
    last = np.append(first[1:], len(of)) - 1 if len(first) else first
    stretches = np.bincount(of[other], minlength=len(front))
    shown = slice(0, most)
    return Segments(
        of[first][shown],
        instance[first][shown],
        began_us[first][shown],
        time_us[last][shown],
        stretches[of[first]][shown] == 1,
    )


def _first(story: Story, other: Flags, rests_us: Integers, most: int) -> Integers:
    """Return where stretches begin: with each exchange, or if they are too many, after rests that can be seen."""
    if len(other) <= most:
        return np.arange(len(other))
    typical_us = float(np.median(rests_us[~other])) if not other.all() else 0.0
    usual_us = min(_RESTS * typical_us, story.duration_us * _SEEN_SHARE)
    first = np.flatnonzero(other)
    for share in _REST_SHARES:
        first = np.flatnonzero(other | (rests_us > max(story.duration_us * share, usual_us)))
        if len(first) <= most:
            break
    return first


def back_connections(story: Story) -> BackConnections:
    """Tell the proxy's connections to the backends, and which of them count in ``back changed``."""
    rows = story.rows
    answers = np.flatnonzero((rows.back_port > 0) & (rows.instance > 0))
    key = rows.instance[answers].astype(np.int64) * _PORTS + rows.back_port[answers]
    keys, earliest, group = np.unique(key, return_index=True, return_inverse=True)
    first_row = answers[earliest]
    times, size = rows.time_us[answers], len(keys)
    first_us = np.full(size, np.iinfo(np.int64).max)
    last_us = np.zeros(size, np.int64)
    np.minimum.at(first_us, group, times)
    np.maximum.at(last_us, group, times)
    probes = rows.client[answers] == story.probe
    count, by_probe = np.bincount(group, minlength=size), np.bincount(group[probes], minlength=size)
    _clients, first_answer = np.unique(rows.client[answers], return_index=True)
    changed = ~np.isin(earliest, first_answer) & story.plain(rows.client[first_row])
    order = np.lexsort((first_us, keys // _PORTS))
    return BackConnections(
        instance=(keys // _PORTS)[order],
        port=(keys % _PORTS)[order],
        first_us=first_us[order],
        last_us=last_us[order],
        answers=count[order],
        probe_only=(count == by_probe)[order],
        changed=changed[order],
    )


def front_changed(story: Story, front: FrontConnections) -> int:
    """Count again how often a client went over another connection than before."""
    clients = front.client[story.plain(front.client)]
    return len(clients) - len(np.unique(clients))
