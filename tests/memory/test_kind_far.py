"""Clients a network away: half a round trip each way, for bytes, FIN and RST alike, and in order."""

import socket
from collections import deque
from collections.abc import Iterator
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
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.client import far as far_module
from proxyreload.client.client import Client
from proxyreload.client.connector import HTTP11Connector
from proxyreload.client.delayline import DelayLine
from proxyreload.client.far import WINDOW_BYTES, FarEnd, FarEndpoint
from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.interfaces import IConnection, IConnectionOwner, IConnector
from proxyreload.client.pending import Pending
from proxyreload.history import failures
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Exchange, FarKept, FrontClosed
from proxyreload.plan.settings import Target
from proxyreload.plan.traffic import group
from proxyreload.run.crowds import Crowds
from proxyreload.system.alarm import ReactorAlarm
from proxyreload.system.clock import ns
from proxyreload.system.sockets import SocketGroup
from proxyreload.system.tcpinfo import LastState
from proxyreload.traffic.get import from_numbered_backend
from proxyreload.traffic.registry import kind_named

from .clocks import Readers, Time, error_of, result_of, waits
from .connections import PREPARED, KernelTransport, MemoryTransport, Owner, answer_bytes
from .happened import record

few_examples = settings(max_examples=60)
#: A round trip is a second, in numbers that a float holds exactly.
HALF_S = 0.5


@implementer(IStreamClientEndpoint)
@attrs.define(eq=False)
class Endpoint:
    """Where the far ends' sockets are opened, as the test says."""

    time: Time
    asked: list[float] = attrs.field(factory=list)  #: when it was asked for a connection
    cancelled: int = 0
    kernel: bool = False  #: its sockets are the kernel's
    ends: list[FarEnd] = attrs.field(factory=list)
    transports: list[MemoryTransport] = attrs.field(factory=list)
    _waiting: deque[tuple[Deferred[IProtocol], IProtocolFactory]] = attrs.field(factory=deque)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        self.asked.append(self.time.seconds())
        waiting: Deferred[IProtocol] = Deferred(self._cancelled)
        self._waiting.append((waiting, protocolFactory))
        return waiting

    def lets_in(self) -> None:
        waiting, factory = self._waiting.popleft()
        end = factory.buildProtocol(None)  # type: ignore[arg-type]
        assert isinstance(end, FarEnd)
        self.ends.append(end)
        transport = KernelTransport if self.kernel else MemoryTransport
        self.transports.append(transport(40000 + len(self.ends)))
        end.makeConnection(self.transports[-1])
        if not waiting.called:
            waiting.callback(end)

    def refuses(self) -> None:
        self._waiting.popleft()[0].errback(Failure(ConnectionRefusedError()))

    def _cancelled(self, _deferred: Deferred[IProtocol]) -> None:
        self.cancelled += 1


@implementer(IConnector)
@attrs.define(eq=False)
class Far:
    """A front that is half a second away."""

    time: Time = attrs.field(factory=Time)
    line: DelayLine = attrs.field(init=False)
    endpoint: Endpoint = attrs.field(init=False)
    owner: Owner = attrs.field(factory=Owner)
    connections: list[HTTP11Connection] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.line = DelayLine(self.time, self.time.ns, ns(HALF_S))
        self.endpoint = Endpoint(self.time)

    def connect(self, owner: IConnectionOwner, timeout_s: float) -> Deferred[IConnection]:
        connection = HTTP11Connection(owner, self.time.ns, self.time.ns())
        self.connections.append(connection)
        factory: Factory[Protocol] = Factory.forProtocol(lambda: connection)
        return cast(Deferred[IConnection], FarEndpoint(self.line, self.endpoint).connect(factory))

    def opened(self) -> HTTP11Connection:
        """Open a connection, which is a second later."""
        opening = self.connect(self.owner, 4)
        self.time.advance(HALF_S)
        self.endpoint.lets_in()
        self.time.advance(HALF_S)
        connection = result_of(opening)
        assert isinstance(connection, HTTP11Connection)
        return connection

    @property
    def end(self) -> FarEnd:
        return self.endpoint.ends[-1]

    @property
    def transport(self) -> MemoryTransport:
        return self.endpoint.transports[-1]

    def sent(self) -> bytes:
        """Return all that was written to the latest socket."""
        sent: bytes = self.transport.value()
        return sent

    def fin(self) -> None:
        """Let the proxy close."""
        self.end.readConnectionLost()

    def reset(self) -> None:
        self.end.connectionLost(Failure(ConnectionLost()))


@pytest.fixture(name="far")
def _far() -> Far:
    return Far()


def pending_of(connection: HTTP11Connection, request_id: bytes = b"3-0") -> Pending:
    pending = Pending(0, request_id)
    connection.send(b"GET %b!\n" % request_id, pending)
    return pending


# The line.


@few_examples
@given(gaps=st.lists(st.sampled_from([0, 0.125, 0.25, 0.5, 1]), max_size=20))
def test_everything_is_done_half_a_round_trip_later_and_in_order(gaps: list[float]) -> None:
    far = Far()
    done: list[tuple[int, float]] = []
    asked = []

    def noted(number: int) -> None:
        done.append((number, far.time.seconds()))

    for number, gap in enumerate(gaps):
        far.time.pump([0.125] * round(gap / 0.125))
        asked.append((number, far.time.seconds() + HALF_S))
        far.line.after(partial(noted, number))
    far.time.pump([0.125] * 10)
    assert done == asked
    assert far.time.getDelayedCalls() == []
    assert far.line.late_us == ({0: len(gaps)} if gaps else {})


def test_what_is_asked_for_while_something_is_done_has_its_own_time(far: Far) -> None:
    done: list[float] = []
    far.line.after(lambda: far.line.after(lambda: done.append(far.time.seconds())))
    far.time.pump([0.25] * 4)
    assert done == [1]


def test_how_late_it_was_is_counted(far: Far) -> None:
    for late_us in (0, 9, 10, 25, 1000):
        far.line.after(lambda: None)
        far.time.advance(HALF_S + late_us / 1_000_000)
    kept = far.line.kept()
    assert kept.late_us == {0: 2, 10: 1, 20: 1, 1000: 1}
    assert (kept.rtt_ns, kept.times, kept.kept) == (ns(1), 5, True)
    assert [kept.late_percentile_us(percent) for percent in (1, 50, 99, 100)] == [0, 10, 1000, 1000]


def test_a_line_that_did_nothing_was_never_late(far: Far) -> None:
    kept = far.line.kept()
    assert (kept.times, kept.late_percentile_us(99), kept.kept) == (0, 0, True)


@pytest.mark.parametrize(("late_us", "kept"), [(500, True), (510, False)])
def test_it_is_kept_if_ninety_nine_of_a_hundred_are_exact_enough(late_us: int, *, kept: bool) -> None:
    assert FarKept(ns(0.01), {0: 98, late_us: 2}, 1).kept is kept
    assert FarKept(ns(0.01), {0: 99, late_us: 1}, 1).kept
    assert FarKept(ns(0.02), {0: 98, 2 * late_us: 2}, 1).kept is kept


def test_a_closed_line_gives_everything_back_and_takes_nothing_any_more() -> None:
    far = Far(Readers())
    assert isinstance(far.time, Readers)
    connection = far.connect(far.owner, 4)  # half open: the SYN is on its way
    assert waits(connection)
    assert len(far.time.watched) == 1
    far.line.close()
    assert far.time.watched == []
    far.line.after(lambda: pytest.fail("done all the same"))
    far.time.advance(10)
    assert far.time.watched == []
    assert far.time.getDelayedCalls() == []


def test_a_closed_line_has_reset_its_sockets_and_their_ends_are_heard_by_nobody(far: Far) -> None:
    far.opened()
    far.line.close()
    assert far.transport.aborted
    far.end.connectionLost(Failure(ConnectionDone()))
    far.time.advance(10)
    assert far.owner.heard == []
    assert far.line.ends == set()
    assert far.time.getDelayedCalls() == []


# Opening.


def test_a_connection_takes_a_whole_round_trip(far: Far) -> None:
    opening = far.connect(far.owner, 4)
    far.time.advance(HALF_S)
    assert far.endpoint.asked == [HALF_S]
    far.endpoint.lets_in()
    far.time.advance(HALF_S - 0.001)
    assert waits(opening)
    far.time.advance(0.001)
    connection = result_of(opening)
    assert (connection.connect_ns, connection.local_port) == (ns(1), 40001)
    assert far.transport.no_delay


def test_so_does_a_refusal(far: Far) -> None:
    opening = far.connect(far.owner, 4)
    far.time.advance(HALF_S)
    far.endpoint.refuses()
    assert waits(opening)
    far.time.advance(HALF_S)
    error_of(opening, ConnectionRefusedError)


@pytest.mark.parametrize("after_s", [0, 0.25, 0.5, 0.75, 1])
@pytest.mark.parametrize("lets_in", [True, False])
def test_one_that_is_given_up_at_any_stage_is_heard_of_no_more_and_left_open_nowhere(
    far: Far, after_s: float, *, lets_in: bool
) -> None:
    opening = far.connect(far.owner, 4)
    opening.addErrback(lambda _reason: None)
    for _ in range(round(after_s / 0.25)):
        far.time.advance(0.25)
        if lets_in and far.endpoint.asked and not far.endpoint.ends:
            far.endpoint.lets_in()
    opened = not waits(opening)
    opening.cancel()
    far.time.pump([0.25] * 2)
    if far.endpoint.ends and not opened:
        assert far.transport.aborted
    elif far.endpoint.asked and not opened:
        assert far.endpoint.cancelled == 1
    else:
        assert far.endpoint.asked == ([HALF_S] if opened else [])
    if far.endpoint.ends and not opened:
        far.end.dataReceived(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        far.reset()
    far.time.pump([0.25] * 10)
    assert far.owner.heard == []
    assert far.time.getDelayedCalls() == []


def test_one_that_is_let_in_after_it_was_given_up_is_reset_at_once(far: Far) -> None:
    opening = far.connect(far.owner, 4)
    opening.addErrback(lambda _reason: None)
    far.time.advance(HALF_S)
    opening.cancel()
    far.endpoint.lets_in()
    assert far.transport.aborted
    far.time.advance(10)
    assert far.owner.heard == []


# What is sent and heard.


def test_a_request_and_its_answer_are_half_a_round_trip_on_their_ways(far: Far) -> None:
    connection = far.opened()
    pending = pending_of(connection)
    assert pending.written_ns == far.time.ns()
    far.time.advance(HALF_S - 0.001)
    assert far.sent() == b""
    far.time.advance(0.001)
    assert far.sent() == b"GET 3-0!\n"
    far.end.dataReceived(answer_bytes(b"3-0"))
    far.time.advance(HALF_S)
    assert far.owner.heard == [("answered",)]
    assert pending.first_byte_ns - pending.written_ns == ns(1)


@pytest.mark.parametrize("gap", [0, 0.25, 0.499])
def test_a_request_that_crosses_a_fin_is_written_all_the_same_and_lost(far: Far, gap: float) -> None:
    connection = far.opened()
    pending_of(connection)
    far.time.advance(HALF_S)
    far.end.dataReceived(answer_bytes(b"3-0"))
    far.time.advance(HALF_S)
    far.fin()
    far.time.advance(gap)
    pending_of(connection, b"3-1")
    far.time.advance(HALF_S - gap)
    assert far.owner.failures == [failures.CLOSED_REUSED]
    far.time.advance(gap)
    assert far.sent() == b"GET 3-0!\nGET 3-1!\n"
    assert not far.transport.disconnecting
    far.time.advance(HALF_S)
    assert far.transport.closed


def test_a_fin_is_heard_half_a_round_trip_later_and_answered_another_half_later(far: Far) -> None:
    far.opened()
    far.fin()
    far.time.advance(HALF_S - 0.001)
    assert far.owner.heard == []
    far.time.advance(0.001)
    assert far.owner.heard == [("closed", "idle", "")]
    assert not far.transport.disconnecting
    far.time.advance(HALF_S)
    assert far.transport.closed


def test_so_is_a_reset(far: Far) -> None:
    connection = far.opened()
    far.reset()
    pending_of(connection)
    far.time.advance(HALF_S)
    assert far.owner.failures == [failures.RESET_FRESH]
    far.time.advance(10)
    assert len(far.owner.heard) == 1


def test_a_reset_behind_a_fin_is_no_second_end(far: Far) -> None:
    far.opened()
    far.fin()
    far.time.advance(0.25)
    far.reset()
    far.time.advance(10)
    assert far.owner.heard == [("closed", "idle", "")]
    assert far.line.ends == set()


def test_what_came_before_a_fin_is_heard_before_it(far: Far) -> None:
    connection = far.opened()
    pending_of(connection)
    far.end.dataReceived(answer_bytes(b"3-0")[:-5])
    far.end.dataReceived(answer_bytes(b"3-0")[-5:])
    far.fin()
    far.time.advance(HALF_S)
    assert far.owner.heard == [("answered",), ("closed", "idle", "")]


@pytest.mark.parametrize("how", ["close", "abort"])
def test_the_clients_own_end_arrives_behind_what_it_sent(far: Far, how: str) -> None:
    connection = far.opened()
    pending_of(connection)
    getattr(connection, how)()
    far.time.advance(HALF_S - 0.001)
    assert not far.transport.disconnecting
    far.time.advance(0.001)
    assert far.sent() == b"GET 3-0!\n"
    assert (far.transport.closed, far.transport.aborted) == (how == "close", how == "abort")
    far.end.dataReceived(b"too late")
    far.fin()
    far.time.advance(10)
    assert far.owner.heard == []


@pytest.mark.parametrize("reset", [False, True])
def test_what_comes_while_the_client_does_not_read_waits_and_the_end_behind_it(far: Far, *, reset: bool) -> None:
    connection = far.opened()
    taken: list[bytes] = []

    def take(data: bytes) -> None:
        taken.append(data)
        if data == b"one":
            connection.rest()

    pending_of(connection).take = take
    far.end.dataReceived(answer_bytes(b"3-0", body=b"onetwothree").replace(b"onetwothree", b"one"))
    for data in (b"two", b"thr"):
        far.end.dataReceived(data)
    far.reset() if reset else far.fin()
    far.time.advance(10)
    assert (taken, far.owner.heard) == ([b"one"], [])
    connection.read_on()
    assert taken == [b"one"]
    far.time.advance(0)
    assert taken == [b"one", b"two", b"thr"]
    assert len(far.owner.heard) == 1


def test_who_rests_again_reads_no_more(far: Far) -> None:
    connection = far.opened()
    taken: list[bytes] = []

    def take(data: bytes) -> None:
        taken.append(data)
        connection.rest()

    pending_of(connection).take = take
    far.end.dataReceived(answer_bytes(b"3-0", body=b"onetwothree").replace(b"onetwothree", b"one"))
    for data in (b"two", b"three"):
        far.end.dataReceived(data)
    far.time.advance(HALF_S)
    for number in (1, 2):
        assert len(taken) == number
        connection.read_on()
        far.time.advance(0)
    assert taken == [b"one", b"two", b"three"]


def test_no_more_is_on_its_way_than_fits_in_a_window(far: Far) -> None:
    connection = far.opened()
    pending = pending_of(connection)
    pending.take = lambda _data: None
    far.end.dataReceived(answer_bytes(b"3-0", body=b"x" * 200_000)[: WINDOW_BYTES - 1])
    assert far.transport.producerState == "producing"
    far.end.dataReceived(b"x")
    assert far.transport.producerState == "paused"
    far.time.advance(HALF_S)
    assert far.transport.producerState == "producing"


def test_an_open_window_does_not_wake_who_rests(far: Far) -> None:
    connection = far.opened()
    pending_of(connection).take = lambda _data: None
    connection.rest()
    far.end.dataReceived(answer_bytes(b"3-0", body=b"x" * 200_000)[:WINDOW_BYTES])
    far.time.advance(10)
    assert far.transport.producerState == "paused"
    connection.read_on()
    far.time.advance(HALF_S)
    assert far.transport.producerState == "producing"


def test_a_socket_that_is_gone_is_told_nothing_more(far: Far) -> None:
    connection = far.opened()
    connection.rest()
    connection.read_on()
    far.reset()
    far.time.advance(10)
    assert far.transport.producerState == "producing"


# A client.


@pytest.fixture(name="client")
def _client(far: Far) -> Iterator[tuple[Client, list[object]]]:
    bus = EventBus()
    events = record(bus)
    client = Client(3, far.time, far, PREPARED, from_numbered_backend, bus, far.time.ns, ns(4), open_loop=True)
    yield client, events  # type: ignore[misc]
    bus.flush()


def test_a_connect_timeout_while_the_answer_to_the_syn_is_on_its_way_is_one_failure(
    far: Far, client: tuple[Client, list[object]]
) -> None:
    one, events = client
    one.due(far.time.ns())
    far.time.advance(3.75)
    far.endpoint.lets_in()
    far.time.advance(0.25)
    one.due(far.time.ns())
    far.time.advance(0)
    far.fin()
    far.time.advance(HALF_S)
    far.endpoint.lets_in()
    far.time.advance(HALF_S)
    far.time.advance(HALF_S)
    far.end.dataReceived(answer_bytes(b"3-1"))
    far.time.advance(HALF_S)
    one.sink.flush()  # type: ignore[attr-defined]
    assert [(e.number, e.failure) for e in events if isinstance(e, Exchange)] == [
        (0, failures.CONNECT_TIMEOUT),
        (1, ""),
    ]
    assert [e for e in events if isinstance(e, FrontClosed)] == []
    assert [transport.aborted for transport in far.endpoint.transports] == [True, False]


# Sockets of the kernel's.


class Connecting(MemoryReactorClock):
    """A reactor whose connections have sockets of the kernel's."""

    def connectTCP(self, *where: Any, **how: Any) -> Any:
        connector: Any = super().connectTCP(*where, **how)
        connector.transport = KernelTransport()
        connector.transport.socket = socket.socket()
        return connector


@pytest.mark.skipif(not hasattr(socket, "TCP_DEFER_ACCEPT"), reason="Linux has it")
@pytest.mark.parametrize("is_far", [True, False])
def test_the_last_ack_of_a_handshake_goes_with_the_first_bytes(*, is_far: bool) -> None:
    time, reactor = Time(), Connecting()
    line = DelayLine(time, time.ns, ns(HALF_S)) if is_far else None
    opening = HTTP11Connector(reactor, "127.0.0.1", 8080, time.ns, line=line).connect(Owner(), 4)
    time.advance(HALF_S)
    [connector] = reactor.connectors
    with connector.transport.socket as handle:
        assert bool(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT)) is is_far
    connector.transport.release()
    opening.addErrback(lambda _reason: None)
    opening.cancel()


def kernels(far: Far) -> KernelTransport:
    """Open a connection over a socket of the kernel's."""
    far.endpoint.kernel = True
    far.opened()
    assert isinstance(far.transport, KernelTransport)
    return far.transport


def test_what_is_due_is_in_the_kernels_hands_at_once_and_in_order(far: Far) -> None:
    transport = kernels(far)
    pending_of(far.connections[0])
    far.time.advance(HALF_S)
    assert transport.arrived() == b"GET 3-0!\n"
    assert far.sent() == b""
    transport.fill()
    for number in range(2):
        far.connections[0].more(b"more %d\n" % number)
    far.time.advance(HALF_S)
    transport.far.recv(1 << 24)  # there is room again, but the transport has the first of it
    far.connections[0].more(b"the last\n")
    far.time.advance(HALF_S)
    assert far.sent() == b"more 0\nmore 1\nthe last\n"
    transport.release()


def test_what_is_due_on_a_socket_that_is_gone_is_lost(far: Far) -> None:
    transport = kernels(far)
    transport.far.close()
    pending_of(far.connections[0])
    far.time.advance(HALF_S)
    assert far.sent() == b""
    assert far.owner.heard == []
    far.reset()
    far.time.advance(HALF_S)
    assert far.owner.failures == [failures.RESET_FRESH]
    transport.release()


@attrs.frozen
class Grouped:
    """A far connection over a socket of the kernel's, which a group reads."""

    far: Far
    group: SocketGroup
    transport: KernelTransport

    def reads_the_end(self, *, reset: bool) -> None:
        """Let the group read a FIN, or the reactor's loss of the connection."""
        if reset:
            self.far.end.ended(Failure(ConnectionLost()))
        else:
            self.transport.far.shutdown(socket.SHUT_WR)
            self.group.doRead()


@pytest.fixture(name="grouped")
def _grouped() -> Iterator[Grouped]:
    far = Far(Readers())
    group = SocketGroup.on(far.time, far.time.ns)
    assert group is not None
    far.line.group = group
    far.line._alarm = ReactorAlarm(far.time, far.line._ring)
    transport = kernels(far)
    transport.protocol = far.end
    yield Grouped(far, group, transport)
    group.close()
    far.line.close()
    transport.release()


@pytest.mark.parametrize("reset", [False, True])
def test_a_group_reads_and_stamps_what_crosses_a_line_and_its_end(grouped: Grouped, *, reset: bool) -> None:
    far = grouped.far
    assert not grouped.transport.reading
    pending = pending_of(far.connections[0])
    far.time.advance(HALF_S)
    grouped.transport.far.send(answer_bytes(b"3-0"))
    grouped.group.doRead()
    far.time.advance(0.125)
    grouped.reads_the_end(reset=reset)
    far.time.advance(HALF_S - 0.125)
    assert far.owner.heard == [("answered",)]
    assert pending.last_byte_ns - pending.written_ns == ns(1)
    far.time.advance(0.125)
    assert far.owner.heard[1:] == [("closed", "idle", "reset" if reset else "")]
    assert grouped.transport.near.fileno() >= 0 or reset  # what is on its way to the proxy can be written still


@pytest.mark.parametrize(
    ("reset", "sent_s", "on_way"),
    [(False, 0.125, False), (False, -0.25, True), (True, 0.5, False), (True, 0.125, True)],
)
def test_what_is_on_its_way_when_the_end_is_heard_has_not_come_either(
    grouped: Grouped, monkeypatch: pytest.MonkeyPatch, *, reset: bool, sent_s: float, on_way: bool
) -> None:
    """It is sent so long before its socket reads the end, which the client hears half a second later."""

    def told(handle: socket.socket, *, fin: bool) -> LastState:
        assert handle.fileno() >= 0
        return LastState(fin, gone=False, unacknowledged=7)

    monkeypatch.setattr(far_module, "last_state", told)
    far = grouped.far
    pending = pending_of(far.connections[0]) if sent_s > 0 else None
    far.time.advance(max(0, sent_s))
    grouped.reads_the_end(reset=reset)
    far.time.advance(max(0, -sent_s))
    pending = pending or pending_of(far.connections[0])
    far.time.advance(HALF_S)
    assert far.owner.failures == [failures.RESET_FRESH if reset else failures.CLOSED_FRESH]
    unacknowledged = 7 + (len(b"GET 3-0!\n") if on_way else 0)
    assert pending.last_state == LastState(not reset, gone=False, unacknowledged=unacknowledged)


# Whose clients are not far away.


def test_without_a_distance_there_is_no_line() -> None:
    time = Time()
    crowds = Crowds(HTTP11Connector(time, "127.0.0.1", 8080, time.ns), Target.parse("http://front.test/"))  # type: ignore[arg-type]
    get = kind_named("get")
    near, far, as_far, farther = result_of(
        Deferred.fromCoroutine(
            crowds.of([group(get, 1), group(get, 1, 0.02), group(get, 2, 0.02), group(get, 1, 0.05)])
        )
    )
    connectors = [crowd.connector for crowd in (near, far, as_far, farther)]
    lines = [connector.line for connector in connectors if isinstance(connector, HTTP11Connector)]
    assert lines[0] is None
    assert lines[1] is lines[2] is not None
    assert lines[3] is not lines[1]
    assert [line.one_way_ns for line in crowds.lines.values()] == [ns(0.01), ns(0.025)]
    assert time.getDelayedCalls() == []
    crowds.close()
