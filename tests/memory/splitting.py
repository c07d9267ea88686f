"""What is made of a stream of bytes, in whatever pieces it comes."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from proxyreload.backend.http11 import BackendConnection, BackendFactory
from proxyreload.backend.log import BackendLog
from proxyreload.backend.resource import BackendResource
from proxyreload.client.pending import Pending
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Arrival, BackClosed, Ending

from .clocks import Time
from .connections import MemoryTransport, Owner, Wire

#: How a stream ends, if at all.
ENDS = ("", "closes", "resets")


def judged(owner: Owner, pending: Pending) -> tuple[Any, ...]:
    """Return what an owner has heard, and the answer as far as it goes.

    Of bytes that nobody asked for so much is quoted as had been read: that may differ.
    """
    heard = [what[:2] if what[:2] == ("closed", Ending.UNSOLICITED.value) else what for what in owner.heard]
    answer = (pending.status, pending.instance, pending.back_port, pending.echoed_id, pending.body, pending.keep_alive)
    return (*heard, answer)


def answer_made_of(pieces: Iterable[bytes], end: str = "", request_id: bytes = b"") -> tuple[Any, ...]:
    """Return what a client's connection makes of these bytes, read so; without an id, the parser has to take them."""
    owner = Owner()
    wire = Wire.open(owner, Time())
    pending = wire.send(request_id=request_id)
    wire.says(*pieces)
    if end:
        getattr(wire, end)()
    return judged(owner, pending)


@attrs.frozen
class Told:
    """What a backend has told of one request at most, and how often it told it for the first time."""

    request_id: str
    stages: frozenset[str]
    first: int


def requests_made_of(pieces: Sequence[bytes], end: str = "") -> tuple[Any, ...]:
    """Return what a backend makes of these bytes: what it tells of each request, of the connection, and answers.

    When it has read the head of a request but not its end it tells so at once: how often depends on the pieces, how far
    each has come at last does not.
    """
    bus, time, transport = EventBus(), Time(), MemoryTransport(1033, 51234)
    arrivals: list[Arrival] = []
    ends: list[BackClosed] = []
    bus.subscribe(Arrival, arrivals.extend)
    bus.subscribe(BackClosed, ends.extend)
    factory = BackendFactory(BackendResource(3), BackendLog("3", bus, time.ns), time)
    connection: BackendConnection = factory.buildProtocol(None)
    connection.makeConnection(transport)
    for piece in pieces:
        if not transport.disconnecting:
            (transport.protocol or connection).dataReceived(piece)
    if end:
        (transport.protocol or connection).connectionLost(
            Failure(ConnectionDone() if end == "closes" else ConnectionLost())
        )
    bus.flush()
    told: dict[int, list[Arrival]] = {}
    for arrival in arrivals:
        told.setdefault(arrival.carried, []).append(arrival)
    return (
        [(carried, _at_last(told[carried])) for carried in sorted(told)],
        [attrs.evolve(each, closed_ns=0) for each in ends],
        re.sub(rb"Date: [^\r]*", b"", transport.value()),  # of the clock
        bool(transport.disconnecting),
    )


def _at_last(told: Sequence[Arrival]) -> Told:
    stages = ("received_ns", "executed_ns", "answered_ns", "given_up_ns")
    [request_id] = {each.request_id for each in told}
    return Told(
        request_id,
        frozenset(stage for stage in stages for each in told if getattr(each, stage)),
        sum(not each.again for each in told),
    )
