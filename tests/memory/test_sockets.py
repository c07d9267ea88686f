"""Sockets that are read in one go and written to in one go."""

import select
import socket
import struct
from collections.abc import Iterator

import attrs
import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from proxyreload.client import http11
from proxyreload.client.client import Client
from proxyreload.client.interfaces import IConnection, IConnectionOwner
from proxyreload.client.pending import Pending
from proxyreload.history import failures
from proxyreload.history.bus import EventBus
from proxyreload.history.events import CutExchange, Ending, Exchange, FrontClosed
from proxyreload.system import sockets
from proxyreload.system.clock import ns
from proxyreload.system.sockets import SocketGroup
from proxyreload.system.tcpinfo import LastState
from proxyreload.traffic.get import from_numbered_backend

from .clocks import START_NS, Readers, result_of
from .connections import PREPARED, Front, KernelTransport, Owner, Wire, answer_bytes
from .happened import record

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@attrs.define(eq=False)
class Desk:
    """A group and its reactor."""

    reactor: Readers = attrs.field(factory=Readers)
    ticks: int = 0
    group: SocketGroup = attrs.field(init=False)
    transports: list[KernelTransport] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        group = SocketGroup.on(self.reactor, self.tick)
        assert group is not None
        self.group = group

    def tick(self) -> int:
        """Return a time that is later each time it is asked for."""
        self.ticks += 1
        return START_NS + self.ticks

    def open(self, owner: IConnectionOwner) -> tuple[Wire, KernelTransport]:
        """Connect `owner` over a socket of the group."""
        transport = KernelTransport(40000 + len(self.transports))
        self.transports.append(transport)
        wire = Wire.open(owner, self.reactor, transport, group=self.group)
        transport.protocol = wire.connection
        return wire, transport

    def release(self) -> None:
        self.group.close()
        for transport in self.transports:
            transport.release()


@pytest.fixture(name="desk")
def _desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.release()


@pytest.fixture(name="owner")
def _owner() -> Owner:
    return Owner()


@attrs.define(eq=False)
class Member:
    """Writes down what it takes, and writes back when it is its turn."""

    desk: Desk
    name: str
    log: list[str]
    near: socket.socket
    answers: bool = False

    def received(self, data: bytes, at_ns: int) -> None:
        self.log.append(f"{self.name} took {data.decode()} at {at_ns - START_NS}")
        if self.answers:
            self.desk.group.to_transmit(self.near.fileno(), self)

    def ended(self, reason: Failure) -> None:
        self.log.append(f"{self.name} ended by {type(reason.value).__name__}")

    def transmit(self, *, readable: bool) -> None:
        self.log.append(f"{self.name} writes{', but there is more to read' if readable else ''}")


def member(desk: Desk, name: str, log: list[str], *, answers: bool = False) -> tuple[Member, KernelTransport]:
    """Return a member of the group and its socket."""
    transport = KernelTransport()
    desk.transports.append(transport)
    each = Member(desk, name, log, transport.near, answers)
    desk.group.add(transport.near, each)
    return each, transport


# The group.


def test_the_reactor_reads_the_group_until_it_is_closed(desk: Desk) -> None:
    assert desk.reactor.watched == [desk.group]
    desk.group.close()
    desk.group.close()
    assert desk.reactor.watched == []


def test_a_reactor_that_cannot_watch_descriptors_has_no_group() -> None:
    assert SocketGroup.on(Clock(), lambda: 0) is None


def test_every_socket_is_read_and_stamped_before_any_work_is_done(desk: Desk) -> None:
    log = list[str]()
    for name in "abc":
        _member, transport = member(desk, name, log, answers=True)
        transport.far.send(b"hello")
    desk.group.doRead()
    assert sorted(log[:3]) == [f"{line[0]} took hello at {line[-1]}" for line in sorted(log[:3])]
    assert {line[-1] for line in log[:3]} == {"1", "2", "3"}
    assert sorted(log[3:]) == ["a writes", "b writes", "c writes"]


def test_what_came_meanwhile_is_known_when_it_is_time_to_write(desk: Desk) -> None:
    log = list[str]()
    each, transport = member(desk, "a", log)
    transport.far.send(b"more")
    desk.group.to_transmit(each.near.fileno(), each)
    assert log == ["a writes, but there is more to read"]


def test_what_came_is_known_however_many_sockets_something_came_to(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_EVENTS_AT_ONCE", 2, raising=False)
    log = list[str]()
    members = [member(desk, name, log) for name in "abcde"]
    for _each, transport in members:
        transport.far.shutdown(socket.SHUT_WR)
    for each, _transport in members:
        desk.group.to_transmit(each.near.fileno(), each)
    assert log == [f"{name} writes, but there is more to read" for name in "abcde"]


def test_outside_a_turn_writing_is_at_once(desk: Desk) -> None:
    log = list[str]()
    each, _transport = member(desk, "a", log)
    desk.group.to_transmit(each.near.fileno(), each)
    assert log == ["a writes"]


def test_an_end_in_order_is_told_once(desk: Desk) -> None:
    log = list[str]()
    _each, transport = member(desk, "a", log)
    transport.far.close()
    desk.group.doRead()
    desk.group.doRead()
    assert log == ["a ended by ConnectionDone"]


def test_bytes_before_the_end_are_taken_first(desk: Desk) -> None:
    log = list[str]()
    _each, transport = member(desk, "a", log)
    transport.far.send(b"last words")
    transport.far.close()
    desk.group.doRead()
    desk.group.doRead()
    assert log == ["a took last words at 1", "a ended by ConnectionDone"]


def test_a_reset_is_told_as_one(desk: Desk) -> None:
    log = list[str]()
    _each, transport = member(desk, "a", log)
    transport.near.send(b"never read")
    transport.far.close()
    desk.group.doRead()
    assert log == ["a ended by ConnectionLost"]


def test_one_that_was_removed_is_read_no_more(desk: Desk) -> None:
    log = list[str]()
    _each, transport = member(desk, "a", log)
    transport.far.send(b"unread")
    desk.group.remove(transport.near.fileno())
    desk.group.remove(transport.near.fileno())
    desk.group.doRead()
    assert log == []


def test_with_nothing_to_read_nothing_happens(desk: Desk) -> None:
    log = list[str]()
    member(desk, "a", log)
    desk.group.doRead()
    assert log == []


# A connection over it.


def test_the_transport_leaves_reading_to_the_group(desk: Desk, owner: Owner) -> None:
    _wire, transport = desk.open(owner)
    assert not transport.reading


def test_a_request_is_written_to_the_socket_at_once_and_once(desk: Desk, owner: Owner) -> None:
    wire, transport = desk.open(owner)
    wire.send()
    assert transport.arrived() == b"GET 0!\n"
    desk.group.doRead()
    assert transport.arrived() == b""
    assert transport.value() == b""


def test_an_answer_is_taken_with_the_time_at_which_its_socket_was_read(desk: Desk, owner: Owner) -> None:
    wire, transport = desk.open(owner)
    wire.send()
    transport.far.send(OK)
    read_ns = START_NS + desk.ticks + 1
    desk.group.doRead()
    assert owner.heard == [("answered",)]
    assert wire.pending.first_byte_ns == wire.pending.last_byte_ns == read_ns


def test_what_the_socket_does_not_take_at_once_follows_through_the_transport(desk: Desk, owner: Owner) -> None:
    wire, transport = desk.open(owner)
    payload = b"x" * 8_000_000
    wire.send(payload)
    taken = b""
    while more := transport.arrived():
        taken += more
    assert 0 < len(taken) < len(payload)
    assert taken + transport.value() == payload


def test_a_full_socket_loses_nothing(desk: Desk, owner: Owner) -> None:
    wire, transport = desk.open(owner)
    transport.fill()
    wire.send()
    assert transport.value() == b"GET 0!\n"


def idle(desk: Desk, owner: Owner) -> tuple[Wire, KernelTransport]:
    """Return a connection that has carried one exchange."""
    wire, transport = desk.open(owner)
    wire.send()
    transport.arrived()
    transport.far.send(OK)
    desk.group.doRead()
    assert owner.heard == [("answered",)]
    return wire, transport


def test_a_close_that_was_not_read_yet_is_seen_before_the_next_request(desk: Desk, owner: Owner) -> None:
    wire, transport = idle(desk, owner)
    transport.far.shutdown(socket.SHUT_WR)
    wire.send(b"GET 1!\n")
    assert transport.arrived() == b""
    desk.group.doRead()
    assert owner.heard[1:] == [("closed", "idle", "")]
    assert wire.connection.carried == 1
    assert wire.pending.written_ns == 0


def test_bytes_that_were_not_read_yet_are_seen_before_the_next_request(desk: Desk, owner: Owner) -> None:
    wire, transport = idle(desk, owner)
    transport.far.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    wire.send(b"GET 1!\n")
    assert transport.arrived() == b""
    desk.group.doRead()
    assert owner.heard[1:] == [("closed", "unasked", r"HTTP/1.1 408 Request Timeout\r\n\r\n")]


def test_an_idle_connection_that_turns_out_dead_when_written_to_has_lost_no_request(desk: Desk, owner: Owner) -> None:
    wire, transport = idle(desk, owner)
    transport.near.shutdown(socket.SHUT_WR)  # nothing can be read, but what is written is refused
    wire.send(b"GET 1!\n")
    transport.far.close()
    desk.group.doRead()
    assert owner.heard[1:] == [("closed", "idle", "")]
    assert wire.connection.carried == 1
    assert wire.pending.written_ns == 0


def test_a_fresh_connection_that_turns_out_dead_when_written_to_fails_its_request(desk: Desk, owner: Owner) -> None:
    wire, transport = desk.open(owner)
    transport.far.close()
    wire.send()
    desk.group.doRead()
    assert owner.failures == [failures.CLOSED_FRESH]


def test_a_request_that_was_met_by_a_close_is_the_keep_alive_race(desk: Desk, owner: Owner) -> None:
    wire, transport = idle(desk, owner)
    wire.send(b"GET 1!\n")
    assert transport.arrived() == b"GET 1!\n"
    transport.far.close()
    desk.group.doRead()
    assert owner.failures == [failures.CLOSED_REUSED]


def test_a_request_that_was_met_by_a_reset_is_the_keep_alive_race(desk: Desk, owner: Owner) -> None:
    wire, transport = idle(desk, owner)
    wire.send(b"GET 1!\n")
    transport.far.close()  # with the request unread
    desk.group.doRead()
    assert owner.failures == [failures.RESET_REUSED]


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return two ends of a TCP connection: the kernel tells of a reset once, which a Unix socket does not."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        far, _address = listening.accept()
    return near, far


def test_a_reset_that_was_told_to_who_writes_is_one(desk: Desk, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socketpair", tcp_pair)
    wire, transport = idle(desk, owner)
    wire.send(b"POST 1!\n")
    select.select([transport.far], [], [])
    transport.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.far.close()
    select.select([transport.near], [], [])
    wire.connection.more(b"a piece")  # which the kernel refuses, and has told of the reset with it
    desk.group.doRead()
    assert owner.failures == [failures.RESET_REUSED]


# What the kernel is asked of a connection that ends.


@pytest.fixture(name="asked")
def _asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Let the kernel say the same each time it is asked; return of which ends it was."""
    asked = list[bool]()

    def told(handle: socket.socket, *, fin: bool) -> LastState:
        assert handle.fileno() >= 0  # it is open still
        asked.append(fin)
        return LastState(fin, gone=False, unacknowledged=7)

    monkeypatch.setattr(http11, "last_state", told)
    return asked


@pytest.mark.parametrize("fin", [True, False])
def test_with_a_request_under_way_the_kernel_is_asked_before_the_socket_is_closed(
    desk: Desk, owner: Owner, asked: list[bool], *, fin: bool
) -> None:
    wire, transport = idle(desk, owner)
    wire.send(b"GET 1!\n")
    if fin:
        transport.arrived()
    transport.far.close()
    desk.group.doRead()
    assert owner.failures == [failures.CLOSED_REUSED if fin else failures.RESET_REUSED]
    assert wire.pending.last_state == LastState(fin, gone=False, unacknowledged=7)
    assert asked == [fin]


def test_of_a_connection_that_rested_it_is_not_asked(desk: Desk, owner: Owner, asked: list[bool]) -> None:
    _wire, transport = idle(desk, owner)
    transport.far.close()
    desk.group.doRead()
    assert owner.heard[1:] == [("closed", "idle", "")]
    assert asked == []


def test_of_an_answer_that_ends_with_its_connection_it_is_not_asked(
    desk: Desk, owner: Owner, asked: list[bool]
) -> None:
    wire, transport = desk.open(owner)
    wire.send()
    transport.arrived()
    transport.far.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    transport.far.close()
    desk.group.doRead()
    desk.group.doRead()
    assert owner.heard == [("answered",)]
    assert asked == []


@pytest.mark.parametrize("how", ["refused", "in part"])
def test_of_what_the_kernel_has_not_taken_it_is_not_asked(
    desk: Desk, owner: Owner, asked: list[bool], how: str
) -> None:
    wire, transport = desk.open(owner)
    if how == "refused":
        transport.near.shutdown(socket.SHUT_WR)
    wire.send(b"x" * 8_000_000)
    transport.far.close()
    desk.group.doRead()
    assert len(owner.failures) == 1
    assert asked == []
    assert wire.pending.last_state is None


def test_what_it_knew_is_told_with_the_failure_and_how_long_the_request_was(desk: Desk, asked: list[bool]) -> None:
    transport = KernelTransport()
    desk.transports.append(transport)

    class Grouped(Front):
        def _open(self, owner: IConnectionOwner) -> IConnection:
            self.wires.append(Wire.open(owner, desk.reactor, transport, group=desk.group))
            transport.protocol = self.wire.connection
            return self.wire.connection

    bus = EventBus()
    events = record(bus)
    front = Grouped(desk.reactor)
    client = Client(3, desk.reactor, front, PREPARED, from_numbered_backend, bus, desk.tick, ns(1), open_loop=True)
    client.due(1)
    assert transport.arrived() == b"GET 3-0!\n"
    front.wire.connection.more(b"and more")
    transport.far.close()
    desk.group.doRead()
    bus.flush()
    (exchange,) = [event for event in events if isinstance(event, Exchange)]
    assert isinstance(exchange, CutExchange)
    assert exchange.last_state == LastState(asked[0], gone=False, unacknowledged=7)
    assert exchange.size == len(b"GET 3-0!\nand more")


def test_while_a_request_waits_for_its_turn_to_be_written_there_is_no_room_for_another(desk: Desk) -> None:
    rooms = list[int]()

    class Asker(Owner):
        def answered(self, connection: IConnection, pending: Pending) -> None:
            super().answered(connection, pending)
            rooms.append(connection.room)
            connection.send(b"GET 1!\n", Pending(1, b""))
            rooms.append(connection.room)

    wire, transport = desk.open(Asker())
    wire.send()
    transport.arrived()
    transport.far.send(OK)
    desk.group.doRead()
    assert transport.arrived() == b"GET 1!\n"
    assert [*rooms, wire.connection.room] == [1, 0, 0]


@pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()])
def test_an_end_that_the_transport_has_noticed_itself_is_told_all_the_same(
    desk: Desk, owner: Owner, reason: Exception
) -> None:
    wire, transport = desk.open(owner)
    wire.send()
    transport.connectionLost(Failure(reason))
    assert len(owner.failures) == 1
    desk.group.doRead()
    assert len(owner.heard) == 1


@pytest.mark.parametrize("way", ["close", "abort"])
def test_after_its_own_close_nothing_more_is_read(desk: Desk, owner: Owner, way: str) -> None:
    wire, transport = desk.open(owner)
    wire.send()
    transport.far.send(OK)
    getattr(wire.connection, way)()
    desk.group.doRead()
    assert owner.heard == []


# Clients over it.


@attrs.define(eq=False)
class KernelFront(Front):
    """A front whose connections are sockets of a group."""

    desk: Desk = attrs.field(kw_only=True)

    def _open(self, owner: IConnectionOwner) -> IConnection:
        wire, _transport = self.desk.open(owner)
        self.wires.append(wire)
        connection: IConnection = wire.connection
        return connection


def clients(desk: Desk, bus: EventBus, number: int, *, open_loop: bool = False) -> list[Client]:
    """Return clients whose connections are sockets of the group."""
    front = KernelFront(desk.reactor, desk=desk)
    return [
        Client(
            number=each,
            reactor=desk.reactor,
            connector=front,
            prepared=PREPARED,
            expectation=from_numbered_backend,
            sink=bus,
            clock_ns=desk.reactor.ns,
            timeout_ns=ns(4),
            open_loop=open_loop,
        )
        for each in range(number)
    ]


def answer_all(desk: Desk) -> None:
    """Answer every request that has come."""
    for transport in desk.transports:
        for line in transport.arrived().splitlines() if transport.far.fileno() >= 0 else ():
            transport.far.send(answer_bytes(line.removeprefix(b"GET ").removesuffix(b"!")))
    desk.group.doRead()


def test_clients_go_on_side_by_side(desk: Desk) -> None:
    bus = EventBus()
    events = record(bus)
    for client in clients(desk, bus, 3):
        client.start()
    for _ in range(4):
        answer_all(desk)
    bus.flush()
    exchanges = [event for event in events if isinstance(event, Exchange)]
    assert sorted((e.client, e.number) for e in exchanges) == [(client, n) for client in range(3) for n in range(4)]
    assert {e.failure for e in exchanges} == {""}


def test_a_close_that_was_not_read_yet_costs_no_request(desk: Desk) -> None:
    bus = EventBus()
    events = record(bus)
    [client] = clients(desk, bus, 1, open_loop=True)
    client.due(START_NS)
    answer_all(desk)
    desk.transports[0].far.close()
    client.due(START_NS)
    desk.group.doRead()
    answer_all(desk)
    result_of(client.stop())
    bus.flush()
    exchanges = [event for event in events if isinstance(event, Exchange)]
    assert [(e.number, e.failure, e.connection) for e in exchanges] == [(0, "", 0), (1, "", 1)]
    assert [event.ending for event in events if isinstance(event, FrontClosed)] == [Ending.IDLE]


def test_a_close_in_one_read_with_others_answers_costs_no_request(desk: Desk) -> None:
    bus = EventBus()
    events = record(bus)
    for client in clients(desk, bus, 3):
        client.start()
    for transport in desk.transports:
        request_id = transport.arrived().strip().removeprefix(b"GET ").removesuffix(b"!")
        transport.far.send(answer_bytes(request_id))
    desk.transports[1].far.shutdown(socket.SHUT_WR)
    desk.group.doRead()
    assert desk.transports[1].arrived() == b""
    for _ in range(3):
        answer_all(desk)
    bus.flush()
    exchanges = [event for event in events if isinstance(event, Exchange)]
    assert {e.failure for e in exchanges} == {""}
    assert {e.connection for e in exchanges if e.client == 1} == {0, 1}


def test_a_group_that_is_closed_in_its_own_turn_reads_no_more(desk: Desk) -> None:
    class Closer(Member):
        def received(self, data: bytes, at_ns: int) -> None:
            super().received(data, at_ns)
            self.desk.group.close()

    log: list[str] = []
    transport = KernelTransport()
    desk.transports.append(transport)
    desk.group.add(transport.near, Closer(desk, "a", log, transport.near))
    transport.far.send(b"x")
    desk.group.doRead()
    assert desk.group.fileno() == -1
    assert len(log) == 1


def test_when_much_has_been_made_of_what_was_read_somebody_is_told_once_it_is_all_worked_on(desk: Desk) -> None:
    made: list[str] = []
    told: list[list[str]] = []
    desk.group.made = made
    desk.group.worked = lambda: told.append(made[:])
    (_one, first), (_two, second) = member(desk, "one", made), member(desk, "two", made)
    first.far.send(b"x")
    desk.group.doRead()
    assert told == []
    made += ["other"] * (sockets.MADE_AT_ONCE - 2)
    first.far.send(b"x")
    second.far.send(b"x")
    desk.group.doRead()
    assert [len(each) for each in told] == [sockets.MADE_AT_ONCE + 1]
