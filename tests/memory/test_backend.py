"""A backend: it says who it is, to every request, and who comes and goes."""

from collections.abc import Iterator
from typing import NoReturn, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.test.requesthelper import DummyRequest

from proxyreload.backend.backend import Backend
from proxyreload.backend.http11 import BackendConnection, BackendFactory
from proxyreload.backend.log import BackendLog
from proxyreload.backend.uplink import Report, ReportReceiver
from proxyreload.errors import StartError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Arrival, BackClosed, Event
from proxyreload.system.clock import ns
from proxyreload.system.sockets import SocketGroup
from proxyreload.traffic.get import from_numbered_backend
from proxyreload.backend.resource import BackendResource
from proxyreload.traffic.identity import ID_LIMIT

from .fakes import (
    START_NS,
    KernelTransport,
    MemoryTransport,
    Owner,
    Readers,
    Time,
    Wire,
    error_of,
    parts,
    record,
    result_of,
    some_examples,
)


@attrs.define(eq=False)
class Inlet:
    """Backend 3 and a proxy's connection to it."""

    bus: EventBus = attrs.field(factory=EventBus)
    time: Time = attrs.field(factory=Time)
    transport: MemoryTransport = attrs.field(factory=lambda: MemoryTransport(1033, 51234))
    group: SocketGroup | None = None
    events: list[Event] = attrs.field(init=False)
    connection: BackendConnection = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.events = record(self.bus)
        log = BackendLog("3", self.bus, self.time.ns)
        factory = BackendFactory(BackendResource(3), log, self.group)
        self.connection = factory.buildProtocol(None)
        self.connection.makeConnection(self.transport)

    def asks(self, *chunks: bytes) -> bytes:
        """Send bytes and return what is answered to them."""
        self.transport.clear()
        for chunk in chunks:
            if not self.transport.disconnecting:
                self.connection.dataReceived(chunk)
        answered: bytes = self.transport.value()
        return answered

    def arrivals(self) -> list[Arrival]:
        self.bus.flush()
        return [event for event in self.events if isinstance(event, Arrival)]

    def ends(self) -> list[BackClosed]:
        return [event for event in self.events if isinstance(event, BackClosed)]

    def closes(self) -> None:
        self.connection.connectionLost(Failure(ConnectionDone()))


@pytest.fixture(name="inlet")
def _inlet() -> Inlet:
    return Inlet()


def request(request_id: bytes, method: bytes = b"GET", extra: bytes = b"") -> bytes:
    """Return a request as a proxy passes it on."""
    return b"%b / HTTP/1.1\r\nHost: x\r\nproxyreload-id: %b\r\n%b\r\n" % (method, request_id, extra)


def statuses(answered: bytes) -> list[bytes]:
    """Return the status codes in what was answered."""
    return [part[:3] for part in answered.split(b"HTTP/1.1 ")[1:]]


def test_an_answer_names_the_backend_the_proxys_port_and_the_request(inlet: Inlet) -> None:
    head, _, body = inlet.asks(request(b"4-17")).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    for line in (b"Backend-Id: 3", b"Source-Port: 51234", b"Proxyreload-Id: 4-17", b"Content-Length: 23"):
        assert line in lines
    assert body == b"backend 3 answers 4-17\n"


def test_an_answer_has_a_date(inlet: Inlet) -> None:
    assert b"\r\nDate: " in inlet.asks(request(b"4-17"))


def test_its_answer_is_what_a_client_expects(inlet: Inlet) -> None:
    owner = Owner()
    wire = Wire.open(owner, inlet.time)
    wire.connection.send(b"")
    wire.says(inlet.asks(request(b"4-17")))
    assert from_numbered_backend(wire.connection, b"4-17") == ("", "")
    assert (wire.connection.instance, wire.connection.back_port) == (b"3", b"51234")


def test_each_request_is_an_arrival(inlet: Inlet) -> None:
    inlet.asks(request(b"4-17"))
    inlet.asks(request(b"4-18"))
    assert [attrs.astuple(arrival) for arrival in inlet.arrivals()] == [
        ("3", "4-17", 51234, 0, START_NS),
        ("3", "4-18", 51234, 1, START_NS),
    ]


def test_requests_in_one_read_are_answered_in_their_order(inlet: Inlet) -> None:
    answered = inlet.asks(request(b"1-1") + request(b"2-2"))
    assert statuses(answered) == [b"200", b"200"]
    assert answered.index(b"answers 1-1") < answered.index(b"answers 2-2")


def test_a_request_is_answered_when_it_is_whole(inlet: Inlet) -> None:
    whole = request(b"1-1")
    assert inlet.asks(whole[:-1]) == b""
    assert statuses(inlet.asks(whole[-1:])) == [b"200"]


def test_a_request_with_a_body_is_answered_when_it_is_whole(inlet: Inlet) -> None:
    assert inlet.asks(request(b"1-1", b"POST", b"Content-Length: 3\r\n") + b"ab") == b""
    assert statuses(inlet.asks(b"c")) == [b"200"]


def test_an_answer_to_head_has_no_body(inlet: Inlet) -> None:
    answered = inlet.asks(request(b"1-1", b"HEAD"))
    assert statuses(answered) == [b"200"]
    assert answered.endswith(b"\r\n\r\n")


def test_a_request_that_asks_to_upgrade_has_one_answer(inlet: Inlet) -> None:
    answered = inlet.asks(request(b"1-1", extra=b"Connection: Upgrade\r\nUpgrade: h2c\r\n"))
    assert len(statuses(answered)) == 1
    assert len(inlet.arrivals()) <= 1


def test_a_connection_that_is_to_be_closed_is_closed_after_the_answer(inlet: Inlet) -> None:
    answered = inlet.asks(request(b"1-1", extra=b"Connection: close\r\n"))
    assert statuses(answered) == [b"200"]
    assert inlet.transport.closed


def test_what_is_no_request_is_answered_so_and_ends_the_connection(inlet: Inlet) -> None:
    assert statuses(inlet.asks(b"\x16\x03\x01 no request\r\n\r\n")) == [b"400"]
    assert inlet.transport.closed
    assert inlet.arrivals() == []


def test_a_request_without_an_id_is_answered(inlet: Inlet) -> None:
    assert inlet.asks(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").endswith(b"backend 3 answers \n")
    assert [arrival.request_id for arrival in inlet.arrivals()] == [""]


def test_an_id_is_not_taken_over_by_the_next_request(inlet: Inlet) -> None:
    inlet.asks(request(b"1-1"))
    inlet.asks(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [arrival.request_id for arrival in inlet.arrivals()] == ["1-1", ""]


def test_an_id_of_any_length_is_echoed_up_to_a_bound(inlet: Inlet) -> None:
    answered = inlet.asks(request(b"9" * 5000))
    assert b"Proxyreload-Id: " + b"9" * ID_LIMIT + b"\r\n" in answered
    assert len(answered) < 500


def test_a_connection_that_the_proxy_closes_is_told_with_what_it_carried(inlet: Inlet) -> None:
    inlet.asks(request(b"1-1") + request(b"2-2"))
    inlet.closes()
    assert inlet.ends() == [BackClosed("3", 51234, 2, probe_only=False, closed_ns=START_NS)]


@pytest.mark.parametrize(
    ("ids", "probe_only"),
    [((b"p10-0", b"p10-1"), True), ((b"f0-0",), True), ((b"p10-0", b"4-17"), False), ((b"",), True), ((), True)],
)
def test_a_connection_knows_if_it_carried_nothing_of_the_clients(
    inlet: Inlet,
    ids: tuple[bytes, ...],
    probe_only: bool,  # noqa: FBT001
) -> None:
    for request_id in ids:
        inlet.asks(request(request_id))
    inlet.closes()
    assert inlet.ends()[0].probe_only is probe_only


def test_closing_from_this_side_is_no_news(inlet: Inlet) -> None:
    inlet.connection.close()
    inlet.closes()
    assert inlet.transport.aborted
    assert inlet.ends() == []


def test_closing_as_the_proxy_asked_is_no_news(inlet: Inlet) -> None:
    inlet.asks(request(b"1-1", extra=b"Connection: close\r\n"))
    inlet.closes()
    assert inlet.ends() == []


# Over a socket of the kernel's.


class KernelInlet(Inlet):
    """One whose connection is a socket that a group reads."""

    def __attrs_post_init__(self) -> None:
        self.time = Readers()
        self.group = SocketGroup.on(self.time, self.time.ns)
        assert self.group is not None
        self.kernel = KernelTransport(1033, 51234)
        self.transport = self.kernel
        super().__attrs_post_init__()
        self.kernel.protocol = self.connection

    def asks(self, *chunks: bytes) -> bytes:
        for chunk in chunks:
            self.kernel.far.send(chunk)
            self.turn()
        return self.kernel.arrived()

    def turn(self) -> None:
        """Let the group read once."""
        assert self.group is not None
        self.group.doRead()


@pytest.fixture(name="kernel_inlet")
def _kernel_inlet() -> Iterator[KernelInlet]:
    inlet = KernelInlet()
    yield inlet
    assert inlet.group is not None
    inlet.group.close()
    inlet.kernel.release()


def test_an_answer_goes_to_the_socket_at_once(kernel_inlet: KernelInlet) -> None:
    assert statuses(kernel_inlet.asks(request(b"1-1"))) == [b"200"]
    assert statuses(kernel_inlet.asks(request(b"1-2") + request(b"1-3"))) == [b"200", b"200"]
    assert kernel_inlet.transport.value() == b""


def test_an_arrival_has_the_time_at_which_its_socket_was_read(kernel_inlet: KernelInlet) -> None:
    kernel_inlet.time.advance(0.25)
    kernel_inlet.asks(request(b"1-1"))
    assert [arrival.arrived_ns for arrival in kernel_inlet.arrivals()] == [START_NS + ns(0.25)]


def test_what_the_socket_does_not_take_follows_through_the_transport(kernel_inlet: KernelInlet) -> None:
    kernel = kernel_inlet.kernel
    kernel.fill()
    kernel.far.send(request(b"1-1"))
    kernel_inlet.turn()
    assert statuses(kernel.value()) == [b"200"]
    while kernel.arrived():
        pass
    # What is behind must not overtake.
    assert kernel_inlet.asks(request(b"1-2")) == b""
    assert statuses(kernel.value()) == [b"200", b"200"]


def test_a_proxy_that_closes_is_told_once(kernel_inlet: KernelInlet) -> None:
    kernel_inlet.asks(request(b"1-1"))
    kernel_inlet.kernel.far.close()
    kernel_inlet.turn()
    kernel_inlet.turn()
    assert [(end.back_port, end.carried) for end in kernel_inlet.ends()] == [(51234, 1)]


def test_a_proxy_that_asks_and_goes_is_no_error(kernel_inlet: KernelInlet) -> None:
    kernel_inlet.kernel.far.send(request(b"1-1"))
    kernel_inlet.kernel.far.close()
    kernel_inlet.turn()
    kernel_inlet.turn()
    assert len(kernel_inlet.arrivals()) == 1
    assert len(kernel_inlet.ends()) == 1


def test_an_end_that_the_transport_has_noticed_itself_is_told_all_the_same(kernel_inlet: KernelInlet) -> None:
    kernel_inlet.kernel.connectionLost(Failure(ConnectionDone()))
    assert len(kernel_inlet.ends()) == 1


def test_after_closing_from_this_side_nothing_more_is_read(kernel_inlet: KernelInlet) -> None:
    kernel_inlet.connection.close()
    kernel_inlet.kernel.far.send(request(b"1-1"))
    kernel_inlet.turn()
    assert kernel_inlet.arrivals() == []


# Whatever arrives.


CUTS = st.lists(st.integers(0, 1000), max_size=8)


@some_examples
@given(st.lists(st.sampled_from((b"0-0", b"12-345", b"p10-3", b"")), min_size=1, max_size=5), CUTS)
def test_however_requests_are_split_each_has_one_answer_and_one_arrival(ids: list[bytes], cuts: list[int]) -> None:
    inlet = Inlet()
    stream = b"".join(request(request_id) for request_id in ids)
    answered = inlet.asks(*parts(stream, cuts))
    assert statuses(answered) == [b"200"] * len(ids)
    assert [arrival.request_id.encode() for arrival in inlet.arrivals()] == ids


@some_examples
@given(st.binary(max_size=200), CUTS)
def test_whatever_arrives_it_does_not_raise(stream: bytes, cuts: list[int]) -> None:
    inlet = Inlet()
    answered = inlet.asks(*parts(stream, cuts))
    assert set(statuses(answered)) <= {b"200", b"400"}
    inlet.closes()


# The resource under another server.


def test_the_resource_answers_the_same_under_twisted_web() -> None:
    dummy = DummyRequest([])
    dummy.client = IPv4Address("TCP", "127.0.0.1", 51234)
    dummy.requestHeaders.setRawHeaders("Proxyreload-Id", ["4-17"])
    body = BackendResource(3).render(cast(IRequest, dummy))
    assert body == b"backend 3 answers 4-17\n"
    assert dummy.responseHeaders.getRawHeaders("Backend-Id") == ["3"]
    assert dummy.responseHeaders.getRawHeaders("Source-Port") == ["51234"]
    assert dummy.responseHeaders.getRawHeaders("Proxyreload-Id") == ["4-17"]


# Listening.


class Taken(MemoryReactor):
    """A reactor in memory, on which every port is taken."""

    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> NoReturn:
        raise CannotListenError(interface, port, OSError("Address already in use"))


def test_it_listens_on_its_port_until_it_is_stopped() -> None:
    reactor = MemoryReactor()
    backend = Backend(3, 1033, EventBus(), Time().ns)
    result_of(Deferred.fromCoroutine(backend.start(reactor)))
    [(port, _factory, _backlog, interface)] = reactor.tcpServers
    assert (port, interface, backend.address) == (1033, "127.0.0.1", "127.0.0.1:1033")
    result_of(Deferred.fromCoroutine(backend.stop()))
    result_of(Deferred.fromCoroutine(backend.stop()))


def test_stopping_drops_every_connection_without_news() -> None:
    reactor, bus = MemoryReactor(), EventBus()
    events = record(bus)
    backend = Backend(3, 1033, bus, Time().ns)
    result_of(Deferred.fromCoroutine(backend.start(reactor)))
    transport = MemoryTransport(1033, 51234)
    connection = reactor.tcpServers[0][1].buildProtocol(IPv4Address("TCP", "127.0.0.1", 51234))
    assert connection is not None
    connection.makeConnection(transport)
    result_of(Deferred.fromCoroutine(backend.stop()))
    assert transport.aborted
    connection.connectionLost(Failure(ConnectionDone()))
    assert events == []


def test_a_port_that_is_taken_is_named() -> None:
    backend = Backend(0, 1030, EventBus(), Time().ns)
    error = error_of(Deferred.fromCoroutine(backend.start(Taken())), StartError)
    result_of(Deferred.fromCoroutine(backend.stop()))
    assert str(error) == "port 1030 (backend 0) cannot be listened on: Address already in use"


def test_a_backend_that_never_started_can_be_stopped() -> None:
    result_of(Deferred.fromCoroutine(Backend(0, 1030, EventBus(), Time().ns).stop()))


# What one in a process of its own reports.


@attrs.define(eq=False)
class Reporting:
    """The bus of a backend's process, the run's bus, and the wire between them."""

    there: EventBus = attrs.field(factory=EventBus)
    here: EventBus = attrs.field(factory=EventBus)
    listening: Deferred[None] = attrs.field(factory=Deferred)
    ended: Deferred[None] = attrs.field(factory=Deferred)
    wire: bytearray = attrs.field(factory=bytearray)
    report: Report = attrs.field(init=False)
    receiver: ReportReceiver = attrs.field(init=False)
    events: list[Event] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.report = Report(self.wire.extend)
        self.report.subscribe(self.there)
        self.receiver = ReportReceiver("3", self.here, self.listening, self.ended)
        self.receiver.makeConnection(MemoryTransport())
        self.events = record(self.here)

    def carry(self, cuts: list[int]) -> None:
        self.there.flush()
        for part in parts(bytes(self.wire), cuts):
            self.receiver.dataReceived(part)
        self.here.flush()


@some_examples
@given(CUTS)
def test_what_is_reported_arrives_as_it_was_sent(cuts: list[int]) -> None:
    reporting = Reporting()
    reporting.report.listening()
    sent: list[Event] = [
        Arrival("3", "4-17", 51234, 0, START_NS),
        Arrival("3", "é\n\x00", 51235, 7, START_NS + 1),
        BackClosed("3", 51234, 1, probe_only=True, closed_ns=START_NS + 2),
    ]
    for event in sent[:2]:
        assert isinstance(event, Arrival)
        reporting.there.arrived(event)
    reporting.there.publish(sent[2])
    reporting.carry(cuts)
    result_of(reporting.listening)
    assert [attrs.astuple(event) for event in reporting.events] == [attrs.astuple(event) for event in sent]


def test_the_end_of_a_report_is_told() -> None:
    reporting = Reporting()
    reporting.receiver.connectionLost(Failure(ConnectionDone()))
    result_of(reporting.ended)
