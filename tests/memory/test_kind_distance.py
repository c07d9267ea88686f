"""A delay line in the connection is as good as a way: the same happens as through a relay that delays both ways."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError  # noqa: A004
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client.client import Client
from proxyreload.client.delayline import DelayLine
from proxyreload.client.far import FarEnd, FarEndpoint
from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.interfaces import IConnection, IConnectionOwner, IConnector
from proxyreload.history import failures
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Exchange
from proxyreload.system.clock import ns
from proxyreload.traffic.get import from_numbered_backend

from .clocks import START_NS, Time
from .connections import PREPARED, MemoryTransport, answer_bytes, parts
from .happened import record

HALF_S = 0.5
TIMEOUT_S = 4.0
RUN_S = 14.0
#: All times are multiples of this but those of deeds, each of which has a bit of its own: no two things that are not
#: each other's doing happen at one moment.
TICK_S = 0.125
DEEDS = 5


@attrs.frozen
class Answering:
    """What becomes of one request."""

    after_s: float | None  #: None: never
    cuts: tuple[int, ...] = ()  #: where the answer is cut in pieces, a tick between two
    announced: bool = False  #: that the connection will be closed


class Way:
    """What carries to the client what the proxy does."""

    says: Callable[[bytes], object]
    fin: Callable[[], object]
    rst: Callable[[], object]


@attrs.define(eq=False)
class Session:
    """A connection as the proxy has it, and the kernel below the proxy."""

    proxy: "Proxy"
    number: int
    way: Way = attrs.field(factory=Way)
    closed: bool = False  #: by the proxy
    gone: bool = False  #: there is nothing left of it
    _read: bytes = b""

    def received(self, data: bytes) -> None:
        if self.gone:
            return
        self.proxy.heard(self.number, data)
        if self.closed:  # nobody reads: the kernel says so
            self.gone = True
            self.way.rst()
            return
        self._read += data
        while b"!" in self._read:
            line, _, self._read = self._read.partition(b"!\n")
            self._answer(line.removeprefix(b"GET "))

    def ended(self, how: str) -> None:
        if not self.gone:
            self.proxy.heard(self.number, how)
            self.gone = self.closed or how == "reset"
            self.closed = True

    def says(self, data: bytes) -> None:
        if not self.closed:
            self.way.says(data)

    def close(self, *, reset: bool) -> None:
        if not self.closed:
            self.closed, self.gone = True, reset
            self.way.rst() if reset else self.way.fin()

    def _answer(self, request_id: bytes) -> None:
        answering = self.proxy.answering()
        if answering.after_s is None:
            return
        extra = b"Connection: close\r\n" if answering.announced else b""
        due_s = answering.after_s
        for piece in parts(answer_bytes(request_id, extra=extra), answering.cuts):
            self.proxy.time.callLater(due_s, self.says, piece)
            due_s += TICK_S
        if answering.announced:
            self.proxy.time.callLater(due_s, partial(self.close, reset=False))


@attrs.define(eq=False)
class Proxy:
    """Hears, and does what it is told to, when it is told to."""

    time: Time
    script: tuple[Answering, ...]
    heard_at: list[tuple[float, int, object]] = attrs.field(factory=list)
    sessions: list[Session] = attrs.field(factory=list)
    refuses: bool = False
    _requests: int = 0

    def accept(self) -> Session:
        self.sessions.append(Session(self, len(self.sessions)))
        return self.sessions[-1]

    def heard(self, session: int, what: object) -> None:
        self.heard_at.append((self.time.seconds(), session, what))

    def answering(self) -> Answering:
        self._requests += 1
        return self.script[self._requests % len(self.script)]

    def do(self, deed: str) -> None:
        if deed in ("refuse", "listen"):
            self.refuses = deed == "refuse"
        elif self.sessions:
            self.sessions[-1].close(reset=deed == "reset")


# With a delay line.


class SocketTransport(MemoryTransport):
    """The socket at the far end of a line: what it is told happens to the proxy at once."""

    def __init__(self, session: Session, end: FarEnd) -> None:
        super().__init__(40000 + session.number)
        self.session, self.end, self.gone = session, end, False

    def write(self, data: bytes) -> None:
        if not self.gone:
            self.session.received(data)

    def loseConnection(self) -> None:
        self.ends("closed", ConnectionDone())

    def abortConnection(self) -> None:
        self.ends("reset", ConnectionDone())

    def ends(self, how: str, reason: Exception) -> None:
        if not self.gone:
            self.gone = True
            self.session.ended(how)
            self.end.connectionLost(Failure(reason))

    def rst(self) -> None:
        if not self.gone:
            self.gone = True
            self.end.connectionLost(Failure(ConnectionLost()))


@implementer(IConnector, IStreamClientEndpoint)
@attrs.define(eq=False)
class Lined:
    """Opens connections with a delay line in them, right at the proxy."""

    proxy: Proxy
    line: DelayLine = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.line = DelayLine(self.proxy.time, self.proxy.time.ns, ns(HALF_S))

    def connect(self, owner: Any, timeout_s: float = 0) -> Deferred[Any]:
        if not timeout_s:
            return self._connect(owner)
        time = self.proxy.time
        connection = HTTP11Connection(owner, time.ns, time.ns())
        factory: Factory[Protocol] = Factory.forProtocol(lambda: connection)
        return cast(Deferred[Any], FarEndpoint(self.line, self).connect(factory))

    def _connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        opening: Deferred[IProtocol] = Deferred()
        if self.proxy.refuses:
            opening.errback(Failure(ConnectionRefusedError()))
            return opening
        end = factory.buildProtocol(cast(Any, None))
        assert isinstance(end, FarEnd)
        session = self.proxy.accept()
        transport = SocketTransport(session, end)
        session.way.says, session.way.fin, session.way.rst = end.dataReceived, end.readConnectionLost, transport.rst
        end.makeConnection(transport)
        opening.callback(end)
        return opening


# Through a relay.


class RelayTransport(MemoryTransport):
    """The client's socket, at a relay that passes all on half a round trip later, in both directions."""

    def __init__(self, session: Session, connection: HTTP11Connection, later: Callable[..., object]) -> None:
        super().__init__(40000 + session.number)
        self.session, self.connection, self.later, self.gone = session, connection, later, False
        session.way.says, session.way.fin = partial(later, self.says), partial(later, self.fin)
        session.way.rst = partial(later, self.rst)

    def write(self, data: bytes) -> None:
        if not self.gone:
            self.later(self.session.received, data)

    def loseConnection(self) -> None:
        self.ends("closed")

    def abortConnection(self) -> None:
        self.ends("reset")

    def ends(self, how: str) -> None:
        if not self.gone:
            self.gone = True
            self.later(self.session.ended, how)

    def says(self, data: bytes) -> None:
        if not self.gone:
            self.connection.dataReceived(data)

    def fin(self) -> None:
        if not self.gone:
            self.ends("closed")
            self.connection.connectionLost(Failure(ConnectionDone()))

    def rst(self) -> None:
        if not self.gone:
            self.gone = True
            self.connection.connectionLost(Failure(ConnectionLost()))


@implementer(IConnector)
@attrs.define(eq=False)
class Relayed:
    """Opens connections through the relay."""

    proxy: Proxy

    def later(self, work: Callable[..., object], *what: object) -> None:
        self.proxy.time.callLater(HALF_S, work, *what)

    def connect(self, owner: IConnectionOwner, timeout_s: float) -> Deferred[IConnection]:
        time = self.proxy.time
        connection = HTTP11Connection(owner, time.ns, time.ns())
        given_up: list[RelayTransport | None] = []

        def cancelled(_opening: Deferred[IConnection]) -> None:
            given_up.append(None)
            if arrived:
                arrived[0].ends("reset")

        opening: Deferred[IConnection] = Deferred(cancelled)
        arrived: list[RelayTransport] = []

        def syn() -> None:
            if given_up:
                return
            if self.proxy.refuses:
                self.later(lambda: None if given_up else opening.errback(Failure(ConnectionRefusedError())))
                return
            arrived.append(RelayTransport(self.proxy.accept(), connection, self.later))
            self.later(answered)

        def answered() -> None:
            if not given_up:
                connection.makeConnection(arrived[0])
                opening.callback(connection)

        self.later(syn)
        return opening


def happened(
    ways: Callable[[Proxy], IConnector], script: tuple[Answering, ...], deeds: Mapping[float, str], **client: Any
) -> tuple[Sequence[object], list[tuple[float, int, object]]]:
    """Return what the client tells, and what the proxy hears, with the times of it."""
    time = Time()
    proxy = Proxy(time, script)
    bus = EventBus()
    events = record(bus)
    one = Client(
        3,
        time,
        ways(proxy),
        PREPARED,
        from_numbered_backend,
        bus,
        time.ns,
        ns(TIMEOUT_S),
        **client,
    )
    for at_s, deed in deeds.items():
        time.callLater(at_s, proxy.do, deed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("proxyreload.client.client.PAUSE_AFTER_FAILED_CONNECTION_S", TICK_S)  # exact, as a float
        one.start()
        while (next_s := min(call.getTime() for call in time.getDelayedCalls())) < RUN_S:
            time.advance(next_s - time.seconds())
    bus.flush()
    return events, proxy.heard_at


ticks = st.integers(1, 10).map(lambda number: number * TICK_S)
answerings = st.builds(
    Answering,
    st.one_of(ticks, ticks, ticks, st.none()),
    st.lists(st.integers(0, 200), max_size=2).map(tuple),
    st.sampled_from([False, False, False, True]),
)


@st.composite
def deeds_of(draw: st.DrawFn) -> dict[float, str]:
    """Draw what the proxy does when."""
    drawn = draw(st.lists(st.sampled_from(["close", "close", "reset", "refuse", "listen"]), max_size=DEEDS))
    return {draw(st.integers(0, 90)) * TICK_S + TICK_S / 2 ** (number + 1): deed for number, deed in enumerate(drawn)}


@settings(max_examples=100)
@given(script=st.lists(answerings, min_size=1, max_size=6).map(tuple), deeds=deeds_of(), fresh=st.booleans())
def test_a_client_on_a_delay_line_meets_what_one_behind_a_delaying_relay_meets(
    script: tuple[Answering, ...], deeds: dict[float, str], *, fresh: bool
) -> None:
    (told, heard), (relayed, as_heard) = (happened(ways, script, deeds, fresh=fresh) for ways in (Lined, Relayed))
    assert list(map(str, told)) == list(map(str, relayed))
    assert heard == as_heard
    assert told


@pytest.mark.parametrize("ways", [Lined, Relayed])
@pytest.mark.parametrize(
    ("deed", "at_s", "failure"),
    [
        # The first request is sent at 1 and answered at 2.5; the second is on its way from then to 3.
        ("close", 2.75, failures.CLOSED_REUSED),
        ("reset", 2.75, failures.RESET_REUSED),
        ("close", 2.125, failures.CLOSED_REUSED),  # it is not sent yet, and the client does not know
        ("close", 1.25, failures.CLOSED_FRESH),
    ],
)
def test_a_request_on_its_way_is_lost_either_way(
    ways: Callable[[Proxy], IConnector], deed: str, at_s: float, failure: str
) -> None:
    events, heard = happened(ways, (Answering(0.5),), {at_s: deed})
    lost = [event for event in events if isinstance(event, Exchange) and event.failure]
    assert [each.failure for each in lost] == [failure]
    assert lost[0].ended_ns == START_NS + ns(at_s + HALF_S)
    assert (b"GET 3-%d!\n" % lost[0].number in [what for _at_s, _session, what in heard]) is (deed == "close")
