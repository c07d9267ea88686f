"""A client with several exchanges at once, and its connection."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionRefusedError  # noqa: A004
from zope.interface.verify import verifyClass, verifyObject

from proxyreload.client.http2 import HTTP2Connection
from proxyreload.client.interfaces import IConnection, IManyOwner
from proxyreload.client.multiplexed import Multiplexed
from proxyreload.client.volley import AimedStreams, Volley
from proxyreload.history import failures
from proxyreload.http2 import frames

from .clocks import result_of, some_examples, waits
from .connections import parts
from .streams import StreamBench, StreamFront, streaming

LAST = 2**31 - 1


@pytest.fixture
def bench() -> StreamBench:
    made = StreamBench()
    made.client.start()
    return made


def test_roles() -> None:
    assert verifyClass(IConnection, HTTP2Connection)
    assert verifyObject(IManyOwner, StreamBench().client)


def test_all_lanes_send_at_once_over_one_connection(bench: StreamBench) -> None:
    wire = bench.front.wire

    assert bench.front.attempts == 1
    assert wire.open == [1, 3, 5]
    assert list(wire.ids.values()) == [b"3-0", b"3-1", b"3-2"]


def test_answers_come_in_any_order(bench: StreamBench) -> None:
    bench.front.wire.answers(5, 1)
    bench.front.wire.answers(3, instance=b"2")

    assert bench.failures == ["", "", ""]
    assert [(e.number, e.carried, e.instance, e.connection) for e in bench.exchanges] == [
        (2, 2, "0", 0),
        (0, 0, "0", 0),
        (1, 1, "2", 0),
    ]


@some_examples
@given(st.lists(st.integers(0, 10_000), max_size=6), st.permutations([1, 3, 5]))
def test_what_comes_of_it_does_not_depend_on_how_bytes_are_read(cuts: list[int], order: list[int]) -> None:
    bench = StreamBench()
    bench.client.start()
    wire = bench.front.wire
    said = frames.settings({}) + b"".join(wire.answer(stream) for stream in order)
    for part in parts(said, cuts):
        wire.says(part)

    assert bench.failures == ["", "", ""]


def test_each_lane_rests_and_goes_on(bench: StreamBench) -> None:
    bench.front.wire.answers(1)
    bench.time.advance(0.5)
    assert bench.front.wire.open == [1, 3, 5]
    bench.time.advance(0.6)
    assert bench.front.wire.open == [1, 3, 5, 7]


def test_without_rests_the_next_goes_out_with_the_answer() -> None:
    bench = StreamBench(streaming(2, None))
    bench.client.start()
    bench.front.wire.answers(1, 3)

    assert bench.front.wire.open == [1, 3, 5, 7]


def test_a_wrong_answer_is_found(bench: StreamBench) -> None:
    wire = bench.front.wire
    wire.answers(1, body=b"another's")
    wire.answers(3, status=b"503", body=b"no server")

    assert bench.failures == [failures.WRONG_BODY, "status 503"]


def test_a_reset_stream_is_lost_and_the_others_go_on(bench: StreamBench) -> None:
    wire = bench.front.wire
    wire.says(frames.rst_stream(3, frames.STREAM_CLOSED))
    wire.answers(1, 5)

    assert bench.failures == [failures.STREAM_RESET, "", ""]
    assert bench.exchanges[0].message == "RST_STREAM STREAM_CLOSED"
    assert bench.endings == []


def test_a_refused_stream_is_turned_away(bench: StreamBench) -> None:
    bench.front.wire.says(frames.rst_stream(3, frames.REFUSED_STREAM))

    assert bench.failures == [failures.TURNED_AWAY]
    assert bench.exchanges[0].turned_away
    assert not bench.exchanges[0].lost


def test_behind_a_goaway_what_was_promised_goes_on_and_the_rest_is_turned_away(bench: StreamBench) -> None:
    wire = bench.front.wire
    wire.says(frames.goaway(3, frames.NO_ERROR, b"bye\n"))
    assert bench.failures == [failures.TURNED_AWAY]
    assert bench.endings == ["announced"]
    wire.answers(1, 3)

    assert bench.failures == [failures.TURNED_AWAY, "", ""]
    (parting,) = bench.partings
    assert (parting.last_stream, parting.code, parting.open, parting.turned_away) == (3, "NO_ERROR", 2, 1)
    assert parting.message == "bye\\n"
    assert wire.transport.closed
    bench.time.advance(2)
    assert len(bench.front.wires) == 2
    assert bench.front.wire.open == [1, 3, 5]


def test_the_graceful_pair_is_heard_whole(bench: StreamBench) -> None:
    wire = bench.front.wire
    wire.says(frames.goaway(LAST, frames.NO_ERROR))
    assert bench.failures == []
    wire.says(frames.goaway(5, frames.NO_ERROR))
    wire.answers(1, 3, 5)

    assert [parting.last_stream for parting in bench.partings] == [LAST, 5]
    assert bench.failures == ["", "", ""]
    assert bench.endings == ["announced"]


def test_a_goaway_at_rest_closes_the_connection_announced(bench: StreamBench) -> None:
    wire = bench.front.wire
    wire.answers(1, 3, 5)
    wire.says(frames.goaway(5, frames.NO_ERROR))

    assert wire.transport.closed
    assert bench.endings == ["announced"]
    assert bench.failures == ["", "", ""]


def test_what_was_promised_and_is_not_kept_is_lost(bench: StreamBench) -> None:
    wire = bench.front.wire
    wire.says(frames.goaway(5, frames.NO_ERROR))
    wire.closes()

    assert bench.failures == [failures.CLOSED_FRESH, failures.CLOSED_REUSED, failures.CLOSED_REUSED]
    assert "after GOAWAY" in bench.exchanges[0].message
    assert bench.endings == ["announced"]


def test_a_closed_connection_loses_what_was_on_it(bench: StreamBench) -> None:
    wire = bench.front.wire
    answer = wire.answer(3)
    wire.says(answer[:-3])
    wire.resets()

    assert bench.failures == [failures.RESET_FRESH, failures.RESET_MID_RESPONSE, failures.RESET_REUSED]
    assert bench.endings == ["cut"]


def test_a_connection_that_is_closed_at_rest_loses_nothing(bench: StreamBench) -> None:
    bench.front.wire.answers(1, 3, 5)
    bench.front.wire.closes()

    assert bench.endings == ["idle"]
    assert bench.failures == ["", "", ""]
    bench.time.advance(1.1)
    assert len(bench.front.wires) == 2


def test_what_is_no_http2_breaks_all_that_is_on_it(bench: StreamBench) -> None:
    bench.front.wire.says(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(100))

    assert set(bench.failures) == {failures.MALFORMED}
    assert bench.endings == ["cut"]


def test_a_late_stream_is_given_up_alone(bench: StreamBench) -> None:
    wire = bench.front.wire
    bench.time.advance(3)
    wire.answers(1, 3)
    bench.time.advance(1)
    bench.time.advance(0)

    assert bench.failures == ["", "", failures.TIMEOUT]
    reset = [frame for frame in wire.look().sent if frame[0] == frames.RST_STREAM]
    assert [frame[2] for frame in reset] == [5]
    assert len(bench.front.wires) == 1


def test_a_connection_that_says_nothing_is_left(bench: StreamBench) -> None:
    bench.time.advance(4)
    bench.time.advance(0)
    bench.time.advance(0)
    bench.time.advance(0)
    bench.time.advance(1.1)

    assert bench.failures[:3] == [failures.TIMEOUT] * 3
    assert len(bench.front.wires) == 2


def test_a_refused_connection_fails_each_lane_once() -> None:
    bench = StreamBench()
    bench.front.refuses = ConnectionRefusedError()
    bench.client.start()

    assert bench.failures == [failures.REFUSED] * 3
    bench.front.refuses = None
    bench.time.advance(1.1)
    assert bench.front.wire.open == [1, 3, 5]


def test_no_more_than_the_proxy_lets_it() -> None:
    bench = StreamBench(streaming(3, None))
    bench.front.refuses = ConnectionRefusedError()
    bench.client.start()
    bench.front.refuses = None
    bench.time.advance(0.1)
    wire = bench.front.wire
    wire.greets(max_concurrent_streams=2)
    wire.answers(1, 3, 5)

    assert wire.open == [1, 3, 5, 7, 9]
    wire.answers(7)
    assert wire.open == [1, 3, 5, 7, 9, 11]
    assert len({wire.ids[stream] for stream in wire.open}) == 6


def test_an_open_loop_queues_what_no_lane_can_take() -> None:
    bench = StreamBench(streaming(2), open_loop=True)
    bench.client.start()
    for number in range(3):
        bench.client.due(bench.time.ns() + number)
    assert bench.front.wire.open == [1, 3]
    bench.front.wire.answers(1)

    assert bench.front.wire.open == [1, 3, 5]
    assert bench.client.late == 1


def test_stop_waits_for_what_is_under_way(bench: StreamBench) -> None:
    bench.front.wire.answers(1)
    stopped = bench.client.stop()
    assert waits(stopped)
    bench.front.wire.answers(3, 5)

    result_of(stopped)
    bench.time.advance(5)
    assert len(bench.exchanges) == 3
    bench.client.close()
    assert bench.front.wire.transport.closed
    assert bench.time.getDelayedCalls() == []


def test_an_abort_ends_all_of_it(bench: StreamBench) -> None:
    stopped = bench.client.stop()
    bench.client.abort()

    result_of(stopped)
    assert bench.failures == [failures.ABORTED] * 3
    bench.client.close()
    assert bench.time.getDelayedCalls() == []


def test_aimed_streams_all_send_at_the_first_goaway() -> None:
    volley = Volley()
    benches = []
    for _number in range(2):
        made = StreamBench(streaming(3, (50.0, 50.0)), kind=AimedStreams, more={"volley": volley, "random": Random(1)})
        made.client.start()
        made.front.wire.answers(1, 3, 5)
        benches.append(made)
    first, second = benches
    first.front.wire.says(frames.goaway(5, frames.NO_ERROR))

    assert second.front.wire.open == [1, 3, 5, 7, 9, 11]
    first.time.advance(0.4)
    assert len(first.front.wires) == 2
    assert isinstance(first.front, StreamFront)
    assert isinstance(first.client, Multiplexed)
