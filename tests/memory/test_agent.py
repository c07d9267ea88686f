"""The agent for treq: one connection, one request at a time, none written twice."""

import attrs
import pytest
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError  # noqa: A004
from twisted.web.iweb import IAgent, IResponse
from zope.interface.verify import verifyObject

from proxyreload.client.agent import AgentConnection, ExchangeFailed, OneConnectionAgent
from proxyreload.client.interfaces import IConnectionOwner
from proxyreload.history import failures

from .clocks import Time, error_of, result_of, waits
from .connections import Front

URL = b"http://proxyreload.test:8080/"
OK = b"HTTP/1.1 200 OK\r\nBackend-Id: 2\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: 2\r\n\r\nhi"


@attrs.define(eq=False)
class Desk:
    """An agent before a front in memory."""

    time: Time = attrs.field(factory=Time)
    front: Front = attrs.field(init=False)
    agent: OneConnectionAgent = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.front = Front(self.time, kind=AgentConnection)
        self.agent = OneConnectionAgent(self.time, self.front, 4.0)

    @property
    def heads(self) -> list[int]:
        """How many requests went over each connection."""
        return [wire.written.count(b"GET / HTTP/1.1\r\n") for wire in self.front.wires]


@pytest.fixture(name="desk")
def _desk() -> Desk:
    return Desk()


def test_it_is_an_agent(desk: Desk) -> None:
    assert verifyObject(IAgent, desk.agent)
    assert verifyObject(IConnectionOwner, desk.agent)


def test_an_answer_comes_with_all_its_fields(desk: Desk) -> None:
    asked = desk.agent.request(b"GET", URL)
    desk.front.wire.says(OK)
    response = result_of(asked)
    assert verifyObject(IResponse, response)
    assert response.code == 200
    assert response.headers.getRawHeaders(b"Backend-Id") == [b"2"]
    assert response.headers.getRawHeaders(b"X-Two") == [b"a", b"b"]


def test_the_fields_of_an_answer_are_not_those_of_the_one_before(desk: Desk) -> None:
    for answer in (OK, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
        asked = desk.agent.request(b"GET", URL)
        desk.front.wire.says(answer)
    assert result_of(asked).headers.getRawHeaders(b"Backend-Id") is None


def test_treq_reads_status_and_body(desk: Desk) -> None:
    client = HTTPClient(desk.agent)
    asked = client.get(URL.decode())
    desk.front.wire.says(OK)
    response = result_of(asked)
    assert response.code == 200
    assert result_of(response.content()) == b"hi"


def test_treq_reads_an_empty_body(desk: Desk) -> None:
    asked = HTTPClient(desk.agent).get(URL.decode())
    desk.front.wire.says(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert result_of(result_of(asked).content()) == b""


def test_requests_share_one_connection(desk: Desk) -> None:
    for _ in range(3):
        asked = desk.agent.request(b"GET", URL)
        desk.front.wire.says(OK)
        result_of(asked)
    assert desk.heads == [3]


def test_an_announced_close_is_followed_by_another_connection(desk: Desk) -> None:
    for _ in range(2):
        asked = desk.agent.request(b"GET", URL)
        desk.front.wire.says(OK.replace(b"X-Two: a", b"Connection: close"))
        result_of(asked)
    assert desk.heads == [1, 1]


def test_an_idle_close_is_followed_by_another_connection(desk: Desk) -> None:
    desk.agent.request(b"GET", URL)
    desk.front.wire.says(OK)
    desk.front.wire.closes()
    asked = desk.agent.request(b"GET", URL)
    desk.front.wire.says(OK)
    assert result_of(asked).code == 200
    assert desk.heads == [1, 1]


def test_a_lost_request_fails_by_its_class_and_is_not_sent_again(desk: Desk) -> None:
    asked = desk.agent.request(b"GET", URL)
    desk.front.wire.closes()
    error = error_of(asked, ExchangeFailed)
    assert isinstance(error, ExchangeFailed)
    assert error.failure == failures.CLOSED_FRESH
    assert desk.heads == [1]


def test_after_a_failure_it_goes_on_with_another_connection(desk: Desk) -> None:
    lost = desk.agent.request(b"GET", URL)
    desk.front.wire.resets()
    error_of(lost, ExchangeFailed)
    asked = desk.agent.request(b"GET", URL)
    desk.front.wire.says(OK)
    assert result_of(asked).code == 200


def test_a_refused_connection_fails_the_request(desk: Desk) -> None:
    desk.front.outcomes.append(ConnectionRefusedError())
    error_of(desk.agent.request(b"GET", URL), ConnectionRefusedError)
    assert desk.time.getDelayedCalls() == []


def test_a_second_request_meanwhile_is_refused(desk: Desk) -> None:
    first = desk.agent.request(b"GET", URL)
    error_of(desk.agent.request(b"GET", URL), RuntimeError)
    assert waits(first)
    assert desk.heads == [1]


def test_an_answer_that_does_not_come_is_a_timeout(desk: Desk) -> None:
    asked = desk.agent.request(b"GET", URL)
    desk.time.advance(4)
    error = error_of(asked, ExchangeFailed)
    assert isinstance(error, ExchangeFailed)
    assert error.failure == failures.TIMEOUT
    assert desk.front.wire.transport.aborted


def test_a_body_that_stalls_is_a_timeout(desk: Desk) -> None:
    asked = desk.agent.request(b"GET", URL)
    desk.front.wire.says(OK[:-1])
    desk.time.advance(4)
    error_of(asked, ExchangeFailed)


def test_after_an_answer_no_alarm_is_left(desk: Desk) -> None:
    desk.agent.request(b"GET", URL)
    desk.front.wire.says(OK)
    assert desk.time.getDelayedCalls() == []


def test_a_connection_that_comes_too_late_is_not_kept(desk: Desk) -> None:
    desk.front.held = True
    asked = desk.agent.request(b"GET", URL)
    desk.time.advance(4)
    error_of(asked, ExchangeFailed)
    desk.front.let_in()
    assert all(wire.transport.aborted for wire in desk.front.wires)
    assert sum(desk.heads) == 0


def test_a_connection_that_comes_too_late_does_not_carry_the_next_request_twice(desk: Desk) -> None:
    desk.front.held = True
    late = desk.agent.request(b"GET", URL)
    desk.time.advance(4)
    error_of(late, ExchangeFailed)
    asked = desk.agent.request(b"GET", URL)
    desk.front.let_in()
    assert sum(desk.heads) == 1
    assert waits(asked)


def test_a_connection_that_fails_too_late_does_not_fail_the_next_request(desk: Desk) -> None:
    desk.front.held = True
    late = desk.agent.request(b"GET", URL)
    desk.time.advance(4)
    error_of(late, ExchangeFailed)
    asked = desk.agent.request(b"GET", URL)
    desk.front.turn_away(ConnectionRefusedError())
    assert waits(asked)
    desk.front.let_in()
    desk.front.wire.says(OK)
    assert result_of(asked).code == 200


def test_a_cancelled_request_makes_room_for_the_next(desk: Desk) -> None:
    cancelled = desk.agent.request(b"GET", URL)
    cancelled.cancel()
    error_of(cancelled, CancelledError)
    asked = desk.agent.request(b"GET", URL)
    desk.front.wire.says(OK)
    assert result_of(asked).code == 200
    assert desk.heads == [1, 1]


def test_closing_closes_the_connection(desk: Desk) -> None:
    desk.agent.request(b"GET", URL)
    desk.front.wire.says(OK)
    desk.agent.close()
    desk.agent.close()
    assert desk.front.wire.transport.aborted
