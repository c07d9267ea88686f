"""Whether the front answers."""

from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError as Refused

from proxyreload.client.agent import AgentConnection
from proxyreload.run.readiness import Readiness

from .clocks import Time, error_of, result_of, waits
from .connections import Front

FROM_OURS = b"HTTP/1.1 200 OK\r\nBackend-Id: 0\r\nContent-Length: 0\r\n\r\n"
FROM_ANYBODY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nBackend-Id: 0\r\nContent-Length: 0\r\n\r\n"


@attrs.define(eq=False)
class AnyFront(Front):
    """A front of which the class of connection can be asked for, as a connector's can."""

    connection: type = AgentConnection


def asked(front: AnyFront, *, from_ours: bool = True) -> Deferred[bool]:
    """Ask whether it answers."""
    readiness = Readiness(cast(Any, front.time), cast(Any, front), "http://x.test/", from_ours)
    return Deferred.fromCoroutine(readiness.answers())


@pytest.fixture(name="front")
def _front() -> AnyFront:
    return AnyFront(Time(), kind=AgentConnection)


@pytest.mark.parametrize(
    ("answer", "from_ours", "ready"),
    [
        (FROM_OURS, True, True),
        (FROM_ANYBODY, True, False),
        (FROM_ANYBODY, False, True),
        (UNAVAILABLE, True, False),
        (b"nonsense\r\n\r\n", False, False),
    ],
)
def test_it_is_ready_when_a_backend_answers(front: AnyFront, answer: bytes, *, from_ours: bool, ready: bool) -> None:
    made = front.wires  # attrs.evolve makes another front, of the same wires
    outcome = asked(front, from_ours=from_ours)
    made[-1].says(answer)
    assert result_of(outcome) is ready
    assert made[-1].transport.disconnecting or made[-1].transport.disconnected


def test_where_nobody_listens_it_is_not_ready(front: AnyFront) -> None:
    front.outcomes.append(Refused())
    assert result_of(asked(front)) is False


def test_an_answer_that_does_not_come_is_waited_for_a_second(front: AnyFront) -> None:
    outcome = asked(front)
    assert waits(outcome)
    front.time.advance(1)
    assert result_of(outcome) is False


def test_when_the_run_is_ended_it_says_so(front: AnyFront) -> None:
    outcome = asked(front)
    outcome.cancel()
    error_of(outcome, CancelledError)


def test_it_says_who_asks(front: AnyFront) -> None:
    readiness = Readiness(
        cast(Any, front.time),
        cast(Any, front),
        "http://x.test/",
        from_ours=True,
        fields={"Authorization": "Basic eA=="},
    )
    Deferred.fromCoroutine(readiness.answers())
    assert b"Authorization: Basic eA==\r\n" in front.wires[-1].transport.value()
