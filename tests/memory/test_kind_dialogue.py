"""A client of any kind: its rests, pieces and time-outs, and exactly one exchange for each request."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.error import ConnectionRefusedError  # noqa: A004

from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.sender import PAUSE_AFTER_FAILED_CONNECTION_S
from proxyreload.history import failures
from proxyreload.history.events import Ending
from proxyreload.system.sockets import SocketGroup

from .clocks import START_NS, Readers, waits
from .connections import KernelTransport, answer_bytes
from .kinds import INSTANCE, Hosted, Talk, small

few_examples = settings(max_examples=40)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream_head(request_id: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nBackend-Id: %b\r\nProxyreload-Id: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % (
        INSTANCE,
        request_id,
    )


# Rests.


def rests(seed: object, number: int = 3, count: int = 12) -> list[float]:
    """Return how long a client rests between its requests."""
    talk = small("idle", {"gap": [1, 5]}, seed=seed, number=number)
    talk.client.start()
    found = []
    for _ in range(count):
        talk.front.answers()
        rest = talk.client._pause
        assert rest is not None
        found.append(rest.getTime() - talk.time.seconds())
        talk.time.advance(found[-1])
    assert len(talk.exchanges) == count
    return found


def test_rests_are_drawn_from_their_range() -> None:
    found = rests(1, count=40)
    assert all(1 <= rest <= 5 for rest in found)
    assert len(set(found)) == 40


def test_the_same_seed_draws_the_same_rests_and_each_client_its_own() -> None:
    assert rests(1) == rests(1)
    assert rests(1) != rests(2)
    assert rests(1) != rests(1, number=4)


def test_the_rest_counts_from_the_outcome_on_the_same_connection() -> None:
    talk = small("idle", {"gap": 2})
    talk.client.start()
    talk.time.advance(1)
    talk.front.answers()
    talk.time.advance(1.9)
    assert talk.front.requests == [b"3-0"]
    talk.time.advance(0.1)
    assert talk.front.requests == [b"3-0", b"3-1"]
    assert talk.front.attempts == 1


def test_a_connection_that_ends_in_the_rest_is_noted_and_replaced_when_it_is_over() -> None:
    talk = small("idle", {"gap": 2})
    talk.client.start()
    talk.front.answers()
    talk.front.wire.closes()
    assert [closed.ending for closed in talk.front_closed] == [Ending.IDLE]
    assert talk.front.attempts == 1
    talk.time.advance(2)
    talk.front.answers()
    assert talk.outcomes == ["", ""]
    assert talk.front.attempts == 2


@pytest.mark.parametrize("gap", [0, [0, 0.01]])
def test_a_port_where_nobody_listens_is_not_asked_all_the_time(gap: object) -> None:
    talk = small("idle", {"gap": gap})
    talk.front.outcomes.extend([ConnectionRefusedError()] * 50)
    talk.client.start()
    talk.time.pump([0.001] * 99)
    assert talk.front.attempts == 1
    talk.time.advance(PAUSE_AFTER_FAILED_CONNECTION_S)
    assert talk.front.attempts == 2


def test_a_rate_goes_before_rests() -> None:
    talk = small("idle", {"gap": 2}, open_loop=True)
    talk.client.due(START_NS)
    talk.front.answers()
    talk.client.due(START_NS)
    assert talk.front.requests == [b"3-0", b"3-1"]


def test_a_post_without_a_gap_sends_the_next_at_once_and_with_one_rests() -> None:
    for gap, sent in ((0, 2), ([0.5, 0.5], 1)):
        hosted = Hosted(Talk("post", {"gap": gap, "size": 5}))
        hosted.talk.client.start()
        hosted.talk.front.wire.says(answer_bytes(b"3-0", status=b"503 No"))
        assert hosted.talk.front.wire.written.count(b"POST / ") == sent


def test_a_fresh_client_opens_a_connection_each_time_and_closes_it_itself() -> None:
    talk = small("fresh")
    talk.client.start()
    for _ in range(3):
        talk.front.answers()
    assert talk.outcomes == ["", "", ""]
    assert [(e.connection, e.carried) for e in talk.exchanges] == [(0, 0), (1, 0), (2, 0)]
    assert [wire.transport.closed for wire in talk.front.wires] == [True, True, True, False]
    assert talk.front_closed == []


# Requests that fail at once.


def test_requests_that_queue_up_while_connections_fail_have_their_bodies_whole() -> None:
    talk = Talk("upload", {"every": 0.5, "length": 1}, open_loop=True)
    hosted = Hosted(talk)
    talk.front.held = True
    talk.client.due(START_NS)
    talk.client.due(START_NS)
    talk.client.due(START_NS)
    talk.front.held = False
    talk.front.outcomes.append(ConnectionRefusedError())
    talk.front.turn_away(ConnectionRefusedError())
    hosted.goes_on(3, 0.25)
    assert talk.outcomes == [failures.REFUSED, failures.REFUSED, ""]


# Uploads.


def test_pieces_are_sent_at_their_times() -> None:
    talk = Talk("upload", {"every": 0.5, "length": 1})
    talk.client.start()
    sent = [len(talk.front.wire.written.partition(b"\r\n\r\n")[2])]
    for gap in (0, 0.25, 0.25, 0.25, 0.25, 0.25):
        talk.time.advance(gap)
        sent.append(len(talk.front.wire.written.partition(b"\r\n\r\n")[2]))
    piece = len(chunk(b"x" * 1000))
    assert sent == [0, piece, piece, 2 * piece, 2 * piece, 2 * piece + 5, 2 * piece + 5]


def test_an_upload_is_not_whole_before_its_last_piece() -> None:
    hosted = Hosted(Talk("upload", {"every": 0.5, "length": 2}))
    hosted.talk.client.start()
    hosted.goes_on(1.75, 0.25)
    assert hosted.talk.outcomes == []
    hosted.goes_on(0.5, 0.25)
    assert hosted.talk.outcomes == [""]


@given(after=st.integers(0, 16), connected=st.booleans())
@few_examples
def test_one_that_the_run_ends_is_whole_and_a_success(after: int, *, connected: bool) -> None:
    hosted = Hosted(Talk("upload", {"every": 0.5, "length": 2}))
    hosted.talk.front.held = not connected
    hosted.talk.client.start()
    if connected:
        hosted.goes_on(after / 8, 0.125)
    stopped = hosted.talk.client.stop()
    hosted.talk.front.let_in()
    hosted.carry()
    assert not waits(stopped)
    assert hosted.talk.outcomes == [""]
    assert hosted.inlet.stages[-1][1] == "answered"
    assert hosted.talk.time.getDelayedCalls() == []


def test_an_answer_in_the_middle_is_a_failure_and_the_rest_is_not_sent() -> None:
    talk = Talk("upload", {"every": 0.5, "length": 2})
    talk.client.start()
    talk.time.advance(0.6)
    before = talk.front.wire.written
    talk.front.wire.says(answer_bytes(b"3-0", status=b"502 Bad Gateway"))
    talk.time.pump([0.25] * 8)
    assert talk.outcomes == ["status 502"]
    assert talk.front.wires[0].written == before
    assert talk.front.wires[0].transport.closed
    # What comes next goes over another connection: this one's end would take it for a part of the body.
    assert talk.front.wires[1].written.startswith(b"POST / ")
    assert talk.front_closed == []
    assert not talk.exchanges[0].announced


def test_one_that_says_that_it_closes_is_the_proxys_doing() -> None:
    talk = Talk("upload", {"every": 0.5, "length": 2})
    talk.client.start()
    talk.time.advance(0.6)
    talk.front.wire.says(answer_bytes(b"3-0", status=b"502 Bad Gateway", extra=b"Connection: close\r\n"))
    assert [closed.ending for closed in talk.front_closed] == [Ending.ANNOUNCED]


def test_an_upload_whose_connection_breaks_stops() -> None:
    talk = Talk("upload", {"every": 0.5, "length": 2})
    talk.client.start()
    talk.time.advance(0.6)
    before = talk.front.wire.written
    talk.front.wire.resets()
    talk.time.pump([0.25] * 8)
    assert talk.outcomes == [failures.RESET_FRESH]
    assert talk.front.wires[0].written == before


class Kernel:
    """A client whose connections have sockets."""

    def __init__(self, name: str, given: dict[str, object]) -> None:
        self.time = Readers()
        group = SocketGroup.on(self.time, self.time.ns)
        assert group is not None
        self.group = group
        self.talk = Talk(name, given, time=self.time)
        self.transports = [KernelTransport(40000 + number) for number in range(3)]
        self.talk.front.transports.extend(self.transports)

        def careful(*arguments: Any) -> HTTP11Connection:
            connection = HTTP11Connection(arguments[0], self.time.ns, self.time.ns(), self.group)
            connection.careful = True
            return connection

        self.talk.front.kind = careful  # type: ignore[assignment]

    def opens(self, start: Callable[[], object]) -> None:
        """Let the client open a connection; its transport writes to the socket, as a real one does."""
        before = len(self.talk.front.wires)
        start()
        for wire in self.talk.front.wires[before:]:
            transport = wire.transport
            assert isinstance(transport, KernelTransport)
            transport.protocol = wire.connection

    def arrived(self, number: int) -> bytes:
        """Return all that has arrived at the far end of a connection."""
        transport = self.transports[number]
        buffered: bytes = transport.value()
        return transport.arrived() + buffered

    def release(self) -> None:
        self.group.close()
        for transport in self.transports:
            transport.release()


def test_an_upload_whose_connection_has_ended_meanwhile_is_sent_whole_over_the_next() -> None:
    kernel = Kernel("upload", {"every": 0.5, "length": 0.5})
    try:
        talk, time = kernel.talk, kernel.time
        kernel.opens(talk.client.start)
        time.pump([0, 0.5, 0])
        first = kernel.arrived(0)
        assert first.endswith(b"\r\n0\r\n\r\n")
        # The answer comes, and the end right behind it, which is seen when the next request is to be written.
        kernel.transports[0].far.sendall(answer_bytes(b"3-0", status=b"503 No"))
        kernel.transports[0].far.close()
        ready = kernel.group._poll()
        kernel.group._work(kernel.group._read(ready))
        assert talk.outcomes == ["status 503"]
        time.advance(0)
        kernel.opens(kernel.group.doRead)
        assert [closed.ending for closed in talk.front_closed] == [Ending.IDLE]
        time.pump([0, 0.5, 0])
        assert len(kernel.arrived(1)) == len(first)
    finally:
        kernel.release()


# Downloads.


def test_a_download_is_read_at_its_rate() -> None:
    talk = Talk("download", {"size": 40_000, "rate": 100_000})
    talk.client.start()
    transport = talk.front.wire.transport
    body = talk.ends.body(b"3-0")
    talk.front.wire.says(answer_bytes(b"3-0", INSTANCE, body=body)[:-30_000])
    assert transport.producerState == "paused"
    talk.time.advance(0.09)
    assert transport.producerState == "paused"
    talk.time.advance(0.02)
    assert transport.producerState == "producing"
    talk.front.wire.says(body[-30_000:-10_000])
    assert transport.producerState == "paused"
    talk.time.advance(0.2)
    assert transport.producerState == "producing"


def test_a_connection_is_read_again_when_its_download_is_over() -> None:
    talk = Talk("download", {"size": 40_000, "rate": 100_000})
    talk.client.start()
    talk.front.wire.says(answer_bytes(b"3-0", INSTANCE, body=talk.ends.body(b"3-0")))
    assert talk.outcomes == [""]
    assert talk.front.wire.transport.producerState == "producing"
    assert talk.front.attempts == 1


def test_an_end_that_is_heard_by_reading_on_after_an_answer_is_of_a_connection_that_rests() -> None:
    """Not of the answered request, for which another connection would be opened, and that be sent twice."""
    talk = Talk("download", {"size": 40_000, "rate": 100_000})
    talk.client.start()
    connection: Any = talk.front.wire.connection
    connection.read_on = talk.front.wire.closes
    talk.front.wire.says(answer_bytes(b"3-0", INSTANCE, body=talk.ends.body(b"3-0")))
    assert talk.outcomes == [""]
    assert [closed.ending for closed in talk.front_closed] == [Ending.IDLE]
    assert talk.front.attempts == 2
    assert b"".join(talk.front.requests).count(b"3-0") == 1


def test_it_is_read_to_its_end_at_once_when_the_run_ends() -> None:
    talk = Talk("download", {"size": 40_000, "rate": 1000})
    talk.client.start()
    answer = answer_bytes(b"3-0", INSTANCE, body=talk.ends.body(b"3-0"))
    talk.front.wire.says(answer[:-30_000])
    stopped = talk.client.stop()
    assert talk.front.wire.transport.producerState == "producing"
    talk.front.wire.says(answer[-30_000:-15_000])
    assert talk.front.wire.transport.producerState == "producing"
    talk.front.wire.says(answer[-15_000:])
    assert not waits(stopped)
    assert talk.outcomes == [""]
    assert talk.time.getDelayedCalls() == []


def test_a_rate_so_low_that_resting_takes_longer_than_the_timeout_is_no_timeout() -> None:
    talk = Talk("download", {"size": 40_000, "rate": 1000}, timeout_s=4)
    talk.client.start()
    answer = answer_bytes(b"3-0", INSTANCE, body=talk.ends.body(b"3-0"))
    talk.front.wire.says(answer[:-20_000])
    talk.time.pump([1] * 21)
    assert talk.outcomes == []
    talk.front.wire.says(answer[-20_000:])
    assert talk.outcomes == [""]


def test_a_download_that_breaks_while_it_rests_leaves_nothing_behind() -> None:
    talk = Talk("download", {"size": 40_000, "rate": 1000})
    talk.client.start()
    talk.front.wire.says(answer_bytes(b"3-0", INSTANCE, body=talk.ends.body(b"3-0"))[:-20_000])
    talk.front.wire.resets()
    talk.client.stop()
    assert talk.outcomes == [failures.RESET_MID_RESPONSE]
    assert talk.time.getDelayedCalls() == []


# Streams.


def test_a_stream_that_the_run_ends_is_a_success_and_reset() -> None:
    hosted = Hosted(Talk("stream", {"every": 0.5, "length": 100}))
    hosted.talk.client.start()
    hosted.goes_on(3, 0.5)
    assert not waits(hosted.talk.client.stop())
    assert hosted.talk.outcomes == [""]
    assert hosted.talk.front.wire.transport.aborted
    assert hosted.talk.time.getDelayedCalls() != []  # the backend's, which has not heard of it yet
    hosted.inlet.closes()
    assert hosted.talk.time.getDelayedCalls() == []
    assert hosted.inlet.stages[-1][1] == "given up"


def test_what_was_wrong_by_then_stays_wrong() -> None:
    talk = Talk("stream")
    talk.client.start()
    talk.front.wire.says(stream_head(b"3-0"), chunk(b"data: 3-0 1\n\n"))
    talk.client.stop()
    assert talk.outcomes == [failures.MESSAGE_LOST]


@pytest.mark.parametrize("connected", [True, False])
def test_one_whose_head_has_not_come_is_ended_when_it_does(connected: bool) -> None:  # noqa: FBT001
    hosted = Hosted(Talk("stream", {"every": 0.5, "length": 100}))
    hosted.talk.front.held = not connected
    hosted.talk.client.start()
    stopped = hosted.talk.client.stop()
    hosted.talk.front.let_in()
    assert waits(stopped)
    hosted.carry()
    assert not waits(stopped)
    assert hosted.talk.outcomes == [""]


# Time-outs.


def test_a_timeout_is_between_two_pieces() -> None:
    talk = Talk("stream", {"every": 1, "length": 20}, timeout_s=2)
    talk.client.start()
    talk.front.wire.says(stream_head(b"3-0"))
    for number in range(10):
        talk.front.wire.says(chunk(b"data: 3-0 %d\n\n" % number))
        talk.time.advance(1)
        talk.time.advance(1.5)
    assert talk.outcomes == []
    talk.time.pump([0.25] * 2)
    assert talk.outcomes == [failures.TIMEOUT]


def test_and_for_the_whole_it_is_three_times_as_long_as_the_kind_takes_and_the_timeout() -> None:
    talk = Talk("stream", {"every": 1, "length": 5}, timeout_s=2)
    talk.client.start()
    talk.front.wire.says(stream_head(b"3-0"))
    for _ in range(200):
        talk.front.wire.says(chunk(b": and on\n"))
        talk.time.advance(0.125)
        if talk.outcomes:
            break
    assert talk.outcomes == [failures.TIMEOUT]
    assert 3 * 5 + 2 <= talk.time.seconds() <= 3 * 5 + 2 + 0.125


@pytest.mark.parametrize("name", ["slow", "post"])
def test_a_slow_answer_has_its_delay_and_the_timeout(name: str) -> None:
    talk = Talk(name, {"delay": 3}, timeout_s=1)
    talk.client.start()
    talk.time.pump([0.125] * 31)
    assert talk.outcomes == []
    talk.time.pump([0.125] * 2)
    assert talk.outcomes == [failures.TIMEOUT]


def test_an_upload_has_its_time_from_its_latest_piece() -> None:
    talk = Talk("upload", {"every": 1, "length": 6}, timeout_s=2)
    talk.client.start()
    talk.time.pump([0.125] * 8 * 8)  # the last piece, at 6
    assert talk.outcomes == []
    talk.time.pump([0.125] * 8 + [0.125] * 2)
    assert talk.outcomes == [failures.TIMEOUT]


def test_an_upload_whose_answer_is_slow_has_its_delay_besides() -> None:
    talk = Talk("upload", {"every": 1, "length": 2, "delay": 3}, timeout_s=1)
    talk.client.start()
    talk.time.pump([0.125] * 8 * 2)  # the last piece, at 2
    talk.time.pump([0.125] * 31)
    assert talk.outcomes == []
    talk.time.pump([0.125] * 2)
    assert talk.outcomes == [failures.TIMEOUT]


def test_a_small_get_that_trickles_in_has_no_more_time_than_any() -> None:
    talk = small("idle", timeout_s=2)
    talk.client.start()
    answer = answer_bytes(b"3-0")
    for number in range(20):
        talk.front.wire.says(answer[number : number + 1])
        talk.time.advance(0.125)
    assert talk.outcomes == [failures.TIMEOUT]


# Whatever happens.


class Whatever(RuleBasedStateMachine):
    """A client of some kind, before a proxy that does whatever it wants."""

    name = "get"
    given: dict[str, object] = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.hosted = Hosted(Talk(self.name, self.given, timeout_s=2))
        self.talk = self.hosted.talk
        self.faults = 0
        self.stopped = False
        self.talk.client.start()

    def teardown(self) -> None:
        """Whatever it was: once it is stopped each request has its exchange, and nothing goes on."""
        self.talk.client.stop()
        self.talk.front.held = False
        self.talk.front.outcomes.clear()
        self.talk.front.let_in()
        for _ in range(200):
            self.hosted.goes_on(0.25, 0.25)
        self.talk.client.close()
        for inlet in self.hosted.carried.values():
            inlet.closes()
        exchanges = self.talk.exchanges
        assert [each.number for each in exchanges] == list(range(self.talk.client._sent))
        assert self.talk.time.getDelayedCalls() == []
        assert len([each for each in exchanges if each.failure]) <= self.faults

    @invariant()
    def no_request_is_sent_twice(self) -> None:
        written = b"".join(wire.written for wire in self.talk.front.wires)
        for number in range(self.talk.client._sent):
            assert written.count(b"Proxyreload-Id: 3-%d\r\n" % number) <= 1

    @invariant()
    def each_exchange_is_told_once(self) -> None:
        numbers = [each.number for each in self.talk.exchanges]
        assert numbers == list(range(len(numbers)))
        assert self.talk.client._sent - len(numbers) in (0, 1)

    @rule(steps=st.integers(1, 8), cuts=st.lists(st.integers(0, 500), max_size=3))
    def goes_on(self, steps: int, cuts: list[int]) -> None:
        for _ in range(steps):
            self.talk.time.advance(0.1)
            self.hosted.carry_once(cuts)

    @rule(steps=st.integers(1, 40))
    def stalls(self, steps: int) -> None:
        self.faults += 1 + steps // 20
        self.talk.time.pump([0.1] * steps)

    @precondition(lambda self: self.talk.front.wires and self.talk.client._connection is not None)
    @rule(reset=st.booleans())
    def ends(self, reset: bool) -> None:  # noqa: FBT001
        self.faults += 1
        wire = self.talk.front.wire
        wire.resets() if reset else wire.closes()

    @precondition(lambda self: self.talk.front.wires and self.talk.client._pending is not None)
    @rule(close=st.booleans())
    def answers_itself(self, close: bool) -> None:  # noqa: FBT001
        self.faults += 1
        pending = self.talk.client._pending
        if self.talk.client._connection is not None and pending is not None and not pending.first_byte_ns:
            self.hosted.forgets()
            self.talk.front.wire.says(
                b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n%b\r\n"
                % (b"Connection: close\r\n" if close else b"")
            )

    @rule()
    def refuses(self) -> None:
        self.faults += 1
        self.talk.front.outcomes.append(ConnectionRefusedError())

    @precondition(lambda self: not self.stopped)
    @rule()
    def stops(self) -> None:
        self.stopped = True
        self.talk.client.stop()


GIVEN: dict[str, dict[str, object]] = {
    "idle": {"gap": [0, 0.5]},
    "post": {"size": 50, "gap": [0.1, 0.5]},
    "slow": {"delay": 0.5},
    "stream": {"every": 0.2, "length": 1},
    "upload": {"every": 0.2, "length": 1},
    "download": {"size": 9000, "rate": 10_000},
    "websocket": {"every": 0.2, "length": 1},
}


@pytest.mark.parametrize("name", GIVEN)
def test_whatever_happens_each_request_has_one_exchange(name: str) -> None:
    machine = type("Machine", (Whatever,), {"name": name, "given": GIVEN[name]})
    run_state_machine_as_test(machine, settings=settings(max_examples=10, stateful_step_count=15))
