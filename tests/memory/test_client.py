"""One client: exactly one exchange for each request, and nothing ever sent twice."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import (
    ConnectError,
    ConnectionLost,
    ConnectionRefusedError,  # noqa: A004
    NoRouteError,
    TimeoutError,  # noqa: A004
)
from twisted.python.failure import Failure

from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.outcome import connection_failure, instances
from proxyreload.client.sender import PAUSE_AFTER_FAILED_CONNECTION_S
from proxyreload.history import failures
from proxyreload.history.events import Ending, Exchange, FrontClosed, FrontSecured, Shown
from proxyreload.system.clock import ns
from proxyreload.traffic.get import from_anyone
from proxyreload.traffic.identity import port_number

from .bench import Bench
from .clocks import START_NS, result_of, some_examples, waits
from .connections import answer_bytes


@pytest.fixture(name="bench")
def _bench() -> Bench:
    return Bench()


@pytest.fixture(name="started")
def _started(bench: Bench) -> Bench:
    bench.client.start()
    return bench


# A closed loop.


def test_the_next_request_is_sent_as_soon_as_the_answer_is_there(started: Bench) -> None:
    for _ in range(3):
        started.front.answers()
    assert started.front.requests == [b"3-0", b"3-1", b"3-2", b"3-3"]
    assert [e.number for e in started.exchanges] == [0, 1, 2]
    assert started.front.attempts == 1


def test_a_success_carries_all_that_is_known_of_it(started: Bench) -> None:
    started.time.advance(0.25)
    started.front.answers(instance=b"2", back_port=b"51234")
    exchange = started.last
    assert (exchange.client, exchange.number, exchange.status, exchange.failure, exchange.message) == (
        3,
        0,
        200,
        "",
        "",
    )
    assert (exchange.instance, exchange.back_port, exchange.front_port) == ("2", 51234, 40000)
    assert (exchange.connection, exchange.carried, exchange.announced, exchange.probe) == (0, 0, False, False)
    assert (exchange.due_ns, exchange.written_ns) == (START_NS, START_NS)
    assert exchange.first_byte_ns == exchange.ended_ns == START_NS + ns(0.25)
    assert exchange.latency_ns == ns(0.25)


def test_over_tls_it_tells_by_which_certificate_a_connection_stands(bench: Bench) -> None:
    shown = Shown("ab12", resumed=True, offered=True, version="TLSv1.3")
    bench.front.kind = type("Secured", (HTTP11Connection,), {"shown": shown})
    bench.front.held = True
    bench.client.start()
    bench.time.advance(0.25)
    bench.front.let_in()
    [secured] = [event for event in bench.events if isinstance(event, FrontSecured)]
    assert (secured.client, secured.connection, secured.front_port, secured.shown) == (3, 0, 40000, shown)
    assert (secured.at_ns, secured.kind, secured.probe) == (START_NS + ns(0.25), "get", False)


def test_the_connection_counts_what_it_has_carried(started: Bench) -> None:
    for _ in range(3):
        started.front.answers()
    assert [(e.connection, e.carried) for e in started.exchanges] == [(0, 0), (0, 1), (0, 2)]


def test_the_time_to_connect_belongs_to_the_first_request_alone(bench: Bench) -> None:
    bench.front.held = True
    bench.client.start()
    bench.time.advance(0.5)
    bench.front.let_in()
    # The connection in memory is made when it is let in; what it took is its own business.
    bench.front.wire.connection.connect_ns = ns(0.5)
    bench.front.answers()
    bench.front.answers()
    assert [e.connect_ns for e in bench.exchanges] == [ns(0.5), 0]


def test_the_latency_of_a_closed_loop_counts_from_the_writing(bench: Bench) -> None:
    bench.front.held = True
    bench.client.start()
    bench.time.advance(0.5)
    bench.front.let_in()
    bench.time.advance(0.25)
    bench.front.answers()
    assert bench.last.latency_ns == ns(0.25)


# Answers that are wrong.


def test_a_status_other_than_200_is_a_failure_named_by_it(started: Bench) -> None:
    started.front.answers(status=b"503 Service Unavailable")
    assert (started.last.failure, started.last.status) == ("status 503", 503)


def test_a_wrong_body_is_a_failure(started: Bench) -> None:
    started.front.answers(body=b"\x1b]0;evil\x07")
    assert (started.last.failure, started.last.message) == (failures.WRONG_BODY, r"\x1b]0;evil\x07")


def test_the_answer_to_another_request_is_a_failure(started: Bench) -> None:
    started.front.wire.says(answer_bytes(b"4-7"))
    assert (started.last.failure, started.last.message) == (failures.WRONG_BODY, "the answer to request 4-7")


def test_a_page_that_the_proxy_made_itself_is_a_failure(started: Bench) -> None:
    started.front.wire.says(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nwelcome!")
    assert (started.last.failure, started.last.message) == (failures.WRONG_BODY, "not from a backend of ours")


def test_an_answer_that_names_no_backend_is_a_failure_whatever_its_body(started: Bench) -> None:
    started.front.answers(instance=b"")
    assert (started.last.failure, started.last.message) == (failures.WRONG_BODY, "not from a backend of ours")


def test_an_answer_whose_body_is_another_backends_is_a_failure(started: Bench) -> None:
    started.front.answers(instance=b"1", body=b"backend 0 answers 3-0\n")
    assert started.last.failure == failures.WRONG_BODY


def test_with_backends_of_somebody_elses_any_body_will_do(bench: Bench) -> None:
    bench.make(expectation=from_anyone)
    bench.client.start()
    bench.front.wire.says(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nwelcome!")
    assert bench.last.failure == ""


def test_with_backends_of_somebody_elses_a_status_is_a_failure_all_the_same(bench: Bench) -> None:
    bench.make(expectation=from_anyone)
    bench.client.start()
    bench.front.wire.says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    assert bench.last.failure == "status 404"


def test_a_failed_answer_does_not_cost_the_connection(started: Bench) -> None:
    started.front.answers(status=b"500 Oops")
    started.front.answers()
    assert started.front.attempts == 1


# Connections that end.


def test_a_lost_request_is_never_sent_again(started: Bench) -> None:
    started.front.answers()
    started.front.wire.closes()
    assert started.last.failure == failures.CLOSED_REUSED
    assert started.last.number == 1
    assert started.front.requests == [b"3-0", b"3-1", b"3-2"]


def test_a_failure_names_the_port_of_the_connection_that_carried_it(started: Bench) -> None:
    started.front.answers()
    started.front.wire.resets()
    assert (started.last.failure, started.last.front_port) == (failures.RESET_REUSED, 40000)
    assert (started.last.instance, started.last.back_port, started.last.status) == ("", 0, 0)


def test_after_a_failure_the_next_request_goes_over_a_new_connection(started: Bench) -> None:
    started.front.answers()
    started.front.wire.closes()
    started.front.answers()
    assert [(e.connection, e.carried, e.front_port) for e in started.exchanges] == [
        (0, 0, 40000),
        (0, 1, 40000),
        (1, 0, 40001),
    ]


def test_a_fresh_connection_that_comes_to_nothing_is_followed_by_a_pause(started: Bench) -> None:
    started.front.wire.closes()
    assert started.last.failure == failures.CLOSED_FRESH
    assert started.front.attempts == 1
    started.time.advance(PAUSE_AFTER_FAILED_CONNECTION_S)
    assert started.front.attempts == 2


def test_a_connection_cut_under_a_request_is_published_as_cut(started: Bench) -> None:
    started.front.answers()
    started.front.wire.resets()
    [closed] = started.front_closed
    assert (closed.ending, closed.connection, closed.carried, closed.front_port) == (Ending.CUT, 0, 2, 40000)


def test_an_exchange_is_published_before_the_end_of_its_connection(started: Bench) -> None:
    started.front.wire.closes()
    assert [type(event) for event in started.events] == [Exchange, FrontClosed]


def test_an_announced_close_is_no_failure(started: Bench) -> None:
    started.front.answers(extra=b"Connection: close\r\n")
    assert (started.last.failure, started.last.announced) == ("", True)
    [closed] = started.front_closed
    assert closed.ending is Ending.ANNOUNCED


def test_an_announced_close_is_followed_by_a_new_connection(started: Bench) -> None:
    started.front.answers(extra=b"Connection: close\r\n")
    assert started.front.wires[0].transport.closed
    started.front.answers()
    assert [e.connection for e in started.exchanges] == [0, 1]


def test_a_body_that_ends_with_the_connection_is_a_success(bench: Bench) -> None:
    bench.make(expectation=from_anyone)
    bench.client.start()
    bench.front.wire.says(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    bench.front.wire.closes()
    assert (bench.last.failure, bench.last.announced) == ("", True)
    assert bench.front.attempts == 2


def test_an_idle_close_is_no_failure_and_the_next_request_goes_over_a_new_connection(bench: Bench) -> None:
    bench.make(open_loop=True)
    bench.client.due(START_NS)
    bench.front.answers()
    bench.front.wire.closes()
    assert bench.front.attempts == 1
    bench.client.due(START_NS)
    bench.front.answers()
    assert [(e.failure, e.connection) for e in bench.exchanges] == [("", 0), ("", 1)]
    assert [c.ending for c in bench.front_closed] == [Ending.IDLE]


def test_bytes_on_an_idle_connection_are_noted_with_its_end(bench: Bench) -> None:
    bench.make(open_loop=True)
    bench.client.due(START_NS)
    bench.front.answers()
    bench.front.wire.says(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    [closed] = bench.front_closed
    assert closed.ending is Ending.UNSOLICITED
    assert closed.message.startswith("HTTP/1.1 408 Request Timeout")
    assert len(bench.exchanges) == 1


# Connections that never come to be.


def test_a_refused_connection_is_a_failure_without_a_connection(bench: Bench) -> None:
    bench.front.outcomes.append(ConnectionRefusedError())
    bench.client.start()
    exchange = bench.last
    assert (exchange.failure, exchange.message, exchange.status) == (failures.REFUSED, "", 0)
    assert (exchange.connection, exchange.front_port, exchange.written_ns) == (-1, 0, 0)
    assert bench.front_closed == []


def test_a_failure_without_a_connection_says_how_long_the_connection_was_tried(bench: Bench) -> None:
    bench.front.held = True
    bench.client.start()
    bench.time.advance(0.5)
    bench.front.turn_away(ConnectionRefusedError())
    assert (bench.last.failure, bench.last.connect_ns) == (failures.REFUSED, ns(0.5))
    assert (bench.last.due_ns, bench.last.sent_ns, bench.last.written_ns) == (START_NS, START_NS, 0)


def test_a_connection_is_tried_from_when_it_was_begun_and_not_from_when_its_request_was_due(bench: Bench) -> None:
    bench.make(open_loop=True)
    bench.client.due(START_NS)
    bench.client.due(START_NS)
    bench.front.held = True
    bench.time.advance(0.25)
    bench.front.answers(extra=b"Connection: close\r\n")
    bench.time.advance(0.5)
    bench.front.turn_away(ConnectionRefusedError())
    assert (bench.last.due_ns, bench.last.sent_ns, bench.last.connect_ns) == (START_NS, START_NS + ns(0.25), ns(0.5))


def test_a_client_pauses_after_a_refused_connection(bench: Bench) -> None:
    bench.front.outcomes.extend([ConnectionRefusedError(), ConnectionRefusedError()])
    bench.client.start()
    assert bench.front.attempts == 1
    bench.time.advance(PAUSE_AFTER_FAILED_CONNECTION_S)
    bench.time.advance(PAUSE_AFTER_FAILED_CONNECTION_S)
    bench.front.answers()
    assert [e.failure for e in bench.exchanges] == [failures.REFUSED, failures.REFUSED, ""]
    assert [e.number for e in bench.exchanges] == [0, 1, 2]


def test_a_request_that_found_no_connection_is_never_sent_later(bench: Bench) -> None:
    bench.front.outcomes.append(ConnectionRefusedError())
    bench.client.start()
    bench.time.advance(PAUSE_AFTER_FAILED_CONNECTION_S)
    assert bench.front.requests == [b"3-1"]


@pytest.mark.parametrize(
    ("error", "failure", "message"),
    [
        (ConnectionRefusedError(), failures.REFUSED, ""),
        (TimeoutError(), failures.CONNECT_TIMEOUT, ""),
        (ConnectError(osError=99, string="Cannot assign requested address"), failures.OWN_LIMIT, "Cannot assign"),
        (NoRouteError(), failures.CONNECT_ERROR, "No route to host"),
        (ConnectionLost(), failures.CONNECT_ERROR, "ConnectionLost: "),
        (OSError(24, "Too many\nopen files"), failures.OWN_LIMIT, r"[Errno 24] Too many\nopen files"),
    ],
)
def test_why_a_connection_could_not_be_opened(error: Exception, failure: str, message: str) -> None:
    told, words = connection_failure(Failure(error))
    assert told == failure
    assert message in words
    assert words.isprintable()


def test_a_front_that_lets_nobody_in_is_a_connect_timeout(bench: Bench) -> None:
    bench.front.held = True
    bench.client.start()
    bench.time.advance(4)
    assert [e.failure for e in bench.exchanges] == [failures.CONNECT_TIMEOUT]
    assert (bench.last.connect_ns, bench.last.sent_ns) == (ns(4), START_NS)
    assert bench.front.cancelled == 1


def test_the_connector_is_given_the_time_that_an_exchange_has(bench: Bench) -> None:
    bench.make(timeout_s=2.5)
    bench.client.start()
    assert bench.front.timeouts_s == [2.5]


# Time-outs.


def test_an_answer_that_never_comes_is_a_timeout(started: Bench) -> None:
    started.time.advance(4)
    assert [e.failure for e in started.exchanges] == [failures.TIMEOUT]
    assert started.last.first_byte_ns == 0
    assert started.front.wires[0].transport.aborted


def test_an_answer_that_waited_while_this_process_stood_still_is_no_timeout(started: Bench) -> None:
    # Timers come before sockets in a turn of the reactor: when this one is late, what the kernel holds is read first.
    started.time.callLater(100.0, started.front.answers)
    started.time.rightNow += 100.0
    started.time.advance(0)
    assert started.exchanges[0].failure == ""
    assert started.exchanges[0].latency_ns == ns(100.0)


def test_a_head_that_stalls_is_a_timeout(started: Bench) -> None:
    started.front.wire.says(b"HTTP/1.1 200 OK\r\nServer: x")
    started.time.advance(4)
    assert started.last.failure == failures.TIMEOUT
    assert started.last.first_byte_ns == START_NS


def test_a_body_that_stalls_is_a_timeout(started: Bench) -> None:
    started.front.wire.says(answer_bytes(b"3-0")[:-1])
    started.time.advance(4)
    assert started.last.failure == failures.TIMEOUT
    assert (started.last.status, started.last.instance) == (200, "0")


def test_a_body_that_drips_is_a_timeout(started: Bench) -> None:
    started.front.wire.says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    for _ in range(8):
        started.front.wires[0].says(b"x")
        started.time.advance(0.5)
    assert [e.failure for e in started.exchanges] == [failures.TIMEOUT]


def test_after_a_timeout_the_next_request_goes_over_a_new_connection(started: Bench) -> None:
    started.time.advance(4)
    started.front.answers()
    assert [(e.failure, e.connection) for e in started.exchanges] == [(failures.TIMEOUT, 0), ("", 1)]
    assert [c.ending for c in started.front_closed] == [Ending.CUT]


def test_an_answer_after_the_timeout_changes_nothing(started: Bench) -> None:
    started.time.advance(4)
    started.front.wires[0].connection.dataReceived(answer_bytes(b"3-0"))
    started.front.wires[0].closes()
    assert [e.failure for e in started.exchanges] == [failures.TIMEOUT]


def test_each_exchange_has_the_whole_time(started: Bench) -> None:
    for _ in range(4):
        started.time.advance(3)
        started.front.answers()
    assert [e.failure for e in started.exchanges] == [""] * 4
    started.time.advance(3.5)
    assert len(started.exchanges) == 4
    started.time.advance(0.5)
    assert started.last.failure == failures.TIMEOUT
    assert started.last.latency_ns == ns(4)


def test_the_time_for_an_exchange_includes_that_for_its_connection(bench: Bench) -> None:
    bench.front.held = True
    bench.client.start()
    bench.time.advance(3)
    bench.front.let_in()
    bench.time.advance(0.75)
    assert bench.exchanges == []
    bench.time.advance(0.25)
    assert (bench.last.failure, bench.last.written_ns) == (failures.TIMEOUT, START_NS + ns(3))


def test_a_request_that_had_to_wait_has_the_whole_time_from_its_writing(bench: Bench) -> None:
    bench.make(open_loop=True)
    bench.client.due(START_NS)
    bench.client.due(START_NS)
    bench.time.advance(3)
    bench.front.answers()
    bench.time.advance(3.5)
    assert len(bench.exchanges) == 1
    bench.time.advance(0.5)
    assert (bench.last.failure, bench.last.due_ns, bench.last.ended_ns) == (
        failures.TIMEOUT,
        START_NS,
        START_NS + ns(7),
    )


# An open loop.


def test_an_open_loop_sends_nothing_by_itself(bench: Bench) -> None:
    bench.make(open_loop=True)
    bench.client.start()
    bench.client.due(bench.time.ns())
    bench.front.answers()
    assert bench.front.requests == [b"3-0"]


def test_requests_that_are_due_while_another_is_under_way_keep_their_due_times(bench: Bench) -> None:
    bench.make(open_loop=True)
    for _ in range(3):
        bench.client.due(bench.time.ns())
        bench.time.advance(0.25)
    for _ in range(3):
        bench.time.advance(0.5)
        bench.front.answers()
    assert [e.due_ns - START_NS for e in bench.exchanges] == [0, ns(0.25), ns(0.5)]
    assert [e.latency_ns for e in bench.exchanges] == [ns(1.25), ns(1.5), ns(1.75)]
    assert [e.written_ns - START_NS for e in bench.exchanges] == [0, ns(1.25), ns(1.75)]


def test_one_request_at_a_time_is_under_way(bench: Bench) -> None:
    bench.make(open_loop=True)
    for _ in range(3):
        bench.client.due(START_NS)
    assert bench.front.requests == [b"3-0"]


def test_requests_that_had_to_wait_for_the_one_before_them_are_counted(bench: Bench) -> None:
    bench.make(open_loop=True)
    for _ in range(3):
        bench.client.due(bench.time.ns())
        bench.time.advance(0.25)
    for _ in range(3):
        bench.front.answers()
    bench.client.due(bench.time.ns())
    assert (bench.client.late, bench.client.late_peak_ns) == (2, ns(0.5))


def test_an_open_loop_does_not_pause_after_a_failed_connection(bench: Bench) -> None:
    bench.make(open_loop=True)
    bench.front.outcomes.append(ConnectionRefusedError())
    bench.client.due(START_NS)
    bench.client.due(START_NS + 1)
    assert [(e.failure, e.due_ns) for e in bench.exchanges] == [(failures.REFUSED, START_NS)]
    bench.front.answers()
    assert bench.last.failure == ""


# The probe.


def test_the_probe_connects_anew_for_each_request(bench: Bench) -> None:
    bench.make(probe=True)
    for _ in range(3):
        bench.client.due(bench.time.ns())
        bench.front.answers()
    assert [(e.connection, e.carried, e.probe) for e in bench.exchanges] == [(n, 0, True) for n in range(3)]
    assert all(wire.transport.closed for wire in bench.front.wires)


def test_the_probes_own_closing_is_no_news(bench: Bench) -> None:
    bench.make(probe=True)
    bench.client.due(START_NS)
    bench.front.answers()
    bench.front.wire.closes()
    assert bench.front_closed == []


def test_the_probes_requests_can_be_told_from_the_others(bench: Bench) -> None:
    bench.make(probe=True, number=10)
    bench.client.due(START_NS)
    assert bench.front.requests == [b"p10-0"]


# The end.


def test_stopping_waits_for_what_is_under_way(started: Bench) -> None:
    stopped = started.client.stop()
    assert waits(stopped)
    started.front.answers()
    result_of(stopped)
    assert [e.failure for e in started.exchanges] == [""]
    assert started.front.requests == [b"3-0"]


def test_stopping_waits_no_longer_than_the_timeout(started: Bench) -> None:
    stopped = started.client.stop()
    started.time.advance(4)
    result_of(stopped)
    assert [e.failure for e in started.exchanges] == [failures.TIMEOUT]


def test_stopping_waits_for_a_connection_that_is_being_opened(bench: Bench) -> None:
    bench.front.held = True
    bench.client.start()
    stopped = bench.client.stop()
    assert waits(stopped)
    bench.front.let_in()
    bench.front.answers()
    result_of(stopped)
    assert len(bench.exchanges) == 1


def test_a_client_with_nothing_under_way_stops_at_once(bench: Bench) -> None:
    bench.make(open_loop=True)
    bench.client.due(START_NS)
    bench.front.answers()
    result_of(bench.client.stop())
    assert not bench.front.wire.transport.closed


def test_its_connection_is_closed_only_when_it_is_told_to(started: Bench) -> None:
    started.client.stop()
    started.front.answers()
    assert not started.front.wire.transport.closed
    started.client.close()
    assert started.front.wire.transport.closed


def test_a_client_without_a_connection_has_none_to_close(bench: Bench) -> None:
    bench.front.outcomes.append(ConnectionRefusedError())
    bench.client.start()
    bench.client.stop()
    bench.client.close()
    assert bench.front.attempts == 1


def test_a_client_that_pauses_stops_at_once(bench: Bench) -> None:
    bench.front.outcomes.append(ConnectionRefusedError())
    bench.client.start()
    result_of(bench.client.stop())
    bench.time.advance(10)
    assert bench.front.attempts == 1


def test_stopping_sends_what_is_due_already_and_forgets_whatever_is_due_later(bench: Bench) -> None:
    bench.make(open_loop=True)
    bench.client.due(START_NS)
    bench.client.due(START_NS)
    stopped = bench.client.stop()
    bench.client.due(START_NS)
    bench.front.answers()
    assert waits(stopped)
    bench.front.answers()
    result_of(stopped)
    assert bench.front.requests == [b"3-0", b"3-1"]
    assert len(bench.exchanges) == 2


def test_what_is_dropped_is_counted_and_not_sent(bench: Bench) -> None:
    bench.make(open_loop=True)
    for _ in range(3):
        bench.client.due(START_NS)
    stopped = bench.client.stop()
    bench.client.drop()
    bench.front.answers()
    result_of(stopped)
    assert bench.front.requests == [b"3-0"]
    assert bench.client.never_sent == 2


def test_closing_at_the_end_is_no_news(started: Bench) -> None:
    started.client.stop()
    started.front.answers()
    started.client.close()
    started.front.wire.closes()
    assert started.front_closed == []


def test_after_the_end_nothing_waits_in_the_reactor(started: Bench) -> None:
    started.client.stop()
    started.front.answers()
    assert started.time.getDelayedCalls() == []


def test_aborting_ends_what_is_under_way_as_aborted(started: Bench) -> None:
    stopped = started.client.stop()
    started.client.abort()
    result_of(stopped)
    assert [e.failure for e in started.exchanges] == [failures.ABORTED]
    assert started.front.wire.transport.aborted


def test_aborting_ends_a_connection_that_is_being_opened(bench: Bench) -> None:
    bench.front.held = True
    bench.client.start()
    stopped = bench.client.stop()
    bench.client.abort()
    result_of(stopped)
    assert [e.failure for e in bench.exchanges] == [failures.ABORTED]
    assert bench.front.cancelled == 1


def test_aborting_with_nothing_under_way_does_nothing(bench: Bench) -> None:
    bench.make(open_loop=True)
    bench.client.abort()
    assert bench.exchanges == []


# Hostile answers.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"", ""),
        (b"0", "0"),
        (b"eu-west/7", "eu-west/7"),
        (b"a\x1b[31mb", r"a\x1b[31mb"),
        (b"a\rb\nc", r"a\rb\nc"),
        (b"\xff", "ÿ"),
        (b"x" * 100, "x" * 64 + "…"),
    ],
)
def test_a_backend_id_becomes_text_that_can_be_shown(value: bytes, text: str) -> None:
    assert instances[value] == text
    assert instances[value] == text


@pytest.mark.parametrize(
    ("value", "port"),
    [
        *[(b"0", 0), (b"1", 1), (b"51234", 51234), (b"65535", 65535)],
        *[(b"", 0), (b"-1", 0), (b"+1", 0), (b"1.0", 0), (b"0x50", 0), (b"1 2", 0), (b"1_0", 0), (b"\xb2", 0)],
        *[(b"65536", 0), (b"99999", 0), (b"123456", 0), (b"1" * 5000, 0)],
    ],
)
def test_a_source_port_is_a_port_or_nothing(value: bytes, port: int) -> None:
    assert port_number(value) == port


@some_examples
@given(st.binary(max_size=200))
def test_whatever_the_headers_say_it_is_short_and_can_be_shown(value: bytes) -> None:
    assert instances[value].isprintable()
    assert 0 <= port_number(value) <= 65535


def test_more_backend_ids_than_anyone_has_do_not_fill_the_memory() -> None:
    from proxyreload.client import outcome

    for number in range(outcome._VALUES_KEPT + 100):
        assert instances[b"made up %d" % number] == f"made up {number}"
    assert len(instances) <= outcome._VALUES_KEPT


# Whatever happens: one request, one exchange, no request twice.


ACTIONS = ("answer", "error", "announce", "nonsense", "close", "reset", "stall", "refuse", "due", "surplus")


@some_examples
@given(st.lists(st.sampled_from(ACTIONS), max_size=30), st.booleans(), st.sampled_from(("closed", "open", "probe")))
def test_there_is_exactly_one_exchange_for_each_request(actions: list[str], abort: bool, loop: str) -> None:  # noqa: FBT001
    bench = Bench()
    bench.make(open_loop=loop == "open", probe=loop == "probe")
    bench.client.start()
    front = bench.front
    for action in actions:
        if action == "refuse":
            front.outcomes.append(ConnectionRefusedError())
        elif action == "due" and loop != "closed":
            bench.client.due(bench.time.ns())
        elif action == "stall":
            bench.time.advance(4)
        elif front.wires and not front.wire.transport.disconnecting and front.wire.written:
            act(bench, action)
        bench.time.advance(PAUSE_AFTER_FAILED_CONNECTION_S)
    stopped = bench.client.stop()
    if abort:
        bench.client.abort()
    for _sent in range(len(actions) + 1):
        bench.time.advance(4)
    result_of(stopped)
    requests = front.requests
    assert len(set(requests)) == len(requests)
    exchanges = bench.exchanges
    assert [e.number for e in exchanges] == list(range(len(exchanges)))
    assert len(requests) == sum(e.connection >= 0 for e in exchanges)
    assert all(before.ended_ns <= after.ended_ns for before, after in pairwise(exchanges))
    assert len({(e.connection, e.carried) for e in exchanges if e.connection >= 0}) == len(requests)


def act(bench: Bench, action: str) -> None:
    """Let the proxy do something on the client's latest connection; it closes or resets each one once."""
    wire = bench.front.wire
    if action in ("close", "reset"):
        wire.transport.disconnecting = True
        (wire.closes if action == "close" else wire.resets)()
    elif action == "nonsense":
        wire.says(b"\x00\x01nonsense")
    elif action == "surplus":
        wire.says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n")
    else:
        status = b"500 Oops" if action == "error" else b"200 OK"
        bench.front.answers(status=status, extra=b"Connection: close\r\n" if action == "announce" else b"")
