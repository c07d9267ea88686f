"""One loss as a sequence in time, between client, proxy and backend."""

from collections.abc import Iterator
from enum import Enum

import attrs

from proxyreload.explanation.passages import Passage, RequestRow
from proxyreload.explanation.quantity import lasted
from proxyreload.explanation.visits import Visits, visits_of
from proxyreload.history import failures
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate
from proxyreload.record.lossrows import LossRow
from proxyreload.record.rundata import Change

#: A rest from here on is one.
_WORTH_SAYING_US = 1000


class Lane(Enum):
    """Who does something, and to whom."""

    CLIENT = "client"
    PROXY = "proxy"
    BACKEND = "backend"
    NOWHERE = "nowhere"  #: between proxy and backend, where it ends
    ASKED = "client to proxy"
    TOLD = "proxy to client"
    PASSED = "proxy to backend"


@attrs.frozen
class Moment:
    """Something that happened."""

    at_us: int  #: since the clients' start; of what has no time of its own: when it comes in the sequence
    lane: Lane
    text: str
    timed: bool = True


@attrs.frozen
class Case:
    """One loss, and all that is known around it."""

    loss: LossRow
    passage: Passage | None  #: None: ``data.csv`` has no such request
    change: Change | None  #: that it is charged to
    away_us: int = 0  #: how long a request is on its way to the proxy

    @property
    def sent_us(self) -> int | None:
        """When it was sent, None if it never was, or nobody knows."""
        if self.passage is not None:
            return self.passage.row.written_us
        since_us = self.loss.since_change_us
        if self.change is None or since_us is None or self.loss.failure in _NOT_SENT or not self.loss.failed:
            return None
        return self.change.requested_us + since_us

    @property
    def zero_us(self) -> int:
        """From where times are counted: the request of the change; without one, when it was sent or known."""
        if self.change is not None:
            return self.change.requested_us
        return self.loss.time_us if self.sent_us is None else self.sent_us

    @property
    def over(self) -> str:
        """Its connection in words."""
        told = self.loss
        front_port, number = told.front_port, told.connection
        if self.passage is not None and not told.failed:  # it had its answer before this was known
            front_port, number = self.passage.row.front_port, self.passage.row.connection
        port = f"port {front_port}" if front_port else ""
        if number is None:
            return port and f"a connection from {port}"
        return f"connection {number}" + (f", {port}" if port else "")


#: The client never had a connection to send over.
_NOT_SENT = (failures.REFUSED, failures.CONNECT_TIMEOUT, failures.CONNECT_ERROR, failures.OWN_LIMIT)
_FIN = (failures.CLOSED_FRESH, failures.CLOSED_REUSED, failures.TRUNCATED)
_RST = (failures.RESET_FRESH, failures.RESET_REUSED, failures.RESET_MID_RESPONSE)
_BROKEN_OFF = (failures.TRUNCATED, failures.RESET_MID_RESPONSE)
#: Whose connection is as old as the story.
_OLD = (Cause.STALE_GENERATION.value, Cause.OLD_PROCESS_KILLED.value)


def moments(case: Case, *, full: bool = False) -> list[Moment]:
    """Return the sequence in the order of time; `full`: with what is no part of the cause, too."""
    seen = visits_of(case.loss.evidence)
    told = [
        *_of_change(case, seen, full=full),
        *_of_connection(case, full=full),
        *_of_proxy(case, seen, full=full),
        *_of_request(case, seen),
    ]
    return sorted(told, key=lambda moment: moment.at_us)


def _of_change(case: Case, seen: Visits, *, full: bool) -> Iterator[Moment]:
    change = case.change
    if change is None:
        return
    named = f"change {change.number}"
    yield Moment(change.requested_us, Lane.PROXY, f"{named}, {change.what}, is requested")
    if change.applied_us is not None and change.applied_us <= case.loss.time_us:
        yield Moment(change.applied_us, Lane.PROXY, f"{named} is applied")
    if seen.held and (full or case.loss.cause in _OLD):
        at_us = change.requested_us if change.applied_us is None else min(change.applied_us, case.loss.time_us)
        yield Moment(at_us, Lane.PROXY, seen.held, timed=False)


def _of_connection(case: Case, *, full: bool) -> Iterator[Moment]:
    """Tell of it before it had the request."""
    loss, passage, sent_us = case.loss, case.passage, case.sent_us
    if passage is None:
        if sent_us is not None and loss.rested_us:
            yield Moment(sent_us - loss.rested_us, Lane.CLIENT, "the connection rests from here on")
        return
    first = passage.first
    if first is None:
        opened_us, took_us = passage.row.opened_us, passage.row.connect_us
        if opened_us is not None and took_us is not None and passage.row.connection is not None:
            yield Moment(opened_us, Lane.ASKED, f"connection opened, within {lasted(took_us)}")
    elif first.opened_us is not None and (full or loss.cause in _OLD):
        yield Moment(first.opened_us, Lane.ASKED, "connection opened")
    if passage.before:
        last = passage.before[-1]
        by = f" by backend {last.instance}" if last.instance else ""
        yield Moment(last.time_us, Lane.TOLD, f"request {last.number} answered{by}")


def _of_proxy(case: Case, seen: Visits, *, full: bool) -> Iterator[Moment]:
    """Tell what it said itself, the nearest line where not all is told."""
    told = seen.said if full else sorted(seen.said, key=lambda each: abs(each[1]))[:1]
    for text, after_us in told:
        yield Moment(max(0, case.loss.time_us + after_us), Lane.PROXY, f"proxy says: {text}")


def _of_request(case: Case, seen: Visits) -> Iterator[Moment]:
    loss, sent_us = case.loss, case.sent_us
    for text, gone_us in seen.gone:
        yield Moment(max(0, loss.time_us - gone_us), Lane.BACKEND, text)
    if sent_us is not None:
        yield Moment(sent_us, Lane.ASKED, _sending(case))
    yield from _at_backends(case, seen)
    if loss.fate == Fate.ANSWERED_TWICE.value and case.passage is not None:
        row = case.passage.row
        yield Moment(row.time_us, Lane.TOLD, f"answer of backend {row.instance}: the client sees nothing odd")
    elif loss.fate == Fate.NEVER_SENT.value:
        yield Moment(loss.time_us, Lane.PASSED, f"request {loss.request} comes to a backend")
    elif loss.failure in failures.RACES and case.away_us and sent_us is not None and seen.none:
        # At the latest: what a client far away hears has been on its way for as long at least.
        yield Moment(loss.time_us - case.away_us, Lane.PROXY, "the proxy has closed the connection")
        yield from _of_kernel(seen, loss.time_us)
        yield Moment(loss.time_us, Lane.TOLD, _ending(case))
    elif not seen.again:
        yield from _of_kernel(seen, loss.time_us)
        yield from _end(case)
    if seen.none and sent_us is not None:
        # In a race it is what came of it; of what the proxy had it is what the proxy made of it.
        at_us = loss.time_us if loss.failure in failures.RACES else min(loss.time_us, sent_us + case.away_us)
        yield Moment(at_us, Lane.NOWHERE, "no backend received it", timed=False)


def _of_kernel(seen: Visits, at_us: int) -> Iterator[Moment]:
    if seen.kernel:
        yield Moment(at_us, Lane.PROXY, seen.kernel, timed=False)


def _at_backends(case: Case, seen: Visits) -> Iterator[Moment]:
    """Tell of those that had it; when is not known, but it was between its being sent and its end."""
    loss, sent_us = case.loss, case.sent_us
    for text in seen.told:
        at_us = loss.time_us if sent_us is None else min(loss.time_us, sent_us + case.away_us)
        yield Moment(at_us, Lane.PASSED, text, timed=False)
    if seen.again:
        yield Moment(loss.time_us, Lane.PASSED, f"carried out again, at {seen.again}")


def _sending(case: Case) -> str:
    text, rested_us = f"request {case.loss.request} sent", case.loss.rested_us or 0
    if rested_us >= _WORTH_SAYING_US:
        text += f" after {lasted(rested_us)} of rest"
    return text + (f", {lasted(case.away_us)} on its way" if case.away_us else "")


def _end(case: Case) -> Iterator[Moment]:
    """Tell what the client saw in place of its answer."""
    loss, row = case.loss, case.passage.row if case.passage is not None else None
    if row is not None and row.first_byte_us is not None and not failures.is_refusal(loss.failure):
        whose = f" of backend {row.instance}" if row.instance else ""
        yield Moment(row.first_byte_us, Lane.TOLD, f"an answer{whose} begins")
    lane = Lane.CLIENT if loss.failure in (*_WAITED, failures.OWN_LIMIT, failures.ABORTED) else Lane.TOLD
    yield Moment(loss.time_us, lane, _ending(case))


_WAITED = (failures.TIMEOUT, failures.CONNECT_TIMEOUT)


def _ending(case: Case) -> str:
    loss, row, sent_us = case.loss, case.passage.row if case.passage is not None else None, case.sent_us
    after = "" if sent_us is None else f", {lasted(loss.time_us - sent_us)} after sending"
    if loss.failure in (*_FIN, *_RST):
        what = "FIN" if loss.failure in _FIN else "RST"
        if loss.failure in _BROKEN_OFF:
            return f"{what} within the answer{after}"
        if loss.cause == Cause.KEEP_ALIVE_RACE.value:
            return f"{what} from the proxy{after}"
        return f"{what} in place of an answer{after}"
    if failures.is_refusal(loss.failure):
        who = f"backend {row.instance} answers" if row is not None and row.instance else "the proxy itself answers"
        return f"{who} {loss.failure.removeprefix('status ')}{after}"
    if loss.failure in _WAITED:
        return f"gives up{after}" if after else "gives up: no connection"
    return _as_told(loss, row) + after


def _as_told(loss: LossRow, row: RequestRow | None) -> str:
    """Return the failure, and what data.csv quotes of it."""
    if loss.failure == failures.REFUSED:
        return "no connection: refused, nobody listens"
    if row is not None and row.status.startswith(loss.failure) and loss.failure:
        return row.status
    return loss.failure or "its client saw no failure"
