"""Calls are answered with every message and the status that is due, and whatever else comes is told as what it is."""

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.client.multiplexed import Multiplexed
from proxyreload.history import failures
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Event, Exchange
from proxyreload.system.clock import ns
from proxyreload.traffic.get import from_numbered_backend
from proxyreload.traffic.grpc import CALL, SERVICE, asked, told
from proxyreload.traffic.grpchealth import HEALTH_CHECK, HEALTH_WATCH
from proxyreload.traffic.grpcmessages import decoded, encoded
from proxyreload.traffic.grpcwire import (
    MESSAGE_LIMIT,
    MessageReader,
    framed,
    status_fields,
    status_of,
)
from proxyreload.traffic.interfaces import Received, Reply
from proxyreload.traffic.registry import backend_end, kind_named, values_of

from .clocks import Time, some_examples
from .connections import parts
from .happened import record
from .kinds import Inlet, cuts_st
from .streams import StreamFront
from .streams import asking as begun

few_examples = settings(max_examples=15)
UNARY, STREAM, REFUSED = b"3-0", b"3-4", b"3-9"
COUNT = 3
KIND = kind_named("grpc")
CLIENT = KIND.client(values_of(KIND, {"every": 0.5, "length": 1.5}.items()))


@attrs.define
class Said:
    """An answer to a call."""

    status: int = 200
    instance: bytes = b"3"
    echoed_id: bytes = b""
    body: bytes = b""
    trailers: Sequence[tuple[bytes, bytes, bool]] = ()


def fields(*given: tuple[bytes, bytes]) -> list[tuple[bytes, bytes, bool]]:
    return [(*each, False) for each in given]


def reply(path: bytes, body: bytes, request_id: bytes = b"") -> Reply:
    """Return what a backend answers, whether or not a kind is named."""
    end = backend_end(b"grpc")
    assert end is not None
    return end.reply(Received(b"3", request_id, 50000, len(body), b"", path, body))


def body_of(answer: Reply) -> bytes:
    return answer.body if answer.pieces is None else b"".join(piece for _after_s, piece in answer.pieces)


def judged(request_id: bytes, body: bytes, said: Said, cuts: Sequence[int] = ()) -> tuple[str, str]:
    incoming = CLIENT.incoming(request_id)
    assert incoming is not None
    for piece in parts(body, cuts):
        incoming.take(piece)
    said.echoed_id = request_id
    return incoming.judge(said)


def answered(request_id: bytes, cuts: Sequence[int] = ()) -> tuple[str, str]:
    """Return how what the backend answers is judged."""
    answer = reply(CALL, CLIENT.body(request_id), request_id)
    return judged(request_id, body_of(answer), Said(trailers=fields(*(answer.trailers or answer.fields))), cuts)


OK = Said(trailers=fields(*status_fields(0)))
MESSAGES = [framed(told(STREAM, number + 1)) for number in range(COUNT)]


@some_examples
@given(number=st.integers(0, 10**6), cuts=cuts_st)
def test_what_the_backend_answers_is_right_however_it_is_cut(number: int, cuts: list[int]) -> None:
    assert answered(b"3-%d" % number, cuts) == ("", "")


def test_a_call_is_unary_a_stream_or_refused_on_purpose_by_its_number() -> None:
    unary, stream, refused = (reply(CALL, CLIENT.body(each), each) for each in (UNARY, STREAM, REFUSED))
    assert (unary.body, unary.trailers) == (framed(told(UNARY, 1)), status_fields(0))
    assert stream.pieces is not None
    assert [after_s for after_s, _piece in stream.pieces] == [0, 0.5, 0.5]
    assert (refused.body, refused.pieces, refused.trailers) == (b"", None, ())
    assert status_of(fields(*refused.fields)) == (9, b"as asked")
    assert (b"Proxyreload-Id", REFUSED) in refused.fields


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        (MESSAGES[:2], (failures.MESSAGE_LOST, "ended after 2 of 3 messages")),
        ([*MESSAGES[:1], *MESSAGES[2:]], (failures.MESSAGE_LOST, "message 2: message 3 came in its place")),
        ([*MESSAGES[:2], *MESSAGES[1:]], (failures.MESSAGE_REPEATED, "message 2 after message 2")),
        ([*MESSAGES, MESSAGES[0]], (failures.MESSAGE_REPEATED, "message 1 after message 3")),
        ([framed(told(b"3-5", 1))], (failures.WRONG_BODY, "message 1: \\x08\\x01\\x12\\x033-5")),
        ([framed(told(STREAM, 9))], (failures.WRONG_BODY, "message 1: \\x08\\t\\x12\\x033-4")),
        ([framed(b"\xff")], (failures.WRONG_BODY, "message 1: ÿ")),
        ([*MESSAGES, b"\0\0"], (failures.WRONG_BODY, "a message that is not whole")),
        ([b"\1" + MESSAGES[0][1:]], (failures.WRONG_BODY, "a message that says it is compressed")),
        ([b"\0\xff\0\0\0"], (failures.WRONG_BODY, "a message of 4278190080 bytes")),
    ],
)
@pytest.mark.parametrize("cuts", [(), range(1, 100)])
def test_messages_that_are_not_the_next_are_told_apart(
    came: list[bytes], expected: tuple[str, str], cuts: Sequence[int]
) -> None:
    assert judged(STREAM, b"".join(came), OK, cuts) == expected


@pytest.mark.parametrize(
    ("request_id", "body", "said", "expected"),
    [
        (
            UNARY,
            framed(told(UNARY, 1)),
            Said(),
            (failures.TRAILERS_LOST, "ended after 1 of 1 messages without a status"),
        ),
        (REFUSED, b"", Said(), (failures.TRAILERS_LOST, "ended after 0 of 0 messages without a status")),
        (REFUSED, b"", OK, ("grpc status OK", "")),
        (
            UNARY,
            b"",
            Said(instance=b"", trailers=fields(*status_fields(14, "no healthy upstream"))),
            ("grpc status UNAVAILABLE", "no healthy upstream"),
        ),
        (UNARY, b"", Said(trailers=fields((b"grpc-status", b"77"))), ("grpc status 77", "")),
        (UNARY, b"", Said(trailers=fields((b"grpc-status", b"x"))), (failures.TRAILERS_LOST, None)),
        (UNARY, b"", Said(status=503, instance=b"", body=b"<h1>No</h1>"), ("status 503", "No")),
        (UNARY, framed(told(UNARY, 1)), Said(instance=b"", trailers=OK.trailers), (failures.WRONG_BODY, None)),
    ],
)
def test_statuses_are_held_against_what_is_due(
    request_id: bytes, body: bytes, said: Said, expected: tuple[str, str | None]
) -> None:
    failure, message = judged(request_id, body, said)
    assert failure == expected[0]
    assert expected[1] in (None, message)


def test_a_call_under_way_at_the_end_of_a_run_is_right_so_far() -> None:
    incoming = CLIENT.incoming(STREAM)
    assert incoming is not None
    assert incoming.judge_unfinished(Said(status=0)) is None
    incoming.take(MESSAGES[0])
    assert incoming.judge_unfinished(Said(echoed_id=STREAM)) == ("", "")
    incoming.take(MESSAGES[0])
    assert incoming.judge_unfinished(Said(echoed_id=STREAM)) == (
        failures.MESSAGE_REPEATED,
        "message 1 after message 1",
    )


@some_examples
@given(place=st.integers(0, 10**6), flip=st.integers(0, 255), byte=st.integers(-1, 255), cuts=cuts_st)
def test_a_byte_that_is_another_missing_or_too_many_is_found(place: int, flip: int, byte: int, cuts: list[int]) -> None:
    whole = b"".join(MESSAGES)
    place %= len(whole)
    came = whole[:place] + (bytes([byte]) if byte >= 0 else b"") + whole[place + (flip % 2) :]
    expected = came == whole
    assert (judged(STREAM, came, OK, cuts) == ("", "")) == expected


@pytest.mark.parametrize("kind", ["grpc", "h2"])
@few_examples
@given(cuts=cuts_st)
def test_client_and_backend_understand_each_other_over_http2(kind: str, cuts: list[int]) -> None:
    hosted = Hosted(kind)
    hosted.client.start()
    hosted.goes_on(2, cuts)
    hosted.client.stop()
    hosted.goes_on(2, cuts)
    hosted.client.close()
    hosted.inlet.closes()
    exchanges = [event for event in hosted.events if isinstance(event, Exchange)]
    assert {exchange.failure for exchange in exchanges} == {""}
    assert len(exchanges) > 4
    assert hosted.front.attempts == 1
    assert hosted.time.getDelayedCalls() == []
    ids = {f"3-{exchange.number}" for exchange in exchanges}
    last = {request_id: stage for request_id, stage, _again in hosted.inlet.stages}
    assert set(last) == ids
    assert list(last.values()).count("given up") <= hosted.client.end.streams  # streams that ended with the run


@attrs.define(eq=False)
class Hosted:
    """A client of a kind, and backend 3 behind a proxy that passes on every byte."""

    kind: str
    time: Time = attrs.field(factory=Time)
    bus: EventBus = attrs.field(factory=EventBus)
    front: StreamFront = attrs.field(init=False)
    inlet: Inlet = attrs.field(init=False)
    events: list[Event] = attrs.field(init=False)
    client: Multiplexed = attrs.field(init=False)
    _passed: int = 0

    def __attrs_post_init__(self) -> None:
        self.front, self.inlet, self.events = StreamFront(self.time), Inlet(time=self.time), record(self.bus)
        end, prepared = begun(self.kind, kind_named(self.kind).brief)
        self.client = Multiplexed(
            number=3,
            reactor=self.time,
            connector=self.front,
            prepared=prepared,
            expectation=from_numbered_backend,
            sink=self.bus,
            clock_ns=self.time.ns,
            timeout_ns=ns(4),
            kind=self.kind,
            end=end,
        )

    def carry(self, cuts: list[int]) -> None:
        while True:
            written = self.front.wire.transport.value()
            new, self._passed = written[self._passed :], len(written)
            self.inlet.hears(*parts(new, cuts))
            said = self.inlet.said()
            for piece in parts(said, cuts):
                self.front.wire.says(piece)
            if not new and not said:
                return

    def goes_on(self, steps: int, cuts: list[int]) -> None:
        self.carry(cuts)
        for _ in range(steps * 5):
            self.time.advance(0.1)
            self.carry(cuts)
        self.bus.flush()


# Whoever else asks.


@pytest.mark.parametrize("service", [b"", SERVICE])
def test_the_health_service_says_that_it_serves(service: bytes) -> None:
    answer = reply(HEALTH_CHECK, framed(encoded("HealthCheckRequest", service=service)))
    assert answer.body == framed(b"\x08\x01")
    assert answer.trailers == status_fields(0)


def test_a_service_that_it_has_not_is_not_found() -> None:
    answer = reply(HEALTH_CHECK, framed(encoded("HealthCheckRequest", service=b"else")))
    assert status_of(fields(*answer.fields)) == (5, b"no service else")


@pytest.mark.parametrize(("service", "status"), [(b"", 1), (SERVICE, 1), (b"else", 3)])
def test_a_watch_is_told_at_once_and_ends_only_with_the_backend(service: bytes, status: int) -> None:
    answer = reply(HEALTH_WATCH, framed(encoded("HealthCheckRequest", service=service)))
    assert answer.pieces is not None
    pieces = iter(answer.pieces)
    assert next(pieces) == (0, framed(encoded("HealthCheckResponse", status=status)))
    assert [next(pieces)[1] for _ in range(3)] == [b"", b"", b""]
    assert answer.farewell == (framed(b"\x08\x02") if status == 1 else b"")
    assert answer.trailers == status_fields(14, "this backend leaves")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (b"/else.Else/Else", framed(b""), 12),
        (CALL, b"", 3),
        (CALL, framed(b"\xff"), 3),
        (CALL, framed(asked(b"x", 1)) * 2, 3),
        (HEALTH_CHECK, b"", 3),
        (HEALTH_CHECK, framed(b"\xff"), 3),
        (HEALTH_CHECK, framed(b"\x08\x01"), 3),
    ],
)
def test_what_is_no_call_has_a_status_that_says_so(path: bytes, body: bytes, status: int) -> None:
    answer = reply(path, body)
    found = status_of(fields(*answer.fields))
    assert found is not None
    assert found[0] == status
    assert (answer.body, answer.pieces) == (b"", None)


# Messages and fields.


@some_examples
@given(messages=st.lists(st.binary(max_size=50), max_size=5), cuts=cuts_st)
def test_messages_are_found_however_they_are_cut(messages: list[bytes], cuts: list[int]) -> None:
    reader = MessageReader()
    whole = b"".join(map(framed, messages))
    assert [each for piece in parts(whole, cuts) for each in reader.take(piece)] == messages
    assert (reader.rest, reader.wrong) == (b"", "")


def test_a_message_longer_than_any_call_has_is_not_waited_for() -> None:
    reader = MessageReader()
    assert reader.take(framed(bytes(MESSAGE_LIMIT))) == [bytes(MESSAGE_LIMIT)]
    assert reader.take(framed(bytes(MESSAGE_LIMIT + 1))[:5]) == []
    assert reader.wrong
    assert reader.take(framed(b"x")) == []


@given(st.binary(max_size=40))
def test_fields_are_read_or_refused(message: bytes) -> None:
    try:
        decoded("Asked", message)
    except ValueError:
        return


def test_a_statuss_message_is_escaped_and_read() -> None:
    said = status_fields(2, "100 % gone\n\u00e9")
    assert said == ((b"grpc-status", b"2"), (b"grpc-message", b"100 %25 gone%0A%C3%A9"))
    assert status_of(fields(*said)) == (2, "100 % gone\n\u00e9".encode())
