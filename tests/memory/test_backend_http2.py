"""A backend speaks HTTP/2 where a proxy begins with it, and tells of each request what it tells over HTTP/1.1."""

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.backend.http2 import HTTP2Connection
from proxyreload.history.events import BackClosed
from proxyreload.http2 import frames
from proxyreload.http2.hpack import encoded
from proxyreload.system.clock import ns
from proxyreload.traffic.content import content, digest
from proxyreload.traffic.grpc import CALL, asked, told
from proxyreload.traffic.grpchealth import HEALTH_WATCH
from proxyreload.traffic.grpcwire import framed

from .clocks import START_NS, some_examples, waits
from .connections import parts
from .http2ends import GET, plain
from .kinds import BACK_PORT, Inlet, cuts_st, ids_st
from .test_kind_backend import SLOW, STREAM, Kernel, of


def fields(request_id: bytes, kind: bytes = b"", method: bytes = b"GET") -> list[tuple[bytes, bytes]]:
    """Return the header fields of a request as a proxy passes it on."""
    named = [(b"proxyreload-kind", kind)] if kind else []
    return [(b":method", method), *GET[1:], (b"proxyreload-id", request_id), *named]


@attrs.define(eq=False)
class Proxy:
    """A backend's connection, and a proxy that speaks HTTP/2 on it by the package h2."""

    inlet: Inlet = attrs.field(factory=Inlet)
    theirs: H2Connection = attrs.field(
        factory=lambda: H2Connection(H2Configuration(client_side=True, header_encoding=None))
    )
    heard: list[Any] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.theirs.initiate_connection()

    def asks(self, stream: int, request_id: bytes, kind: bytes = b"", body: bytes | None = None, **how: Any) -> None:
        """Send a request, and its body if it has one."""
        self.theirs.send_headers(stream, fields(request_id, kind, **how), end_stream=body is None)
        if body is not None:
            self.theirs.send_data(stream, body, end_stream=True)

    def talks(self, cuts: Sequence[int] = ()) -> None:
        """Let bytes go both ways until nobody says more."""
        while True:
            said = self.theirs.data_to_send()
            self.inlet.hears(*parts(said, cuts))
            answers = self.inlet.said()
            self.heard += self.theirs.receive_data(answers)
            if not said and not answers:
                return

    def credits(self) -> None:
        """Open the windows by all that has come."""
        for event in self.heard:
            size = getattr(event, "flow_controlled_length", 0)
            if size:
                self.theirs.acknowledge_received_data(size, event.stream_id)
                event.flow_controlled_length = 0

    def head(self, stream: int) -> dict[bytes, bytes]:
        [event] = [each for each in self.of(stream) if type(each).__name__ == "ResponseReceived"]
        return dict(plain(event.headers))

    def body(self, stream: int) -> bytes:
        return b"".join(each.data for each in self.of(stream) if type(each).__name__ == "DataReceived")

    def ended(self, stream: int) -> bool:
        return any(type(each).__name__ == "StreamEnded" for each in self.of(stream))

    def of(self, stream: int) -> list[Any]:
        return [each for each in self.heard if getattr(each, "stream_id", 0) == stream]

    @property
    def connection(self) -> HTTP2Connection:
        connection = self.inlet.transport.protocol
        assert isinstance(connection, HTTP2Connection)
        return connection


@pytest.fixture(name="proxy")
def _proxy() -> Proxy:
    return Proxy()


@some_examples
@given(asked=st.lists(ids_st, min_size=1, max_size=5), cuts=cuts_st)
def test_small_requests_are_answered_however_they_come(asked: list[bytes], cuts: list[int]) -> None:
    proxy = Proxy()
    for number, request_id in enumerate(asked):
        proxy.asks(2 * number + 1, request_id)
    proxy.talks(cuts)
    for number, request_id in enumerate(asked):
        stream = 2 * number + 1
        head = proxy.head(stream)
        assert (head[b":status"], head[b"backend-id"], head[b"proxyreload-id"]) == (b"200", b"3", request_id)
        assert head[b"source-port"] == b"%d" % BACK_PORT
        assert proxy.body(stream) == b"backend 3 answers %b\n" % request_id
        assert head[b"content-length"] == b"%d" % len(proxy.body(stream))
        assert proxy.ended(stream)
    assert [(each.request_id, each.carried, each.back_port) for each in proxy.inlet.arrivals] == [
        (request_id.decode(), number, BACK_PORT) for number, request_id in enumerate(asked)
    ]
    assert {stage for _id, stage, again in proxy.inlet.stages} == {"answered"}


def test_what_is_answered_at_once_is_told_once_with_its_times(proxy: Proxy) -> None:
    proxy.asks(1, b"3-7")
    proxy.talks()
    [arrival] = proxy.inlet.arrivals
    assert (arrival.received_ns, arrival.executed_ns, arrival.answered_ns) == (START_NS,) * 3
    assert not arrival.again


def test_a_request_without_an_id_is_answered_too(proxy: Proxy) -> None:
    proxy.theirs.send_headers(1, GET, end_stream=True)
    proxy.talks()
    assert proxy.body(1) == b"backend 3 answers \n"


def test_a_head_is_answered_without_a_body(proxy: Proxy) -> None:
    proxy.asks(1, b"3-7", method=b"HEAD")
    proxy.talks()
    assert proxy.head(1)[b"proxyreload-id"] == b"3-7"
    assert (proxy.body(1), proxy.ended(1)) == (b"", True)


def test_several_answers_take_their_time_at_once(proxy: Proxy) -> None:
    proxy.asks(1, b"3-1", SLOW)
    proxy.asks(3, b"3-2", STREAM)
    proxy.asks(5, b"3-3")
    proxy.talks()
    assert (proxy.ended(1), proxy.ended(3), proxy.ended(5)) == (False, False, True)
    proxy.inlet.time.pump([0.5] * 3)
    proxy.talks()
    assert (proxy.ended(1), proxy.ended(3)) == (False, True)
    assert proxy.body(3) == b"data: 3-2 0\n\ndata: 3-2 1\n\ndata: 3-2 end 2\n\n"
    proxy.inlet.time.pump([0.5])
    proxy.talks()
    assert proxy.body(1) == b"backend 3 answers 3-1\n"
    stages = proxy.inlet.stages
    for request_id, times in (("3-1", 2), ("3-2", 2), ("3-3", 1)):
        mine = [each for each in stages if each[0] == request_id]
        assert mine == of(request_id, *(["executed", "answered"] if times == 2 else ["answered"]))
    slow = [each for each in proxy.inlet.arrivals if each.request_id == "3-1"][-1]
    assert slow.answered_ns == START_NS + ns(2)


def test_a_body_is_received_executed_and_answered_with_its_digest(proxy: Proxy) -> None:
    proxy.theirs.send_headers(1, fields(b"3-7", b"upload every=1 delay=1", b"POST"))
    proxy.talks()
    assert proxy.inlet.stages == of("3-7", "received")
    proxy.theirs.send_data(1, b"abc")
    proxy.talks()
    proxy.theirs.send_data(1, b"def", end_stream=True)
    proxy.talks()
    assert proxy.inlet.stages == of("3-7", "received", "executed")
    proxy.inlet.time.advance(1)
    proxy.talks()
    assert proxy.body(1) == b"backend 3 had 6 bytes %b of 3-7\n" % digest(b"abcdef")
    assert proxy.inlet.stages == of("3-7", "received", "executed", "answered")
    assert {each.carried for each in proxy.inlet.arrivals} == {0}


@settings(max_examples=10)
@given(size=st.integers(0, 200_000))
def test_a_large_body_comes_whole_through_the_windows_of_both(size: int) -> None:
    proxy = Proxy()
    sent = content(b"3-7", size)
    proxy.theirs.send_headers(1, fields(b"3-7", b"post size=9", b"POST"))
    for begin in range(0, size, 50_000):  # the backend's windows let it
        proxy.talks()
        for at in range(begin, min(size, begin + 50_000), 10_000):
            proxy.theirs.send_data(1, sent[at : min(at + 10_000, begin + 50_000)])
    proxy.theirs.end_stream(1)
    proxy.talks()
    assert proxy.body(1) == b"backend 3 had %d bytes %b of 3-7\n" % (size, digest(sent))


def test_an_answer_is_answered_when_the_proxys_windows_have_let_it_through(proxy: Proxy) -> None:
    proxy.asks(1, b"3-7", b"download size=200000 rate=1000")
    proxy.talks()
    assert proxy.inlet.stages == of("3-7", "executed")
    for _round in range(5):
        proxy.credits()
        proxy.talks()
    assert proxy.body(1) == content(b"3-7", 200_000)
    assert proxy.ended(1)
    assert proxy.inlet.stages == of("3-7", "executed", "answered")


def test_a_small_answer_may_have_to_wait_too(proxy: Proxy) -> None:
    proxy.theirs.update_settings({4: 0})
    proxy.asks(1, b"3-7")
    proxy.talks()
    assert proxy.inlet.stages == of("3-7", "executed")
    proxy.theirs.increment_flow_control_window(100, 1)
    proxy.talks()
    assert proxy.inlet.stages == of("3-7", "executed", "answered")


@pytest.mark.parametrize("kind", [SLOW, STREAM, b"download size=200000 rate=1000"])
@pytest.mark.parametrize("closes", [False, True])
def test_what_is_reset_or_lost_with_its_connection_is_given_up(kind: bytes, closes: bool) -> None:  # noqa: FBT001
    proxy = Proxy()
    proxy.asks(1, b"3-7", kind)
    proxy.talks()
    if closes:
        proxy.inlet.closes()
    else:
        proxy.theirs.reset_stream(1, frames.CANCEL)
        proxy.talks()
    assert proxy.inlet.stages == of("3-7", "executed", "given up")
    assert not proxy.inlet.time.getDelayedCalls()
    if not closes:
        proxy.theirs.increment_flow_control_window(100_000)  # what came of the other one has used it up
        proxy.asks(3, b"3-8")
        proxy.talks()
        assert proxy.ended(3)


def test_a_request_that_is_cut_is_given_up_unexecuted(proxy: Proxy) -> None:
    proxy.theirs.send_headers(1, fields(b"3-7", b"post size=9", b"POST"))
    proxy.talks()
    proxy.inlet.closes()
    assert proxy.inlet.stages == of("3-7", "received", "given up")
    [closed] = [each for each in proxy.inlet.events if isinstance(each, BackClosed)]
    assert (closed.back_port, closed.carried, closed.probe_only) == (BACK_PORT, 1, False)


def test_one_that_leaves_sends_the_proxy_away_answers_what_is_under_way_and_closes(proxy: Proxy) -> None:
    proxy.asks(1, b"3-1", SLOW)
    proxy.asks(3, b"3-2")
    proxy.talks()
    gone = proxy.inlet.connection.site.leave()
    proxy.heard += proxy.theirs.receive_data(said := proxy.inlet.said())
    assert said == frames.goaway(3, frames.NO_ERROR)
    proxy.inlet.hears(frames.headers(5, encoded(fields(b"3-9")), end=True))  # on its way meanwhile
    proxy.inlet.time.advance(2)
    assert b"backend 3 answers 3-1\n" in proxy.inlet.said()
    assert proxy.inlet.stages[-1] == ("3-1", "answered", True)
    assert "3-9" not in {each.request_id for each in proxy.inlet.arrivals}
    assert proxy.inlet.transport.half_closed
    assert waits(gone)
    proxy.inlet.closes()
    assert not waits(gone)
    assert not [each for each in proxy.inlet.events if isinstance(each, BackClosed)]
    assert not proxy.inlet.time.getDelayedCalls()


def test_a_resting_connection_is_sent_away_at_once_and_closed_if_the_proxy_does_not(proxy: Proxy) -> None:
    proxy.asks(1, b"3-2")
    proxy.talks()
    proxy.inlet.connection.site.leave()
    assert proxy.inlet.transport.half_closed
    assert not proxy.inlet.transport.disconnecting
    proxy.heard += proxy.theirs.receive_data(proxy.inlet.said())
    assert isinstance(proxy.heard[-1], ConnectionTerminated)
    proxy.inlet.hears(frames.frame(frames.PING, 0, 0, bytes(8)))
    assert proxy.inlet.said() == b""
    proxy.inlet.time.advance(1)
    assert proxy.inlet.transport.disconnecting


def test_one_that_is_killed_tells_nothing_more(proxy: Proxy) -> None:
    proxy.asks(1, b"3-1", SLOW)
    proxy.talks()
    proxy.connection.close()
    proxy.inlet.closes()
    assert proxy.inlet.stages == of("3-1", "executed")
    assert proxy.inlet.transport.aborted


def test_who_does_not_speak_http2_after_all_is_told_so_and_left(proxy: Proxy) -> None:
    proxy.asks(1, b"3-1", SLOW)
    proxy.talks()
    proxy.inlet.hears(frames.frame(frames.DATA, 0, 0, b"x"))
    assert frames.goaway(1, frames.PROTOCOL_ERROR)[9:17] in proxy.inlet.said()
    assert proxy.inlet.transport.disconnecting
    proxy.inlet.closes()
    assert proxy.inlet.stages == of("3-1", "executed", "given up")


def test_what_is_no_request_is_given_up_alone(proxy: Proxy) -> None:
    proxy.theirs.send_headers(1, [*fields(b"3-7", b"post size=9", b"POST"), (b"content-length", b"1")])
    proxy.talks()
    proxy.inlet.hears(frames.frame(frames.DATA, 1, 1, b"xy"))
    assert proxy.inlet.stages == of("3-7", "received", "given up")
    proxy.asks(3, b"3-8")
    proxy.talks()
    assert proxy.ended(3)


@given(cut=st.integers(0, 24))
def test_the_first_bytes_decide_however_they_come(cut: int) -> None:
    inlet = Inlet()
    inlet.hears(frames.PREFACE[:cut], frames.PREFACE[cut:])
    assert isinstance(inlet.transport.protocol, HTTP2Connection)
    assert inlet.connection.site.connections == {inlet.transport.protocol}
    other = Inlet()
    request = b"PROPFIND / HTTP/1.1\r\nHost: x\r\nproxyreload-id: 3-7\r\n\r\n"
    other.hears(request[:cut], request[cut:])
    assert other.transport.protocol is None
    assert other.said().endswith(b"backend 3 answers 3-7\n")


# With a socket of the kernel's.


@pytest.fixture(name="kernel")
def _kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.release()


def test_a_group_reads_and_writes_it_and_what_the_kernel_does_not_take_is_told_later(kernel: Kernel) -> None:
    theirs = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    theirs.initiate_connection()
    theirs.send_headers(1, fields(b"3-1"), end_stream=True)
    kernel.hears(theirs.data_to_send())
    heard = theirs.receive_data(kernel.transport.arrived())
    assert any(type(each).__name__ == "StreamEnded" for each in heard)
    assert kernel.inlet.stages == of("3-1", "answered")
    kernel.transport.fill()
    theirs.send_headers(3, fields(b"3-2"), end_stream=True)
    kernel.hears(theirs.data_to_send())
    assert kernel.inlet.stages[1:] == of("3-2", "executed")
    kernel.drains()
    assert kernel.inlet.stages[1:] == of("3-2", "executed", "answered")


def test_nothing_is_read_while_too_much_waits_to_be_written(kernel: Kernel) -> None:
    kernel.hears(frames.PREFACE + frames.settings({}))
    kernel.transport.fill()
    connection: Any = kernel.transport.protocol
    pings = frames.frame(frames.PING, 0, 0, bytes(8)) * 500
    number = 0
    while not connection._resting:
        kernel.hears(pings + frames.headers(2 * number + 1, encoded(GET), end=True))
        number += 1
    waiting = len(kernel.inlet.said())
    assert 2**20 < waiting + 10_000 < 2**20 + 30_000
    kernel.hears(pings)
    assert kernel.inlet.said() == b""
    kernel.drains()
    kernel.group.doRead()
    assert kernel.inlet.said()


# Calls of gRPC.


def calls(proxy: Proxy, stream: int, path: bytes, message: bytes) -> None:
    """Send a call as anybody's client does."""
    head = [
        (b":method", b"POST"),
        *GET[1:3],
        (b":path", path),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    ]
    proxy.theirs.send_headers(stream, head)
    proxy.theirs.send_data(stream, framed(message), end_stream=True)
    proxy.talks()


def trailers(proxy: Proxy, stream: int) -> dict[bytes, bytes]:
    [event] = [each for each in proxy.of(stream) if type(each).__name__ == "TrailersReceived"]
    return dict(plain(event.headers))


def test_a_call_is_answered_with_trailers_and_no_length(proxy: Proxy) -> None:
    calls(proxy, 1, CALL, asked(b"9-1", 1))
    assert proxy.head(1)[b"content-type"] == b"application/grpc"
    assert b"content-length" not in proxy.head(1)
    assert proxy.body(1) == framed(told(b"9-1", 1))
    assert trailers(proxy, 1) == {b"grpc-status": b"0"}
    assert proxy.ended(1)


def test_a_stream_of_messages_comes_over_a_while(proxy: Proxy) -> None:
    calls(proxy, 1, CALL, asked(b"9-1", 3, 500_000))
    assert proxy.body(1) == framed(told(b"9-1", 1))
    proxy.inlet.time.pump([0.5, 0.5])
    proxy.talks()
    assert proxy.body(1) == b"".join(framed(told(b"9-1", number)) for number in (1, 2, 3))
    assert trailers(proxy, 1) == {b"grpc-status": b"0"}


def test_a_call_that_is_refused_is_its_head_alone(proxy: Proxy) -> None:
    calls(proxy, 1, CALL, asked(b"9-1", 0, 0, 9))
    assert proxy.head(1)[b"grpc-status"] == b"9"
    assert (proxy.body(1), proxy.ended(1)) == (b"", True)
    assert not [each for each in proxy.of(1) if type(each).__name__ == "TrailersReceived"]


def test_a_watch_ends_when_its_backend_leaves(proxy: Proxy) -> None:
    calls(proxy, 1, HEALTH_WATCH, b"")
    assert proxy.body(1) == framed(b"\x08\x01")
    proxy.inlet.time.pump([3600, 3600])
    proxy.talks()
    assert not proxy.ended(1)
    proxy.inlet.connection.site.leave()
    # h2 takes nothing more after a GOAWAY, which does not concern what was before it.
    said = proxy.inlet.said()
    away, rest = said[:17], said[17:]
    assert away == frames.goaway(1, frames.NO_ERROR)
    proxy.heard += proxy.theirs.receive_data(rest)
    assert proxy.body(1) == framed(b"\x08\x01") + framed(b"\x08\x02")
    assert trailers(proxy, 1)[b"grpc-status"] == b"14"
    assert proxy.inlet.transport.half_closed
