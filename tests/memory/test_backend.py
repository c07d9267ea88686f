"""A backend: it says who it is, to every request, and who comes and goes."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.test.requesthelper import DummyRequest

from proxyreload.backend.backend import Backend
from proxyreload.backend.http11 import BackendConnection, BackendFactory
from proxyreload.backend.log import BackendLog
from proxyreload.backend.resource import BackendResource
from proxyreload.backend.uplink import Uplink, UplinkReceiver
from proxyreload.errors import StartError
from proxyreload.history.bus import FLUSH_INTERVAL_S, EventBus
from proxyreload.history.events import Arrival, BackClosed, Broken, Event
from proxyreload.history.order import FOREVER_NS, History, Source
from proxyreload.system.clock import ns
from proxyreload.system.sockets import SocketGroup
from proxyreload.traffic.get import from_numbered_backend
from proxyreload.traffic.identity import ID_LIMIT

from .clocks import START_NS, Readers, Time, error_of, result_of, some_examples, waits
from .connections import KernelTransport, MemoryTransport, Owner, Wire, parts
from .happened import record


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
        factory = BackendFactory(BackendResource(3), log, self.time, self.group)
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


#: A request of which the last byte of the body is missing.
UPLOAD = request(b"1-1", b"POST", b"Content-Length: 3\r\n") + b"ab"


class SlowTransport(MemoryTransport):
    """One that takes a quarter of a second to be written to."""

    def __init__(self, time: Time) -> None:
        super().__init__(1033, 51234)
        self.time = time

    def write(self, data: bytes) -> None:
        self.time.advance(0.25)
        super().write(data)


def stages(arrivals: Sequence[Arrival]) -> list[tuple[str, int | None, int | None, int | None, int | None, bool]]:
    """Return how far each had come when it was told, by when: since `START_NS`, None is never."""

    def since(at_ns: int) -> int | None:
        return at_ns - START_NS if at_ns else None

    return [
        (a.request_id, since(a.received_ns), since(a.executed_ns), since(a.answered_ns), since(a.given_up_ns), a.again)
        for a in arrivals
    ]


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
    wire.send(b"")
    wire.says(inlet.asks(request(b"4-17")))
    assert owner.settled == [wire.pending]
    assert from_numbered_backend(wire.pending, b"4-17") == ("", "")
    assert (wire.pending.instance, wire.pending.back_port) == (b"3", b"51234")


def test_each_request_is_an_arrival(inlet: Inlet) -> None:
    inlet.asks(request(b"4-17"))
    inlet.asks(request(b"4-18"))
    assert [attrs.astuple(arrival) for arrival in inlet.arrivals()] == [
        ("3", "4-17", 51234, 0, START_NS, START_NS, START_NS, 0, False),
        ("3", "4-18", 51234, 1, START_NS, START_NS, START_NS, 0, False),
    ]


def test_a_request_that_is_answered_at_once_is_told_once_and_after_its_answer_was_written() -> None:
    time = Time()
    inlet = Inlet(time=time, transport=SlowTransport(time))
    inlet.asks(request(b"1-1"))
    assert stages(inlet.arrivals()) == [("1-1", 0, 0, ns(0.25), None, False)]


def test_requests_that_are_written_in_one_go_are_answered_in_one_go() -> None:
    time = Time()
    inlet = Inlet(time=time, transport=SlowTransport(time))
    inlet.asks(request(b"1-1") + request(b"2-2"))
    assert stages(inlet.arrivals()) == [
        ("1-1", 0, 0, ns(0.25), None, False),
        ("2-2", 0, 0, ns(0.25), None, False),
    ]


def test_an_upload_whose_body_is_not_whole_is_received_only_and_then_executed_and_answered(inlet: Inlet) -> None:
    inlet.asks(UPLOAD)
    assert stages(inlet.arrivals()) == [("1-1", 0, None, None, None, False)]
    inlet.time.advance(0.5)
    inlet.asks(b"c")
    assert stages(inlet.arrivals())[1:] == [("1-1", 0, ns(0.5), ns(0.5), None, True)]
    assert {(arrival.instance, arrival.back_port, arrival.carried) for arrival in inlet.arrivals()} == {("3", 51234, 0)}


def test_an_upload_is_received_once_however_many_reads_its_body_takes(inlet: Inlet) -> None:
    inlet.asks(request(b"1-1", b"POST", b"Content-Length: 9\r\n"), *[b"x"] * 9)
    assert stages(inlet.arrivals()) == [("1-1", 0, None, None, None, False), ("1-1", 0, 0, 0, None, True)]


def test_an_upload_that_is_whole_in_one_read_is_told_once(inlet: Inlet) -> None:
    inlet.asks(UPLOAD + b"c")
    assert stages(inlet.arrivals()) == [("1-1", 0, 0, 0, None, False)]


def test_a_head_that_is_not_whole_has_not_been_received(inlet: Inlet) -> None:
    inlet.asks(UPLOAD[:20])
    inlet.closes()
    assert inlet.arrivals() == []


def test_a_request_is_not_told_again_because_the_one_before_it_was(inlet: Inlet) -> None:
    inlet.asks(UPLOAD, b"c" + request(b"2-2"))
    assert stages(inlet.arrivals())[2:] == [("2-2", 0, 0, 0, None, False)]


def test_an_upload_behind_a_request_is_told_apart_from_it(inlet: Inlet) -> None:
    inlet.asks(request(b"0-0") + UPLOAD)
    # The one is told when it is answered, which is after the whole read has been worked on.
    assert sorted(
        (stage[0], arrival.carried) for stage, arrival in zip(stages(inlet.arrivals()), inlet.arrivals(), strict=True)
    ) == [("0-0", 0), ("1-1", 1)]
    assert ("1-1", 0, None, None, None, False) in stages(inlet.arrivals())
    assert ("0-0", 0, 0, 0, None, False) in stages(inlet.arrivals())


def test_a_proxy_that_closes_when_only_the_head_had_come_has_given_the_request_up(inlet: Inlet) -> None:
    inlet.asks(UPLOAD)
    inlet.time.advance(0.5)
    inlet.closes()
    assert stages(inlet.arrivals()) == [
        ("1-1", 0, None, None, None, False),
        ("1-1", 0, None, None, ns(0.5), True),
    ]
    assert inlet.ends() == [BackClosed("3", 51234, 0, probe_only=True, closed_ns=START_NS + ns(0.5))]


def test_what_is_given_up_is_told_before_the_end_of_its_connection(inlet: Inlet) -> None:
    inlet.asks(UPLOAD)
    inlet.closes()
    inlet.arrivals()
    assert [type(event) for event in inlet.events] == [Arrival, Arrival, BackClosed]


def test_what_was_answered_is_not_given_up(inlet: Inlet) -> None:
    inlet.asks(UPLOAD, b"c")
    told = stages(inlet.arrivals())
    inlet.closes()
    assert stages(inlet.arrivals()) == told


def test_closing_from_this_side_is_not_the_proxys_giving_up(inlet: Inlet) -> None:
    inlet.asks(UPLOAD)
    inlet.connection.close()
    inlet.closes()
    assert stages(inlet.arrivals()) == [("1-1", 0, None, None, None, False)]


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


class BufferingTransport(KernelTransport):
    """One that asks its producer for more as Twisted's do: as it is registered, and when the kernel has all."""

    def registerProducer(self, producer: IPullProducer, streaming: bool) -> None:  # noqa: FBT001
        super().registerProducer(producer, streaming)
        assert not streaming
        producer.resumeProducing()

    def drain(self) -> bytes:
        """Let the far end read, and the kernel take what was buffered; return that."""
        while self.arrived():
            pass
        buffered: bytes = self.value()
        self.clear()
        self.near.send(buffered)
        if self.producer is not None:
            self.producer.resumeProducing()
        return buffered

    def connectionLost(self, reason: Failure) -> None:
        """Want no more, before all else."""
        if self.producer is not None:
            self.producer.stopProducing()
            self.producer = None
        super().connectionLost(reason)


class KernelInlet(Inlet):
    """One whose connection is a socket that a group reads."""

    def __attrs_post_init__(self) -> None:
        self.time = Readers()
        self.group = SocketGroup.on(self.time, self.time.ns)
        assert self.group is not None
        self.kernel = BufferingTransport(1033, 51234)
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
    assert stages(kernel_inlet.arrivals()) == [("1-1", *[ns(0.25)] * 3, None, False)]


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


def asks_in_vain(inlet: KernelInlet, *requests: bytes) -> None:
    """Send requests whose answers the kernel does not take."""
    inlet.kernel.fill()
    for each in requests:
        inlet.kernel.far.send(each)
        inlet.turn()


def executed(request_id: str, *, again: bool = False) -> tuple[str, int, int, None, None, bool]:
    """Return what is told of a request that has been acted on, and whose answer waits."""
    return (request_id, 0, 0, None, None, again)


def test_a_request_is_answered_only_once_the_kernel_has_all_of_its_answer(kernel_inlet: KernelInlet) -> None:
    asks_in_vain(kernel_inlet, request(b"1-1"))
    assert stages(kernel_inlet.arrivals()) == [executed("1-1")]
    kernel_inlet.time.advance(0.5)
    assert statuses(kernel_inlet.kernel.drain()) == [b"200"]
    assert stages(kernel_inlet.arrivals())[1:] == [("1-1", 0, 0, ns(0.5), None, True)]


def test_what_is_behind_an_answer_that_waits_is_answered_with_it(kernel_inlet: KernelInlet) -> None:
    asks_in_vain(kernel_inlet, request(b"1-1"), request(b"2-2"))
    kernel_inlet.time.advance(0.5)
    assert statuses(kernel_inlet.kernel.drain()) == [b"200", b"200"]
    assert stages(kernel_inlet.arrivals()) == [
        executed("1-1"),
        executed("2-2"),
        ("1-1", 0, 0, ns(0.5), None, True),
        ("2-2", 0, 0, ns(0.5), None, True),
    ]


def test_once_the_kernel_has_all_the_next_answer_goes_to_the_socket_again(kernel_inlet: KernelInlet) -> None:
    for request_id in (b"1-1", b"2-2"):  # it can be full more than once
        asks_in_vain(kernel_inlet, request(request_id))
        kernel_inlet.kernel.drain()
        assert statuses(kernel_inlet.kernel.arrived()) == [b"200"]
    assert statuses(kernel_inlet.asks(request(b"3-3"))) == [b"200"]
    assert kernel_inlet.kernel.value() == b""
    assert stages(kernel_inlet.arrivals()) == [
        executed("1-1"),
        ("1-1", 0, 0, 0, None, True),
        executed("2-2"),
        ("2-2", 0, 0, 0, None, True),
        ("3-3", 0, 0, 0, None, False),
    ]


def test_an_upload_whose_answer_waits_is_told_again_once_the_kernel_has_it(kernel_inlet: KernelInlet) -> None:
    asks_in_vain(kernel_inlet, UPLOAD, b"c")
    assert stages(kernel_inlet.arrivals()) == [("1-1", 0, None, None, None, False), executed("1-1", again=True)]
    kernel_inlet.time.advance(0.5)
    kernel_inlet.kernel.drain()
    assert stages(kernel_inlet.arrivals())[2:] == [("1-1", 0, 0, ns(0.5), None, True)]


def test_a_proxy_that_closes_before_the_kernel_has_the_answers_has_given_them_up(kernel_inlet: KernelInlet) -> None:
    asks_in_vain(kernel_inlet, request(b"1-1"), request(b"2-2"))
    kernel_inlet.time.advance(0.5)
    kernel_inlet.kernel.far.close()
    kernel_inlet.turn()
    assert stages(kernel_inlet.arrivals()) == [
        executed("1-1"),
        executed("2-2"),
        ("1-1", 0, 0, None, ns(0.5), True),
        ("2-2", 0, 0, None, ns(0.5), True),
    ]
    assert [(end.back_port, end.carried) for end in kernel_inlet.ends()] == [(51234, 2)]


def test_what_was_executed_is_told_also_when_the_backend_itself_is_closing(kernel_inlet: KernelInlet) -> None:
    asks_in_vain(kernel_inlet, request(b"1-1", extra=b"Connection: close\r\n"))
    kernel_inlet.time.advance(0.5)
    kernel_inlet.kernel.connectionLost(Failure(ConnectionLost()))
    assert stages(kernel_inlet.arrivals()) == [executed("1-1"), ("1-1", 0, 0, None, ns(0.5), True)]
    assert kernel_inlet.ends() == []


def test_what_was_executed_when_the_backend_was_ended_is_told(kernel_inlet: KernelInlet) -> None:
    asks_in_vain(kernel_inlet, request(b"1-1"))
    kernel_inlet.connection.close()
    assert stages(kernel_inlet.arrivals()) == [executed("1-1")]


def test_what_is_answered_and_what_is_executed_and_what_is_received_are_told_apart_at_the_end(
    kernel_inlet: KernelInlet,
) -> None:
    kernel_inlet.asks(request(b"0-0"))
    asks_in_vain(kernel_inlet, request(b"2-2"), UPLOAD)
    kernel_inlet.time.advance(0.5)
    kernel_inlet.kernel.far.close()
    kernel_inlet.turn()
    assert stages(kernel_inlet.arrivals()) == [
        ("0-0", 0, 0, 0, None, False),
        executed("2-2"),
        ("1-1", 0, None, None, None, False),
        ("2-2", 0, 0, None, ns(0.5), True),
        ("1-1", 0, None, None, ns(0.5), True),
    ]


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
    assert stages(kernel_inlet.arrivals()) == [executed("1-1"), ("1-1", 0, 0, None, 0, True)]
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
@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), CUTS, st.integers(0, 1000))
def test_however_uploads_are_split_and_cut_short_each_is_told_to_its_end(
    lengths: list[int], cuts: list[int], cut: int
) -> None:
    inlet = Inlet()
    heads = [
        request(b"4-%d" % number, b"POST", b"Content-Length: %d\r\n" % length) for number, length in enumerate(lengths)
    ]
    stream = b"".join(head + b"x" * length for head, length in zip(heads, lengths, strict=True))
    whole = statuses(inlet.asks(*parts(stream[: cut % (len(stream) + 1)], cuts)))
    inlet.closes()
    told = [[stage for stage in stages(inlet.arrivals()) if stage[0] == f"4-{n}"] for n in range(len(lengths))]
    assert len(inlet.arrivals()) == sum(map(len, told))
    for number, of_it in enumerate(told):
        if number < len(whole):
            assert of_it[-1][1:5] == (0, 0, 0, None)
        elif of_it:
            assert of_it[-1][1:5] == (0, None, None, 0)
        assert all(stage[1:5] == (0, None, None, None) for stage in of_it[:-1])
        assert [stage[5] for stage in of_it] == [False, True][: len(of_it)]
    assert all(told[: len(whole)])


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


@pytest.fixture(name="served")
def _served() -> tuple[Backend, list[Event], Callable[[], tuple[MemoryTransport, Protocol]]]:
    """Give a backend that listens, what it tells, and what connects to it."""
    reactor, bus = MemoryReactor(), EventBus()
    events = record(bus)
    backend = Backend(3, 1033, bus, Time().ns)
    result_of(Deferred.fromCoroutine(backend.start(reactor)))

    def connect() -> tuple[MemoryTransport, Protocol]:
        transport = MemoryTransport(1033, 51234)
        connection = reactor.tcpServers[0][1].buildProtocol(IPv4Address("TCP", "127.0.0.1", 51234))
        assert connection is not None
        connection.makeConnection(transport)
        return transport, cast(Protocol, connection)

    return backend, events, connect


Served = tuple[Backend, list[Event], Callable[[], tuple[MemoryTransport, Protocol]]]


def test_one_that_leaves_closes_what_rests_and_is_gone_with_it(served: Served) -> None:
    backend, events, connect = served
    transport, connection = connect()
    connection.dataReceived(request(b"1-1"))
    leaving = Deferred.fromCoroutine(backend.leave())
    assert transport.disconnecting
    assert waits(leaving)
    connection.connectionLost(Failure(ConnectionDone()))
    result_of(leaving)
    assert [event for event in events if isinstance(event, BackClosed)] == []


def test_one_that_leaves_answers_what_is_under_way_and_says_that_it_closes(served: Served) -> None:
    backend, _events, connect = served
    transport, connection = connect()
    connection.dataReceived(UPLOAD)
    leaving = Deferred.fromCoroutine(backend.leave())
    assert not transport.disconnecting
    connection.dataReceived(b"c")
    assert b"\r\nConnection: close\r\n" in transport.value()
    assert transport.disconnecting
    connection.connectionLost(Failure(ConnectionDone()))
    result_of(leaving)


def test_one_without_connections_is_gone_at_once(served: Served) -> None:
    backend, _events, _connect = served
    result_of(Deferred.fromCoroutine(backend.leave()))


def test_a_port_that_is_taken_is_named() -> None:
    backend = Backend(0, 1030, EventBus(), Time().ns)
    error = error_of(Deferred.fromCoroutine(backend.start(Taken())), StartError)
    result_of(Deferred.fromCoroutine(backend.stop()))
    assert str(error) == "port 1030 (backend 0) cannot be listened on: Address already in use"


def test_a_backend_that_never_started_can_be_stopped() -> None:
    result_of(Deferred.fromCoroutine(Backend(0, 1030, EventBus(), Time().ns).stop()))


# What one in a process of its own tells.


@attrs.define(eq=False)
class Telling:
    """What a backend's process has seen, the run's history, and the wire between them."""

    time: Time = attrs.field(factory=Time)
    there: Source = attrs.field(factory=lambda: Source("there"))
    here: EventBus = attrs.field(factory=EventBus)
    listening: Deferred[None] = attrs.field(factory=Deferred)
    ended: Deferred[None] = attrs.field(factory=Deferred)
    wire: bytearray = attrs.field(factory=bytearray)
    uplink: Uplink = attrs.field(init=False)
    history: History = attrs.field(init=False)
    receiver: UplinkReceiver = attrs.field(init=False)
    events: list[Event] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.uplink = Uplink(self.wire.extend, self.there, self.time.ns)
        self.history = History(self.here.deliver, self.time.ns)
        self.receiver = UplinkReceiver("3", self.history, self.listening, self.ended)
        self.receiver.makeConnection(MemoryTransport())
        self.events = record(self.here)

    def carry(self, cuts: Sequence[int] = ()) -> None:
        """Bring what was written to the run's process, and let it hand on what is complete."""
        for part in parts(bytes(self.wire), cuts):
            self.receiver.dataReceived(part)
        self.wire.clear()
        self.history.settle()

    def told(self) -> list[tuple[Any, ...]]:
        """Return all that was handed on."""
        return [attrs.astuple(event) for event in self.events]

    def loses(self) -> None:
        self.receiver.connectionLost(Failure(ConnectionDone()))


@pytest.fixture(name="telling")
def _telling() -> Telling:
    return Telling()


#: Of each way that a request can come one.
TOLD = (
    Arrival("3", "4-17", 51234, 0, START_NS + 1),
    Arrival("3", "4-17", 51234, 0, START_NS + 1, START_NS + 2, again=True),
    Arrival("3", "4-17", 51234, 0, START_NS + 1, START_NS + 2, START_NS + 3, again=True),
    Arrival("3", "é\n\x00", 51235, 7, START_NS + 4, START_NS + 5, START_NS + 6),
    Arrival("3", "4-18", 51236, 1, START_NS + 7, START_NS + 8, given_up_ns=START_NS + 9),
    Arrival("3", "4-19", 51237, 2, START_NS + 10, given_up_ns=START_NS + 11, again=True),
)


@some_examples
@given(CUTS)
def test_what_is_told_arrives_as_it_was_sent_with_all_its_stages(cuts: list[int]) -> None:
    telling = Telling()
    telling.uplink.start(telling.time)
    for arrival in TOLD:
        telling.there.arrived(arrival)
    closed = BackClosed("3", 51234, 1, probe_only=True, closed_ns=START_NS + 12)
    broken = Broken("it has no descriptors left", START_NS + 13)
    telling.there.publish(broken)
    telling.there.publish(closed)
    telling.time.advance(1)
    telling.carry(cuts)
    result_of(telling.listening)
    assert telling.told() == [attrs.astuple(event) for event in (*TOLD, closed, broken)]
    assert telling.history.late == 0


def test_it_listens_from_when_it_says_so(telling: Telling) -> None:
    telling.time.advance(0.25)
    assert waits(telling.listening)
    assert telling.receiver.source is None
    telling.uplink.start(telling.time)
    telling.carry()
    result_of(telling.listening)
    source = telling.receiver.source
    assert source is not None
    assert telling.receiver.until_ns == source.until_ns == START_NS + ns(0.25)


def test_what_is_told_is_handed_on_once_it_is_known_that_nothing_before_it_is_missing(telling: Telling) -> None:
    telling.uplink.start(telling.time)
    telling.carry()
    telling.there.arrived(TOLD[0])
    telling.time.advance(FLUSH_INTERVAL_S)
    arrivals, until = telling.wire.splitlines(keepends=True)
    telling.wire[:] = arrivals
    telling.carry()
    assert telling.told() == []
    telling.wire[:] = until
    telling.carry()
    assert telling.told() == [attrs.astuple(TOLD[0])]


def test_it_says_up_to_when_all_is_told_after_it_has_told_it(telling: Telling) -> None:
    telling.uplink.start(telling.time)
    telling.there.arrived(TOLD[0])
    telling.time.advance(FLUSH_INTERVAL_S)
    telling.there.arrived(TOLD[3])
    telling.uplink.stop()
    lines = [json.loads(line) for line in telling.wire.splitlines()]
    assert [[*line] for line in lines] == [["listening"], ["arrivals"], ["until"], ["arrivals"], ["until"]]


def test_where_each_request_has_a_connection_of_its_own_all_is_told_at_once(telling: Telling) -> None:
    telling.uplink.start(telling.time)
    telling.wire.clear()
    for number in range(100):
        telling.there.arrived(Arrival("3", str(number), 51234 + number, 0, START_NS + number))
        telling.there.publish(BackClosed("3", 51234 + number, 1, probe_only=False, closed_ns=START_NS + number))
    telling.time.advance(FLUSH_INTERVAL_S)
    told = [json.loads(line) for line in telling.wire.splitlines()]
    assert [(topic, len(events) if topic != "until" else 1) for line in told for topic, events in line.items()] == [
        ("arrivals", 100),
        ("closed", 100),
        ("until", 1),
    ]


@some_examples
@given(st.integers(0, 5000))
def test_however_much_there_is_to_tell_no_line_is_long(number: int) -> None:
    telling = Telling()
    telling.uplink.start(telling.time)
    for each in range(number):
        telling.there.publish(BackClosed("3", 1, each, probe_only=False, closed_ns=START_NS + each))
    telling.time.advance(1)
    assert max(map(len, telling.wire.splitlines())) < 100_000
    telling.carry()
    assert [event.carried for event in telling.events if isinstance(event, BackClosed)] == list(range(number))


def test_while_it_tells_nothing_it_says_up_to_when_there_was_nothing(telling: Telling) -> None:
    telling.uplink.start(telling.time)
    telling.carry()
    for ticks in range(1, 4):
        telling.time.advance(FLUSH_INTERVAL_S)
        telling.carry()
        source = telling.receiver.source
        assert source is not None
        assert telling.receiver.until_ns == source.until_ns == START_NS + ticks * ns(FLUSH_INTERVAL_S)
    assert not telling.receiver.complete


def test_the_end_of_what_is_told_is_told(telling: Telling) -> None:
    telling.uplink.start(telling.time)
    telling.there.arrived(TOLD[3])
    telling.uplink.stop()
    assert telling.time.getDelayedCalls() == []
    telling.carry()
    assert (telling.receiver.until_ns, telling.receiver.complete) == (FOREVER_NS, True)
    telling.time.advance(1)
    telling.loses()
    result_of(telling.ended)
    telling.history.settle()
    assert telling.told() == [attrs.astuple(TOLD[3])]
    assert telling.receiver.complete


def test_one_that_is_lost_before_it_has_told_the_end_is_not_complete(telling: Telling) -> None:
    telling.uplink.start(telling.time)
    telling.there.arrived(TOLD[3])
    telling.time.advance(FLUSH_INTERVAL_S)
    telling.carry()
    telling.time.advance(1)
    telling.loses()
    result_of(telling.ended)
    assert not telling.receiver.complete
    assert telling.receiver.until_ns == START_NS + ns(FLUSH_INTERVAL_S)


def test_one_that_is_lost_is_waited_for_no_more_and_what_it_told_is_kept(telling: Telling) -> None:
    telling.uplink.start(telling.time)
    telling.there.arrived(TOLD[3])
    telling.uplink.tick()
    telling.wire[:] = telling.wire[: telling.wire.index(b'{"until"')]
    telling.carry()
    telling.time.advance(1)
    telling.history.settle()
    assert telling.told() == []
    telling.loses()
    telling.history.settle()
    assert telling.told() == [attrs.astuple(TOLD[3])]


def test_half_a_line_of_one_that_is_lost_is_nothing(telling: Telling) -> None:
    telling.uplink.start(telling.time)
    telling.there.arrived(TOLD[3])
    telling.uplink.stop()
    del telling.wire[-1:]
    telling.carry()
    telling.loses()
    assert not telling.receiver.complete


def test_one_that_is_lost_before_it_listens_is_not_complete(telling: Telling) -> None:
    telling.loses()
    result_of(telling.ended)
    assert waits(telling.listening)
    assert (telling.receiver.source, telling.receiver.complete) == (None, False)
