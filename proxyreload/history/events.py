"""What happened: plain records, each with when, in ns of the machine's monotonic clock.

They are made where something happens (a client here, a backend in a process of its own), brought into the order of
time by `proxyreload.history.order` and delivered by `proxyreload.history.bus`.
"""

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING

import attrs

from proxyreload.history.failures import TIMEOUT, TURNED_AWAY
from proxyreload.system.clock import NS_PER_US, seconds
from proxyreload.system.tcpinfo import LastState

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
    connect_ns: int  #: how long the connection took to open, where it was opened for this request, or was tried
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
    kind: str = "get"  #: of traffic
    plain: bool = True  #: of a client that was asked for by number, as the ancestor's were, or the probe
    long: bool = False  #: of a kind that takes a while by itself

    @property
    def sent_ns(self) -> int:
        """When it was written; where it never was: when a connection for it was begun."""
        return self.written_ns or self.ended_ns - self.connect_ns

    @property
    def turned_away(self) -> bool:
        """Whether it was not processed, as the proxy has said: no success, and no loss."""
        return self.failure == TURNED_AWAY

    @property
    def lost(self) -> bool:
        """Whether it failed, and was not turned away."""
        return bool(self.failure) and self.failure != TURNED_AWAY

    @property
    def charged_ns(self) -> int:
        """By when it is charged to a change: when it was sent, but a long one that broke when it did.

        When a time-out rings is no change's doing.
        """
        return self.ended_ns if self.long and self.failure and self.failure != TIMEOUT else self.sent_ns

    @property
    def latency_ns(self) -> int:
        """From when the request was due (without a rate: written) to its outcome."""
        return self.ended_ns - self.due_ns


@frequent
class CutExchange(Exchange):
    """One that failed with its connection, where the kernel could be asked about that: one in thousands."""

    size: int = 0  #: how many bytes of the request were written
    last_state: LastState | None = None  #: of the connection


@attrs.define(eq=False)
class Arrival:
    """One request as a backend saw it, and how far it had come there when this was told; 0: not so far.

    *Received*: its head was read. *Executed*: the whole request was read and acted on. *Answered*: the last byte of
    the answer was given to the kernel. *Given up*: the proxy closed the connection before that. What is answered at
    once is told once; what takes longer is told at each stage, and ``again`` says that it was told before.
    """

    instance: str
    request_id: str
    back_port: int
    carried: int
    received_ns: int
    executed_ns: int = 0
    answered_ns: int = 0
    given_up_ns: int = 0
    again: bool = False

    @property
    def told_ns(self) -> int:
        """When the latest of it happened."""
        return self.given_up_ns or self.answered_ns or self.executed_ns or self.received_ns


@attrs.frozen
class Paced:
    """When the messages of one long exchange came, told at its end: how many in each slice of time."""

    client: int
    connection: int
    number: int  #: of the request among the client's
    begun_ns: int  #: of the first slice
    slice_ns: int
    counts: tuple[int, ...]
    at_ns: int


class Ending(Enum):
    """How a client's connection to the proxy ended."""

    ANNOUNCED = "announced"  #: after an answer with ``Connection: close``
    IDLE = "idle"  #: while no request was under way
    CUT = "cut"  #: with a request under way
    UNSOLICITED = "unasked"  #: by us, for the proxy sent bytes on an idle connection that no request asked for


#: How a connection can have ended beyond its `Ending`: HTTP/2 (RFC 9113, 6.8), WebSocket (RFC 6455, 5.5.1), TCP.
GOAWAY, CLOSE_FRAME, RESET = "goaway", "close frame", "reset"
#: What is odd about an end over TLS that a FIN brought alone (RFC 8446, 6.1).
UNCLEAN = "without close_notify"


@attrs.frozen
class Shown:
    """By which certificate a connection over TLS stands."""

    serial: str  #: the certificate's, in hexadecimal digits
    resumed: bool  #: by a session: it is the one that was shown when that began, and was not shown now
    offered: bool  #: whether the client offered a session
    version: str  #: ``TLSv1.3``


@attrs.frozen
class FrontSecured:
    """A client's connection to the proxy is open, over TLS."""

    client: int
    connection: int
    front_port: int
    shown: Shown
    begun_ns: int  #: when the client began to connect
    at_ns: int
    probe: bool
    kind: str = "get"  #: of its traffic


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
    kind: str = "get"  #: of its traffic

    @property
    def how(self) -> str:
        """How it ended: in the words of its protocol, where these say more than `ending`."""
        if self.message.startswith("GOAWAY"):
            return GOAWAY
        if self.ending is Ending.ANNOUNCED and "close frame" in self.message:
            return CLOSE_FRAME
        return RESET if self.message.startswith(RESET) else self.ending.value


@attrs.frozen
class WentAway:
    """The proxy told a client that it takes nothing more on an HTTP/2 connection: GOAWAY (RFC 9113, 6.8).

    Of a graceful pair the first has the largest number that there is as its last stream, and the second the true one.
    """

    client: int
    connection: int
    front_port: int
    carried: int
    last_stream: int
    code: str  #: the error code's name
    open: int  #: streams under way, which it promises to answer
    turned_away: int  #: streams above the last one, which it has not processed
    at_ns: int
    kind: str = "get"  #: of traffic
    message: str = ""  #: the proxy's own words

    @property
    def words(self) -> str:
        """Return ``GOAWAY NO_ERROR, last stream 17``."""
        return f"GOAWAY {self.code}, last stream {self.last_stream}"


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
    at_ns: int


@attrs.frozen
class BackendLeaving:
    """A removed backend leaves, as a deployment's does: who sends to it from here on loses."""

    instance: str
    at_ns: int


@attrs.frozen
class RecordLost:
    """What a backend saw from then to then is *unknown*, not "did not arrive": it died before it had told."""

    instance: str
    since_ns: int
    at_ns: int


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
    action: str  #: ``add``, ``remove``, ``reload``, ``upgrade``, ``rotate`` or ``edit``
    instance: str  #: the backend, empty where a change is not about one
    mechanism: str
    phase: Phase
    at_ns: int
    message: str = ""
    certificate: str = ""  #: the serial of the one that is put in place, as far as that is known
    route: str = ""  #: the path of the one that is edited, as far as that is known

    @property
    def name(self) -> str:
        """What it is called."""
        return change_name(self.action, self.instance)


@attrs.frozen
class Edited:
    """The proxy was asked for the route that an edit is about, once that was applied."""

    number: int  #: of the change
    why_not: str  #: how it was answered in place of as edited; empty: as edited
    at_ns: int


@attrs.frozen
class Drained:
    """What had begun at a removed backend before its removal was applied has ended, some of it after that."""

    number: int  #: of the change
    name: str  #: what that is called
    at_ns: int
    kinds: Mapping[str, int]  #: how many requests of which kind of traffic were under way


@attrs.frozen
class LeftUndone:
    """What a plugin goes on with when its change is applied could not be done; the run goes on."""

    what: str
    reason: str
    at_ns: int


@attrs.frozen
class RateChanged:
    """From here on the clients send at another rate."""

    rate_per_s: float | None  #: None: each sends as soon as it has its answer
    at_ns: int


@attrs.frozen
class Skipped:
    """Steps that the run was ended before, or what else was left out by ending it."""

    names: tuple[str, ...]
    at_ns: int


@attrs.frozen
class EndedEarly:
    """The run was ended before its time: what it shows is not what was asked."""

    after_ns: int
    of_s: float
    at_ns: int


@attrs.frozen
class Stopping:
    """The clients stop: from now on they end what takes long, and a proxy may close what was behind it."""

    at_ns: int


@attrs.frozen
class Unproved:
    """The traffic has not shown a change in the time it had for that; the next one is made all the same."""

    number: int
    name: str
    waited_s: float
    at_ns: int


@attrs.frozen
class OldGeneration:
    """What was left of the proxy's replaced processes when the run could have ended, and when it did."""

    first: int  #: processes, when the scenario was over
    left: int  #: and when they were waited for no more
    waited_ns: int
    at_ns: int
    unknown: str = ""  #: why nobody knows, empty if somebody does

    @property
    def words(self) -> str:
        """Whether the run has seen the end of the processes that were replaced; empty if there were none."""
        waited_s = seconds(self.waited_ns)
        if self.unknown:
            return f"whether the old generation still lives is not known: {self.unknown}"
        if self.left:
            many = "1 process" if self.left == 1 else f"{self.left} processes"
            still = f"{many} of the old generation still {'lives' if self.left == 1 else 'live'}"
            return f"{still} after {waited_s:.1f} s more: what ends later is not seen"
        return f"the run went on for {waited_s:.1f} s until the old generation was gone" if self.first else ""


@attrs.frozen
class Holding:
    """Whose a connection to the proxy is."""

    client: int
    connection: int  #: numbered within its client, from 0


@attrs.frozen
class Held:
    """Which generation of the proxy's processes held the clients' connections at a moment, and which ones lived.

    Generation 0 is what was started; each reload or upgrade that begins new processes begins another.
    """

    newest: int
    generations: Mapping[int, int] = attrs.field(repr=False)  #: by the client's port
    at_ns: int = 0
    living: frozenset[int] | None = None  #: the generations that had processes; None: nobody has looked
    whose: Mapping[int, Holding] = attrs.field(factory=dict, repr=False)  #: those connections, by the client's port


@attrs.frozen
class Spent:
    """What the proxy's processes have of its host at a moment, and have taken by then."""

    processes: int
    resident_bytes: int  #: what several of them share is counted with each
    cpu_ns: int  #: of all that there have been, as far as they were seen
    at_ns: int


@attrs.frozen
class Said:
    """A line of the proxy's own log, or of what it wrote to its standard output or standard error."""

    text: str  #: printable and bounded
    at_ns: int  #: when it was read, right after it was written


@attrs.frozen
class KindTaken:
    """What a client of one kind measured there."""

    latencies_us: Mapping[int, int]  #: how many successes took so long
    exchanges: int
    failures: Mapping[str, int]  #: by class


@attrs.frozen
class BaselineTaken:
    """What the clients measured straight at the backends, without the proxy."""

    latencies_us: Mapping[int, int]  #: how many successes took so long
    exchanges: int
    failures: Mapping[str, int]  #: by class
    duration_ns: int
    at_ns: int
    kinds: Mapping[str, KindTaken] = attrs.field(factory=dict)  #: of a client of each other kind, in brief settings

    @property
    def every_failure(self) -> Mapping[str, int]:
        """Those of all kinds, by class."""
        return sum((Counter(each.failures) for each in self.kinds.values()), Counter(self.failures))


@attrs.frozen
class StoodStill:
    """The instrument stood still from ``since_ns`` to ``at_ns``: it heard nobody, and its backends answered nobody."""

    since_ns: int
    at_ns: int


@attrs.frozen
class Stalled:
    """The longest that the instrument itself stood still, told at the end."""

    peak_ns: int
    at_ns: int


#: A request that is made due this much too late has been made late by the instrument.
SLIP_NS = 1_000_000


@attrs.frozen
class ScheduleKept:
    """How well an open loop kept its schedule, told at the end."""

    requests: int
    slipped: int  #: made due too late by the instrument itself (`SLIP_NS`)
    slip_peak_ns: int
    late: Mapping[int, int]  #: requests that waited for the one before them to be answered, by client
    late_peak_ns: int
    at_ns: int
    never_sent: int = 0  #: due when the clients stopped, and not sent in the time there was for that

    @property
    def missed(self) -> bool:
        """Whether too much was never sent (more than one in a thousand) for anything to be said of the rest."""
        return self.never_sent * 1000 > self.requests

    @property
    def kept(self) -> bool:
        """Whether the instrument's own lateness is rare enough (one in a thousand) not to be taken for the proxy's."""
        return self.slipped * 1000 <= self.requests


#: What a client far away sends or hears may be so much too late, or such a share of the round trip where that is more,
#: in one of a hundred cases.
FAR_LATE_US, FAR_LATE_SHARE = 500, 0.05


@attrs.frozen
class FarKept:
    """How well a distance was kept by its delay line, told at the end."""

    rtt_ns: int
    late_us: Mapping[int, int]  #: how often something was sent or heard so much too late, in steps of 10 µs
    at_ns: int

    @property
    def times(self) -> int:
        """How often something was sent or heard."""
        return sum(self.late_us.values())

    @property
    def limit_us(self) -> int:
        """By how much it may be too late."""
        return max(FAR_LATE_US, round(self.rtt_ns * FAR_LATE_SHARE / NS_PER_US))

    @property
    def kept(self) -> bool:
        """Whether it is exact enough."""
        return self.late_percentile_us(99) <= self.limit_us

    @property
    def late_mean_us(self) -> float:
        """By how much it was too late on average."""
        return sum(late_us * times for late_us, times in self.late_us.items()) / (self.times or 1)

    def late_percentile_us(self, percent: float) -> int:
        """Return by how much it was too late at most in so many of a hundred cases."""
        wanted = percent / 100 * self.times
        seen = 0
        for late_us in sorted(self.late_us):
            seen += self.late_us[late_us]
            if seen >= wanted:
                return late_us
        return 0


@attrs.frozen
class Broken:
    """The instrument, a backend or the proxy broke in a way that is not a change's doing: the run is not valid."""

    reason: str
    at_ns: int


@attrs.frozen
class ReporterFailed:
    """A reporter raised and was removed; the others and the run go on."""

    reason: str
    at_ns: int = 0


@attrs.frozen
class Started:
    """The clients start: the zero of every time that is written.

    ``aimed`` are the kinds that send at the moment at which connections are being closed: for proof, not for rates.
    ``unsafe`` are those whose requests nobody may repeat by himself (RFC 9110, 9.2.2); ``hosted``: the backends are
    ours, and tell what they see.
    """

    at_ns: int
    kinds: Mapping[str, str] = attrs.field(factory=dict, repr=False)  #: of traffic, by what a client's ids begin with
    aimed: frozenset[str] = frozenset()
    unsafe: frozenset[str] = frozenset()
    many: Mapping[int, int] = attrs.field(factory=dict)  #: how many at once the clients have that have several
    hosted: bool = False


@attrs.frozen
class Ended:
    """Every exchange has been recorded; what closes from here on is the run's own doing."""

    at_ns: int


Event = (
    Exchange
    | Arrival
    | Paced
    | FrontSecured
    | FrontClosed
    | WentAway
    | ConnectionChanged
    | BackClosed
    | BackendKilled
    | BackendLeaving
    | RecordLost
    | Change
    | Edited
    | Drained
    | LeftUndone
    | RateChanged
    | Skipped
    | EndedEarly
    | Stopping
    | Unproved
    | OldGeneration
    | Held
    | Spent
    | Said
    | BaselineTaken
    | StoodStill
    | Stalled
    | ScheduleKept
    | FarKept
    | Broken
    | ReporterFailed
    | Started
    | Ended
)
