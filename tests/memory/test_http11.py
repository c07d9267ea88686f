"""One connection of a client: every outcome, told from what the socket did."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.client.front import BODY_KEPT
from proxyreload.client.http11 import HEAD_LIMIT
from proxyreload.client.interfaces import IConnection
from proxyreload.client.memo import VALUE_KEPT
from proxyreload.client.pending import Pending
from proxyreload.history import failures
from proxyreload.system.clock import ns
from proxyreload.system.untrusted import printable

from .clocks import START_NS, Time, some_examples
from .connections import Owner, Wire, answer_bytes, parts

ANSWERED = ("answered",)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\n\r\nhi"
ANNOUNCED = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture(name="owner")
def _owner() -> Owner:
    return Owner()


@pytest.fixture(name="time")
def _time() -> Time:
    return Time()


@pytest.fixture(name="wire")
def _wire(owner: Owner, time: Time) -> Wire:
    return Wire.open(owner, time)


def exchanged(wire: Wire, *chunks: bytes) -> None:
    """Carry one request whose answer is these bytes."""
    wire.send()
    wire.says(*chunks)


# Answers.


def test_a_whole_answer_is_told_once(wire: Wire, owner: Owner) -> None:
    exchanged(wire, answer_bytes(b"7-1", b"2", b"51234"))
    pending = wire.pending
    assert owner.heard == [ANSWERED]
    assert owner.settled == [pending]
    assert (pending.status, pending.instance, pending.back_port) == (200, b"2", b"51234")
    assert (pending.echoed_id, pending.body) == (b"7-1", b"backend 2 answers 7-1\n")
    assert pending.keep_alive


def test_field_names_are_found_however_they_are_spelled(wire: Wire) -> None:
    exchanged(wire, b"HTTP/1.1 200 OK\r\nBACKEND-ID: 3\r\nsource-port: 9\r\nCONTENT-length: 0\r\n\r\n")
    assert (wire.pending.instance, wire.pending.back_port) == (b"3", b"9")


def test_times_are_taken_when_the_socket_is_written_and_read(owner: Owner, time: Time) -> None:
    wire = Wire.open(owner, time)
    time.advance(1)
    written_ns = time.ns()
    pending = wire.send()
    time.advance(0.25)
    wire.says(OK[:20])
    time.advance(0.5)
    wire.says(OK[20:])
    assert pending.written_ns == written_ns
    assert pending.first_byte_ns - written_ns == 250_000_000
    assert pending.last_byte_ns - written_ns == 750_000_000


def test_the_time_to_connect_is_kept(owner: Owner, time: Time) -> None:
    wire = Wire.open(owner, time)
    assert wire.connection.connect_ns == 0
    late = Wire(type(wire.connection)(owner, time.ns, time.ns()), wire.transport)
    time.advance(0.5)
    late.connection.makeConnection(late.transport)
    assert late.connection.connect_ns == 500_000_000


def test_small_requests_are_not_held_back_by_the_kernel(wire: Wire) -> None:
    assert wire.transport.no_delay


def test_the_local_port_is_known_from_the_start(wire: Wire) -> None:
    assert wire.connection.local_port == 40000


def test_an_answer_does_not_outlive_the_next_request(wire: Wire) -> None:
    exchanged(wire, answer_bytes(b"0-0", b"2"))
    pending = wire.send(b"GET 1!\n")
    assert (pending.status, pending.instance, pending.back_port) == (0, b"", b"")
    assert (pending.echoed_id, pending.body, pending.first_byte_ns) == (b"", b"", 0)


def test_two_exchanges_in_a_row_do_not_share_an_answer(wire: Wire, owner: Owner, time: Time) -> None:
    first = wire.send(request_id=b"3-17")
    wire.says(answer_bytes(b"3-17", b"2", b"51234", extra=b"Connection: keep-alive\r\n"))
    time.advance(0.25)
    second = wire.send(request_id=b"3-18")
    time.advance(0.25)
    wire.says(answer_bytes(b"3-18", b"1", b"51235", status=b"503 Oops", body=b"no", extra=b"Connection: close\r\n"))
    assert owner.settled == [first, second]
    assert (first.status, first.instance, first.back_port) == (200, b"2", b"51234")
    assert (first.echoed_id, first.body, first.keep_alive) == (b"3-17", b"backend 2 answers 3-17\n", True)
    assert (first.carried, first.written_ns, first.first_byte_ns, first.last_byte_ns) == (0, *[START_NS] * 3)
    assert (second.status, second.instance, second.back_port) == (503, b"1", b"51235")
    assert (second.echoed_id, second.body, second.keep_alive) == (b"3-18", b"no", False)
    assert (second.carried, second.written_ns - START_NS, second.first_byte_ns - START_NS) == (1, ns(0.25), ns(0.5))


def test_an_exchange_that_is_broken_off_is_given_back_with_as_much_of_an_answer_as_there_was(
    wire: Wire, owner: Owner
) -> None:
    exchanged(wire, OK)
    exchanged(wire, answer_bytes(b"7-1", b"2")[:-3])
    wire.resets()
    assert owner.failures == [failures.RESET_MID_RESPONSE]
    assert owner.settled[1:] == [wire.pending]
    assert (wire.pending.status, wire.pending.instance, wire.pending.carried) == (200, b"2", 1)
    assert wire.pending.last_byte_ns == 0


def test_one_connection_carries_many_exchanges(wire: Wire, owner: Owner) -> None:
    for _ in range(5):
        exchanged(wire, OK)
    assert owner.heard == [ANSWERED] * 5
    assert wire.connection.carried == 5


def test_a_connection_has_room_for_one_exchange_and_none_while_one_is_under_way(wire: Wire) -> None:
    assert wire.connection.room == 1
    for _ in range(2):
        exchanged(wire, OK[:-1])
        assert wire.connection.room == 0
        wire.says(OK[-1:])
        assert wire.connection.room == 1


@pytest.mark.parametrize("way", ["close", "abort"])
def test_a_connection_that_its_owner_has_closed_has_no_room(wire: Wire, way: str) -> None:
    exchanged(wire, OK)
    getattr(wire.connection, way)()
    assert wire.connection.room == 0


@pytest.mark.parametrize("chunks", [(), (OK,), (OK[:-1],), (b"nonsense",), (OK, b"unasked")])
def test_a_connection_that_is_gone_has_no_room(wire: Wire, chunks: tuple[bytes, ...]) -> None:
    exchanged(wire, *chunks)
    wire.closes()
    assert wire.connection.room == 0


def test_connection_close_is_an_announcement(wire: Wire, owner: Owner) -> None:
    exchanged(wire, ANNOUNCED)
    assert owner.heard == [ANSWERED]
    assert not wire.pending.keep_alive


def test_an_answer_of_http_1_0_announces_the_close(wire: Wire, owner: Owner) -> None:
    exchanged(wire, b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    assert owner.heard == [ANSWERED]
    assert not wire.pending.keep_alive


def test_a_chunked_body_is_put_together(wire: Wire, owner: Owner) -> None:
    exchanged(
        wire, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nab\r\n3\r\ncde\r\n0\r\nX: y\r\n\r\n"
    )
    assert owner.heard == [ANSWERED]
    assert wire.pending.body == b"abcde"


def test_a_body_may_end_with_the_connection(wire: Wire, owner: Owner) -> None:
    exchanged(wire, UNTIL_CLOSED)
    assert owner.heard == []
    wire.closes()
    assert owner.heard == [ANSWERED]
    assert wire.pending.body == b"hi"
    assert not wire.pending.keep_alive


def test_a_body_in_an_encoding_that_does_not_end_itself_ends_with_the_connection(wire: Wire, owner: Owner) -> None:
    exchanged(wire, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi")
    wire.closes()
    assert owner.heard == [ANSWERED]


def test_an_answer_without_a_body_is_whole_with_its_head(wire: Wire, owner: Owner) -> None:
    exchanged(wire, b"HTTP/1.1 204 No Content\r\n\r\n")
    assert owner.heard == [ANSWERED]
    assert wire.pending.status == 204


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
def test_an_interim_answer_is_not_the_answer(wire: Wire, owner: Owner, interim: bytes) -> None:
    exchanged(wire, b"HTTP/1.1 %b\r\nLink: </a>\r\n\r\n" % interim)
    assert owner.heard == []
    wire.says(OK)
    assert owner.heard == [ANSWERED]
    assert wire.pending.status == 200


def test_an_interim_answer_lends_nothing_to_the_answer(wire: Wire) -> None:
    exchanged(wire, b"HTTP/1.1 103 Early Hints\r\nBackend-Id: 9\r\nSource-Port: 9\r\nProxyreload-Id: 9\r\n\r\n", OK)
    assert (wire.pending.instance, wire.pending.back_port, wire.pending.echoed_id) == (b"", b"", b"")


def test_a_content_length_of_an_interim_answer_does_not_frame_the_answer(wire: Wire, owner: Owner) -> None:
    exchanged(wire, b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n", UNTIL_CLOSED)
    wire.closes()
    assert owner.heard == [ANSWERED]


def test_long_values_are_cut(wire: Wire) -> None:
    exchanged(wire, answer_bytes(b"0", b"9" * 5000, b"1" * 5000, body=b""))
    assert len(wire.pending.instance) == VALUE_KEPT
    assert len(wire.pending.back_port) == VALUE_KEPT


def test_of_a_long_body_only_the_beginning_is_kept(wire: Wire, owner: Owner) -> None:
    exchanged(
        wire,
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (BODY_KEPT * 2 + 10),
        b"x" * 10,
        *[b"x" * BODY_KEPT] * 2,
    )
    assert owner.heard == [ANSWERED]
    assert wire.pending.body == b"x" * BODY_KEPT


# Failures.


def test_a_fresh_connection_closed_before_the_answer(wire: Wire, owner: Owner) -> None:
    exchanged(wire)
    wire.closes()
    assert owner.failures == [failures.CLOSED_FRESH]


def test_a_reused_connection_closed_before_the_answer(wire: Wire, owner: Owner) -> None:
    exchanged(wire, OK)
    exchanged(wire)
    wire.closes()
    assert owner.heard == [ANSWERED, ("broken", failures.CLOSED_REUSED, "request 2 on this connection")]


def test_a_fresh_connection_reset_before_the_answer(wire: Wire, owner: Owner) -> None:
    exchanged(wire)
    wire.resets()
    assert owner.failures == [failures.RESET_FRESH]


def test_a_reused_connection_reset_before_the_answer(wire: Wire, owner: Owner) -> None:
    exchanged(wire, OK)
    exchanged(wire)
    wire.resets()
    assert owner.failures == [failures.RESET_REUSED]


@pytest.mark.parametrize("answer", [OK, CHUNKED, UNTIL_CLOSED])
@pytest.mark.parametrize("arrived", [1, -1])
def test_a_connection_reset_in_the_answer(wire: Wire, owner: Owner, answer: bytes, arrived: int) -> None:
    exchanged(wire, answer[:arrived])
    wire.resets()
    assert owner.failures == [failures.RESET_MID_RESPONSE]


@pytest.mark.parametrize(
    "arrived", [b"H", OK[:-3], OK[:-1], CHUNKED[:-1], CHUNKED[:-5], b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_a_connection_closed_in_the_answer(wire: Wire, owner: Owner, arrived: bytes) -> None:
    exchanged(wire, arrived)
    wire.closes()
    assert owner.failures == [failures.TRUNCATED]


@pytest.mark.parametrize(
    "bytes_of_it",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_not_http_is_malformed(wire: Wire, owner: Owner, bytes_of_it: bytes) -> None:
    exchanged(wire, bytes_of_it)
    assert owner.failures == [failures.MALFORMED]
    assert wire.transport.aborted


def test_a_switch_of_protocols_that_nobody_asked_for_is_malformed(wire: Wire, owner: Owner) -> None:
    exchanged(wire, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n")
    assert owner.heard == [("broken", failures.MALFORMED, "switched protocols unasked")]
    assert wire.transport.aborted


def test_a_head_that_never_ends_is_malformed(wire: Wire, owner: Owner) -> None:
    exchanged(wire, b"HTTP/1.1 200 OK\r\nX: ", *[b"x" * 65536] * (HEAD_LIMIT // 65536 + 1))
    assert owner.failures == [failures.MALFORMED]
    assert wire.transport.aborted


def test_interim_answers_without_end_are_malformed(wire: Wire, owner: Owner) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    exchanged(wire, *[interim * 1000] * (HEAD_LIMIT // len(interim) // 1000 + 2))
    assert owner.failures == [failures.MALFORMED]


@pytest.mark.parametrize("answer", [OK, CHUNKED, ANNOUNCED])
@pytest.mark.parametrize("surplus", [b"x", b"<html>", OK, b"HTTP/1.1 200"])
def test_bytes_behind_an_answer_are_the_connections_doing_and_end_it(
    wire: Wire, owner: Owner, answer: bytes, surplus: bytes
) -> None:
    exchanged(wire, answer + surplus)
    assert owner.heard == [ANSWERED, ("closed", "unasked", printable(surplus, 40))]
    assert wire.transport.aborted


def test_bytes_behind_an_answer_that_came_in_pieces_are_told_without_a_quote(wire: Wire, owner: Owner) -> None:
    exchanged(wire, OK[:-1], OK[-1:] + b"x")
    assert owner.heard == [ANSWERED, ("closed", "unasked", "behind an answer")]


def test_an_owner_that_closes_a_connection_with_its_answer_hears_of_nothing_behind_it(time: Time) -> None:
    class Closer(Owner):
        def answered(self, connection: IConnection, pending: Pending) -> None:
            super().answered(connection, pending)
            connection.close()

    owner = Closer()
    wire = Wire.open(owner, time)
    exchanged(wire, ANNOUNCED + b"x")
    assert owner.heard == [ANSWERED]


def test_a_second_answer_does_not_take_the_place_of_the_first(wire: Wire) -> None:
    exchanged(wire, answer_bytes(b"0-1", b"1") + answer_bytes(b"0-2", b"2", status=b"503 Service Unavailable"))
    pending = wire.pending
    assert (pending.status, pending.instance, pending.echoed_id) == (200, b"1", b"0-1")


def test_hostile_words_of_the_parser_and_the_proxy_are_escaped(wire: Wire, owner: Owner) -> None:
    exchanged(wire, OK)
    wire.says(b"\x1b[2J\nevil")
    assert owner.heard[-1] == ("closed", "unasked", r"\x1b[2J\nevil")


# Idle.


def test_an_idle_close_is_no_failure(wire: Wire, owner: Owner) -> None:
    exchanged(wire, OK)
    wire.closes()
    assert owner.heard == [ANSWERED, ("closed", "idle", "")]


def test_an_idle_reset_is_no_failure_but_noted(wire: Wire, owner: Owner) -> None:
    exchanged(wire, OK)
    wire.resets()
    assert owner.heard == [ANSWERED, ("closed", "idle", "reset")]


def test_bytes_on_an_idle_connection_end_it(wire: Wire, owner: Owner) -> None:
    exchanged(wire, OK)
    wire.says(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert owner.heard == [ANSWERED, ("closed", "unasked", r"HTTP/1.1 408 Request Timeout\r\n\r\n")]
    assert wire.transport.aborted


def test_after_an_idle_close_nothing_can_be_sent(wire: Wire) -> None:
    exchanged(wire, OK)
    before = wire.written
    wire.closes()
    wire.send(b"GET 1!\n")
    assert wire.written == before


# The owner's own closing.


@pytest.mark.parametrize("way", ["close", "abort"])
def test_after_its_own_close_the_owner_hears_nothing_more(wire: Wire, owner: Owner, way: str) -> None:
    exchanged(wire)
    getattr(wire.connection, way)()
    wire.connection.dataReceived(OK)
    wire.closes()
    assert owner.heard == []
    assert (wire.transport.closed, wire.transport.aborted) == (way == "close", way == "abort")


def test_after_a_failure_the_owner_hears_nothing_more(wire: Wire, owner: Owner) -> None:
    exchanged(wire, b"nonsense")
    wire.resets()
    assert len(owner.heard) == 1


# Whatever the stream, however it is split.


class Answer(NamedTuple):
    """A valid answer: its bytes, and what must be read from them."""

    stream: bytes
    status: int
    instance: bytes
    body: bytes
    keep_alive: bool
    framed: bool  # its end can be told without the connection's


BODIES = st.binary(max_size=60)
SPACE = st.sampled_from((b"", b" ", b"  ", b"\t"))
FIELD_NAMES = st.sampled_from((b"X-A", b"Date", b"server", b"Set-Cookie"))
VALUES = st.text('abcABC019 ,;="/', max_size=12).map(lambda text: text.strip().encode())


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Draw an answer as proxies may well send it."""
    stream = b""
    for interim in draw(
        st.lists(st.sampled_from((b"100 Continue", b"102 Processing", b"103 Early Hints")), max_size=2)
    ):
        stream += b"HTTP/1.1 %b\r\nX-Interim: 1\r\n\r\n" % interim
    status = draw(st.sampled_from((200, 204, 301, 404, 502, 503)))
    instance = draw(st.sampled_from((b"", b"0", b"13")))
    fields = [(name, draw(VALUES)) for name in draw(st.lists(FIELD_NAMES, max_size=3))]
    if instance:
        fields.append((draw(st.sampled_from((b"Backend-Id", b"backend-id", b"BACKEND-ID"))), instance))
    close = draw(st.booleans())
    body = b"" if status == 204 else draw(BODIES)
    framing = "none" if status == 204 else draw(st.sampled_from(("length", "chunked", "end")))
    wire_body = body
    if framing == "length":
        fields.append((b"Content-Length", b"%d" % len(body)))
    elif framing == "chunked":
        fields.append((b"Transfer-Encoding", b"chunked"))
        chunks = parts(body, draw(st.lists(st.integers(0, 60), max_size=3)))
        wire_body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        wire_body += b"0\r\n" + draw(st.sampled_from((b"", b"X-Trailer: 1\r\n"))) + b"\r\n"
    if close:
        fields.append((b"Connection", b"close"))
    fields = draw(st.permutations(fields))
    stream += b"HTTP/1.1 %d Words\r\n" % status
    stream += b"".join(b"%b:%b%b\r\n" % (name, draw(SPACE), value) for name, value in fields)
    stream += b"\r\n" + wire_body
    return Answer(stream, status, instance, body, keep_alive=not close and framing != "end", framed=framing != "end")


CUTS = st.lists(st.integers(0, 1000), max_size=8)


def fresh() -> tuple[Wire, Owner]:
    """Return a connection with its first request under way."""
    owner = Owner()
    wire = Wire.open(owner, Time())
    wire.send()
    return wire, owner


@some_examples
@given(answers(), CUTS)
def test_an_answer_is_the_same_however_it_is_split(answer: Answer, cuts: list[int]) -> None:
    wire, owner = fresh()
    wire.says(*parts(answer.stream, cuts))
    if not answer.framed:
        assert owner.heard == []
        wire.closes()
    pending = wire.pending
    assert owner.heard == [ANSWERED]
    assert (pending.status, pending.instance, pending.body) == (answer.status, answer.instance, answer.body)
    assert pending.keep_alive == answer.keep_alive


@some_examples
@given(answers())
def test_an_answer_is_the_same_byte_by_byte(answer: Answer) -> None:
    wire, owner = fresh()
    wire.says(*[answer.stream[i : i + 1] for i in range(len(answer.stream))])
    wire.closes()
    assert owner.heard[0] == ANSWERED
    assert owner.failures == []
    assert wire.pending.body == answer.body


@some_examples
@given(answers().filter(lambda answer: answer.framed), st.integers(0, 1000), CUTS, st.booleans())
def test_an_answer_that_is_cut_short_is_named_so(answer: Answer, cut: int, cuts: list[int], reset: bool) -> None:  # noqa: FBT001
    wire, owner = fresh()
    arrived = answer.stream[: cut % len(answer.stream)]
    wire.says(*parts(arrived, cuts))
    if reset:
        wire.resets()
        expected = failures.RESET_MID_RESPONSE if arrived else failures.RESET_FRESH
    else:
        wire.closes()
        expected = failures.TRUNCATED if arrived else failures.CLOSED_FRESH
    assert owner.failures == [expected]
    assert len(owner.heard) == 1


@some_examples
@given(st.lists(answers().filter(lambda answer: answer.keep_alive), min_size=1, max_size=4), CUTS)
def test_answers_on_one_connection_do_not_touch_each_other(answers_: list[Answer], cuts: list[int]) -> None:
    owner = Owner()
    wire = Wire.open(owner, Time())
    for answer in answers_:
        wire.send()
        wire.says(*parts(answer.stream, cuts))
        assert wire.pending.status == answer.status
        assert wire.pending.instance == answer.instance
        assert wire.pending.body == answer.body
    assert owner.heard == [ANSWERED] * len(answers_)


CLASSES = {
    *(failures.CLOSED_FRESH, failures.RESET_FRESH, failures.RESET_MID_RESPONSE, failures.TRUNCATED),
    failures.MALFORMED,
}


def check_one_outcome(stream: bytes, cuts: list[int], *, reset: bool) -> None:
    """Feed anything; there is one outcome, of a class that there is, whatever follows."""
    wire, owner = fresh()
    wire.says(*parts(stream, cuts))
    wire.resets() if reset else wire.closes()
    outcomes = [heard for heard in owner.heard if heard[0] != "closed"]
    assert len(outcomes) == 1
    assert owner.heard[0] is outcomes[0]
    assert set(owner.failures) <= CLASSES
    assert all(word.isprintable() for heard in owner.heard for word in heard)


@some_examples
@given(st.binary(max_size=300), CUTS, st.booleans())
def test_any_bytes_have_one_outcome(stream: bytes, cuts: list[int], reset: bool) -> None:  # noqa: FBT001
    check_one_outcome(stream, cuts, reset=reset)


@some_examples
@given(answers(), st.integers(0, 1000), st.integers(0, 20), st.binary(max_size=20), CUTS, st.booleans())
def test_a_damaged_answer_has_one_outcome(
    answer: Answer,
    place: int,
    lost: int,
    instead: bytes,
    cuts: list[int],
    reset: bool,  # noqa: FBT001
) -> None:
    place %= len(answer.stream) + 1
    damaged = answer.stream[:place] + instead + answer.stream[place + lost :]
    check_one_outcome(damaged, cuts, reset=reset)


@some_examples
@given(answers(), answers(), CUTS, st.booleans())
def test_two_answers_to_one_request_have_one_outcome(
    first: Answer,
    second: Answer,
    cuts: list[int],
    reset: bool,  # noqa: FBT001
) -> None:
    check_one_outcome(first.stream + second.stream, cuts, reset=reset)
