"""What is published on the event bus: plain records, times in ns of the run's one monotonic clock."""

from enum import Enum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from attrs import frozen as frequent
else:
    # Two records are made for each request. A frozen class assigns through object.__setattr__, which makes it four
    # times as slow to create; the type checker holds these to the same promise.
    from functools import partial

    frequent = partial(attrs.define, eq=False)


@frequent
class Exchange:
    """One request and its one outcome: exactly one for each request sent, whatever happened.

    ``connection`` numbers the client's connections from 0 (-1: there was none); ``carried`` is how many requests that
    connection had carried before. Fields that do not apply are 0 or empty.
    """

    client: int
    number: int  #: of the request among the client's, from 0
    due_ns: int
    written_ns: int
    first_byte_ns: int
    ended_ns: int
    connect_ns: int  #: how long the connection took to open, where it was opened for this request
    connection: int
    carried: int
    front_port: int
    status: int
    failure: str  #: its class (`proxyreload.history.failures`), empty for a success
    message: str
    instance: str
    back_port: int
    announced: bool  #: the answer said ``Connection: close``
    probe: bool

    @property
    def latency_ns(self) -> int:
        """From when the request was due (without a rate: written) to its outcome."""
        return self.ended_ns - self.due_ns


@frequent
class Arrival:
    """One request as a backend saw it."""

    instance: str
    request_id: str
    back_port: int
    carried: int
    arrived_ns: int


class Ending(Enum):
    """How a client's connection to the proxy ended."""

    ANNOUNCED = "announced"  #: after an answer with ``Connection: close``
    IDLE = "idle"  #: while no request was under way
    CUT = "cut"  #: with a request under way
    UNASKED = "unasked"  #: by us, for the proxy sent bytes on an idle connection that no request asked for


@attrs.frozen
class FrontClosed:
    """A client's connection to the proxy ended, on the proxy's side or with the request under way."""

    client: int
    connection: int
    front_port: int
    carried: int
    ending: Ending
    closed_ns: int
    probe: bool
    message: str = ""  #: what is odd about it


@attrs.frozen
class ConnectionChanged:
    """An exchange counted in ``front changed`` or ``back changed``."""

    exchange: Exchange
    front: bool
    back: bool


@attrs.frozen
class BackClosed:
    """A connection from the proxy to a backend ended, on the proxy's side.

    ``probe_only``: it had carried nothing but the probe's requests; a proxy that ties a backend connection to a front
    connection closes it with the probe's, which is the probe's doing.
    """

    instance: str
    back_port: int
    carried: int
    probe_only: bool
    closed_ns: int


@attrs.frozen
class BackendKilled:
    """A removed backend was killed, as a deployment would: from here on, who still sends to it loses."""

    instance: str
    killed_ns: int


def change_name(action: str, instance: str) -> str:
    """Return ``add backend 2`` or ``reload``."""
    return f"{action} backend {instance}" if instance else action


class Phase(Enum):
    """How far a change has come."""

    REQUESTED = "requested"
    APPLIED = "applied"
    FAILED = "failed"


@attrs.frozen
class Change:
    """One step that a proxy plugin carries out, at one point of its way."""

    number: int
    action: str  #: ``add``, ``remove``, ``reload`` or ``upgrade``
    instance: str  #: the backend, empty where a change is not about one
    mechanism: str
    phase: Phase
    at_ns: int
    message: str = ""

    @property
    def name(self) -> str:
        """What it is called."""
        return change_name(self.action, self.instance)


@attrs.frozen
class RateChanged:
    """From here on the clients send at another rate."""

    rate_per_s: float | None  #: None: each sends as soon as it has its answer
    at_ns: int


@attrs.frozen
class Broken:
    """The instrument, a backend or the proxy broke in a way that is not a change's doing: the run is not valid."""

    reason: str
    at_ns: int


@attrs.frozen
class ReporterFailed:
    """A reporter raised and was removed; the others and the run go on."""

    reason: str


@attrs.frozen
class Started:
    """The clients start: the zero of every time that is written."""

    at_ns: int


@attrs.frozen
class Ended:
    """Every exchange has been recorded; what closes from here on is the run's own doing."""

    at_ns: int


Event = (
    Exchange
    | Arrival
    | FrontClosed
    | ConnectionChanged
    | BackClosed
    | BackendKilled
    | Change
    | RateChanged
    | Broken
    | ReporterFailed
    | Started
    | Ended
)
