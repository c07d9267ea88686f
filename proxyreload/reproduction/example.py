"""The one request that was lost: its bytes as they were sent, and when what happened to it."""

from collections.abc import Coroutine
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from proxyreload.client.request import KindRequest, PreparedRequest, prepare
from proxyreload.explanation.passages import read_passages
from proxyreload.explanation.sources import Sources
from proxyreload.plan.settings import Target
from proxyreload.reproduction.knownloss import KnownLoss
from proxyreload.traffic.identity import KIND_FIELD, PROBE_MARK, id_prefix
from proxyreload.traffic.registry import field_of, kind_named, values_of

#: What is kept of a request that is longer.
REQUEST_KEPT = 1 << 16


@attrs.frozen
class Times:
    """When what happened to a request, in µs since the clients started; None: nobody knows, or it never did."""

    opened_us: int | None  #: its connection
    written_us: int | None
    first_byte_us: int | None
    ended_us: int


@attrs.frozen
class Example:
    """A request that was lost."""

    loss: KnownLoss
    request_id: str
    request: bytes
    method: str
    body_bytes: int  #: of its body, or of the first piece of one that is sent in pieces
    chunked: bool
    times: Times
    whole: bool  #: whether `request` is all that was to be sent
    rtt_ms: float  #: how far away its client was, as far as that is known


def example_of(sources: Sources, loss: KnownLoss, requested_us: int) -> Example:
    """Return a loss as an example.

    `requested_us` is when the change was asked for that it is charged to. Raises `UsageError` where something is not
    what it should be.
    """
    group = sources.sent(loss.client)
    sent = group if group is not None and group.kind == loss.kind else None
    kind = kind_named(loss.kind)
    values = values_of(kind, sent.values.items() if sent is not None else ())
    end = kind.client(values)
    request_id = id_prefix(PROBE_MARK if sent is not None and sent.probe else b"", loss.client) + b"%d" % loss.request
    field = field_of(kind, values)
    fields = [*end.fields, *([(KIND_FIELD, field)] if field else [])]
    target = Target.parse(sources.record.url)
    headers = {name.decode("ascii"): [value.decode("ascii")] for name, value in fields}
    prepared = _prepared(prepare(end.method, target.url, headers={**target.fields, **headers}))
    pieces = end.pieces(request_id)
    data = KindRequest(prepared, end.body).encode(request_id)
    body = len(end.body(request_id))
    if pieces is not None:
        first = next(pieces)[1]
        data, body = data + first, len(first)
    whole = len(data) <= REQUEST_KEPT and pieces is None
    kept, told = data[:REQUEST_KEPT], request_id.decode("ascii")
    times = _times(sources, loss, requested_us)
    rtt_ms = 0.0 if group is None else group.rtt_ms
    return Example(loss, told, kept, end.method, body, pieces is not None, times, whole, rtt_ms)


def _prepared(coroutine: Coroutine[Any, Any, PreparedRequest]) -> PreparedRequest:
    """Return what treq prepares without waiting for anything."""
    done: list[PreparedRequest] = []
    Deferred.fromCoroutine(coroutine).addCallback(done.append)
    return done[0]


def _times(sources: Sources, loss: KnownLoss, requested_us: int) -> Times:
    """Return what is known of when, by the rows of the run if they are there."""
    key = loss.client, loss.request
    passage = None if sources.rows is None else read_passages(sources.rows, {key}).get(key)
    if passage is None:
        written_us = None if loss.since_change_us is None else max(0, requested_us + loss.since_change_us)
        return Times(None, written_us, None, loss.ended_us)
    row, first = passage.row, passage.first or passage.row
    return Times(first.opened_us, row.written_us, row.first_byte_us, loss.ended_us)
