"""The kind `websocket`: what a session comes to, whatever the proxy does to it."""

import select
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.backend.http11 import HEAD_LIMIT
from proxyreload.history import failures
from proxyreload.history.events import CLOSE_FRAME, BackClosed, Ending
from proxyreload.traffic.content import how_many
from proxyreload.traffic.websocket import LEAVES, MESSAGE_LIMIT, SWITCHED
from proxyreload.websocket.closecodes import closing
from proxyreload.websocket.masking import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, masked

from .connections import answer_bytes, parts
from .kinds import BACK_PORT, Hosted, Talk, cuts_st
from .sessions import EVERY_S, LENGTH_S, NUMBER, TIMEOUT_S, Session, Stranger, switching

few_examples = settings(max_examples=30)
#: The fields of a request for a WebSocket.
ASKED = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x", b"Sec-WebSocket-Version: 13")


@pytest.fixture(name="session")
def _session() -> Session:
    return Session()


@pytest.fixture(name="switched")
def _switched(session: Session) -> Session:
    """One whose first message has been echoed, and whose second has not been sent."""
    session.switches()
    session.echoes()
    return session


def ending(session: Session) -> tuple[str, str]:
    """Return the class and the message of the latest outcome."""
    return session.last.failure, session.last.message


# As it should be.


def test_every_message_is_echoed_and_the_client_ends_it(session: Session) -> None:
    assert session.wire.written.endswith(b"\r\n\r\n")
    session.switches()
    for number in range(NUMBER):
        assert session.heard == [(TEXT, b"message %d of 3-0" % number)]
        session.echoes()
        session.talk.time.advance(EVERY_S)
        session.hears()
    assert session.heard == [(CLOSE, b"\x03\xe8")]
    session.echoes()
    told = session.last
    assert (told.failure, told.status, told.instance, told.back_port) == ("", SWITCHED, "3", BACK_PORT)
    assert (told.announced, told.carried, told.ended_ns) == (False, 0, session.talk.time.ns())
    assert session.talk.front_closed == []
    assert session.talk.front.attempts == 2  # the next one has a connection of its own


def test_its_request_asks_as_the_specification_has_it(session: Session) -> None:
    head = session.wire.written
    for line in (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-Websocket-Version: 13", b"Proxyreload-Id: 3-0"):
        assert line.lower() in head.lower()
    assert head.startswith(b"GET / HTTP/1.1\r\n")
    assert head.count(b"Sec-WebSocket-Key: ") == 1


@few_examples
@given(cuts=cuts_st, number=st.integers(1, 6))
def test_both_ends_understand_each_other_in_whatever_pieces(cuts: list[int], number: int) -> None:
    hosted = Hosted(Talk("websocket", {"every": 0.1, "length": number / 10}))
    hosted.talk.client.start()
    hosted.goes_on(2.0, 0.05, cuts)
    hosted.talk.client.stop()
    hosted.goes_on(0.5, 0.05, cuts)
    assert set(hosted.talk.outcomes) == {""}
    assert len(hosted.talk.outcomes) >= 2
    stages = hosted.carried[0].stages
    assert [stage for request_id, stage, _ in stages if request_id == "3-0"][-2:] == ["executed", "answered"]
    assert hosted.talk.time.getDelayedCalls() == []


@pytest.mark.parametrize(("every", "length", "number"), [(0.05, 5, 100), (1, 0.2, 1), (0.1, 0.36, 4)])
def test_how_many_messages_there_are(every: float, length: float, number: int) -> None:
    assert how_many(every, length) == number


def test_what_comes_with_the_head_is_taken_and_interim_answers_are_none(session: Session) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nSec-WebSocket-Accept: x\r\n\r\n"
    session.wire.says(hint + switching(b"3-0") + frame(PING, b"are you there"))
    assert session.hears() == [(PONG, b"are you there")]
    session.talk.time.advance(0)
    session.heard.clear()
    session.goes_on(LENGTH_S)
    assert session.talk.outcomes == [""]


@few_examples
@given(cuts=cuts_st, payload=st.sampled_from([b"", b"\n", b"x\r\n", b"\r"]))
def test_where_the_head_ends_is_found_in_whatever_pieces(cuts: list[int], payload: bytes) -> None:
    session = Session()
    stream = switching(b"3-0") + frame(PING, payload)
    session.wire.says(*parts(stream, cuts))
    assert session.hears() == [(PONG, payload)]
    assert session.pending is not None
    assert (session.pending.status, session.pending.instance, session.pending.echoed_id) == (SWITCHED, b"3", b"3-0")


def test_a_run_that_ends_ends_the_session_in_order(switched: Session) -> None:
    switched.talk.client.stop()
    assert switched.hears() == [(TEXT, b"message 1 of 3-0"), (CLOSE, b"\x03\xe8")]
    assert switched.talk.exchanges == []
    switched.says(switched.message(1), frame(CLOSE, b"\x03\xe8"))
    assert switched.talk.outcomes == [""]
    assert switched.talk.time.getDelayedCalls() == []


def test_one_that_ends_before_protocols_are_switched_ends_it_then(session: Session) -> None:
    session.talk.client.stop()
    session.switches()
    assert session.heard == [(CLOSE, b"\x03\xe8")]
    session.closes(1000)
    assert session.talk.outcomes == [""]


def test_one_that_ends_when_the_close_frame_was_drawn_sends_it_once(session: Session) -> None:
    session.switches()
    session.goes_on((NUMBER - 1) * EVERY_S)
    session.talk.client.stop()
    assert session.hears() == [(CLOSE, b"\x03\xe8")]
    session.closes(1000)
    assert session.talk.outcomes == [""]


# The other side closes.


@pytest.mark.parametrize("code", [1001, 1012])
def test_who_leaves_with_nothing_unanswered_has_announced_it(switched: Session, code: int) -> None:
    switched.closes(code, b"bye")
    assert ending(switched) == ("", "")
    assert switched.last.announced
    assert [(closed.ending, closed.how) for closed in switched.talk.front_closed] == [(Ending.ANNOUNCED, CLOSE_FRAME)]
    assert switched.talk.front.attempts == 2


def test_its_close_frame_is_answered(switched: Session) -> None:
    first = switched.wire
    switched.closes(1001)
    assert first.written.endswith(masked(CLOSE, b"\x03\xe9")[:2] + first.written[-6:])
    assert first.transport.closed


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (closing(1000), "close frame 1000 (normal closure), no message unanswered"),
        (closing(1011, b"oops"), "close frame 1011 (internal error), no message unanswered"),
        (closing(4001), "close frame 4001, no message unanswered"),
        (b"", "close frame without a code, no message unanswered"),
    ],
)
def test_any_other_code_is_a_failure(switched: Session, payload: bytes, told: str) -> None:
    switched.says(frame(CLOSE, payload))
    assert ending(switched) == (failures.CLOSED_MID_SESSION, told)
    assert [closed.ending for closed in switched.talk.front_closed] == [Ending.CUT]


def test_so_is_one_with_a_message_unanswered(switched: Session) -> None:
    switched.talk.time.pump([EVERY_S] * 2)
    switched.closes(1001)
    told = "close frame 1001 (going away), messages 1 to 2 unanswered"
    assert ending(switched) == (failures.CLOSED_MID_SESSION, told)


def test_what_a_backend_of_ours_ends_by_leaving_is_neither_lost_nor_announced(switched: Session) -> None:
    switched.talk.time.advance(EVERY_S)
    switched.closes(1001, LEAVES)
    assert ending(switched) == ("", "")
    assert switched.talk.front_closed == []
    assert not switched.last.announced


@pytest.mark.parametrize(("payload", "failure"), [(closing(1001, LEAVES), ""), (closing(1001), failures.MESSAGE_LOST)])
def test_so_it_is_where_its_close_frame_has_crossed_ours(session: Session, payload: bytes, failure: str) -> None:
    session.switches()
    session.talk.time.pump([EVERY_S] * round(LENGTH_S / EVERY_S))
    assert session.wire.written[-8:-6] == masked(CLOSE, closing(1000))[:2]
    session.says(frame(CLOSE, payload))
    assert ending(session)[0] == failure


@pytest.mark.parametrize(
    ("how", "failure", "told"),
    [("closes", failures.CLOSED_MID_SESSION, "FIN"), ("resets", failures.RESET_MID_SESSION, "RST")],
)
def test_an_end_without_a_close_frame_is_one_too(session: Session, how: str, failure: str, told: str) -> None:
    session.switches()
    getattr(session.wire, how)()
    assert ending(session) == (failure, f"{told} without a close frame, message 0 unanswered")
    assert [closed.ending for closed in session.talk.front_closed] == [Ending.CUT]
    session.talk.time.advance(1)
    assert session.talk.front.attempts == 2


def test_so_it_is_when_ours_was_not_answered(session: Session) -> None:
    session.switches()
    session.goes_on(LENGTH_S - EVERY_S)
    session.talk.time.advance(EVERY_S)
    session.wire.closes()
    told = "FIN without a close frame, no message unanswered, our close frame was not answered"
    assert ending(session) == (failures.CLOSED_MID_SESSION, told)


# Messages that are not as they should be.


@pytest.mark.parametrize(
    ("said", "failure", "told"),
    [
        ([0], failures.MESSAGE_REPEATED, "message 0 after message 0"),
        ([1, 1], failures.MESSAGE_REPEATED, "message 1 after message 1"),
        ([2, 3], failures.MESSAGE_LOST, "message 1: message 2 came in its place"),
        ([2, 1], failures.MESSAGE_OUT_OF_ORDER, "message 1 came after message 2"),
        ([2, 0], failures.MESSAGE_LOST, "message 1: message 2 came in its place"),
        ([4], failures.WRONG_BODY, "message 4, which had not been sent"),
    ],
)
def test_the_first_that_is_not_in_its_place_ends_it(
    switched: Session, said: list[int], failure: str, told: str
) -> None:
    switched.talk.time.advance(EVERY_S)
    switched.talk.time.advance(EVERY_S)
    switched.talk.time.advance(EVERY_S)
    first = switched.wire
    switched.says(*[switched.message(number) for number in said])
    assert ending(switched) == (failure, told)
    assert first.transport.closed
    assert switched.talk.front_closed == []  # it is ended from here


@pytest.mark.parametrize(
    ("said", "failure", "told"),
    [
        (frame(BINARY, b"message 1 of 3-0"), failures.WRONG_BODY, "a binary message"),
        (frame(TEXT, b"message 1 of 3-1"), failures.WRONG_BODY, "message 1: message 1 of 3-1"),
        (frame(TEXT, b"message 01 of 3-0"), failures.WRONG_BODY, "message 1: message 01 of 3-0"),
        (frame(TEXT, b"message " + b"9" * 99 + b" of 3-0"), failures.WRONG_BODY, f"message 1: message {'9' * 72}…"),
        (masked(TEXT, b"message 1 of 3-0"), failures.MALFORMED, "a masked frame"),
        (frame(TEXT, b"x" * (MESSAGE_LIMIT + 1)), failures.MALFORMED, f"a message of more than {MESSAGE_LIMIT} bytes"),
        (frame(PING, b"") * 1001, failures.MALFORMED, "more than 1000 pings"),
    ],
    ids=["binary", "another's", "spelled otherwise", "long", "masked", "too long", "pings"],
)
def test_so_does_what_is_none(switched: Session, said: bytes, failure: str, told: str) -> None:
    switched.talk.time.advance(EVERY_S)
    switched.says(said)
    assert ending(switched) == (failure, told)


def test_one_that_is_missing_at_the_end_is_lost(session: Session) -> None:
    session.switches()
    session.goes_on((NUMBER - 2) * EVERY_S)
    session.talk.time.advance(EVERY_S)
    session.talk.time.advance(EVERY_S)
    session.closes(1000)
    assert ending(session) == (failures.MESSAGE_LOST, "message 3 unanswered when the session was over")


def test_so_is_one_in_whose_place_the_last_one_came(session: Session) -> None:
    session.switches()
    session.goes_on((NUMBER - 3) * EVERY_S)
    for _ in range(3):
        session.talk.time.advance(EVERY_S)
    session.says(session.message(3))
    session.closes(1000)
    assert ending(session) == (failures.MESSAGE_LOST, "message 2: message 3 came in its place")


def test_a_message_in_parts_is_one(switched: Session) -> None:
    switched.talk.time.advance(EVERY_S)
    switched.says(frame(TEXT, b"message 1", last=False), frame(PONG, b""), frame(CONTINUATION, b" of 3-0"))
    assert switched.talk.exchanges == []
    switched.hears()
    switched.heard.clear()
    switched.goes_on(LENGTH_S)
    assert switched.talk.outcomes == [""]


# No session.


def test_what_is_refused_is_so_by_its_status_with_the_proxys_words(session: Session) -> None:
    page = b"<h1>No</h1> nobody is there"
    session.wire.says(b"HTTP/1.1 503 No\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page))
    assert ending(session) == ("status 503", "No nobody is there")
    assert session.talk.front.attempts == 2


def test_an_answer_in_its_place_is_none(session: Session) -> None:
    session.wire.says(answer_bytes(b"3-0", b"3"))
    assert ending(session) == ("status 200", "")


@pytest.mark.parametrize(
    ("change", "failure", "told"),
    [
        (
            {"Sec_WebSocket_Accept": b"x"},
            failures.MALFORMED,
            "Sec-WebSocket-Accept is not that of the request's key",
        ),
        ({"Upgrade": b"h2c"}, failures.MALFORMED, "switched to something else than a WebSocket"),
        (
            {"Sec_WebSocket_Protocol": b"chat"},
            failures.MALFORMED,
            "Sec-WebSocket-Protocol, which nobody asked for",
        ),
        ({"Proxyreload_Id": b"3-9"}, failures.WRONG_BODY, "the answer to request 3-9"),
        ({"Backend_Id": None}, failures.WRONG_BODY, "not from a backend of ours"),
    ],
)
def test_a_switch_that_is_not_ours_is_none(
    session: Session, change: dict[str, bytes | None], failure: str, told: str
) -> None:
    first = session.wire
    session.wire.says(switching(b"3-0", **change))
    assert ending(session) == (failure, told)
    assert first.transport.closed


@pytest.mark.parametrize("missing", ["Upgrade", "Connection"])
def test_one_that_does_not_say_to_what_is_malformed(session: Session, missing: str) -> None:
    session.wire.says(switching(b"3-0", **{missing: None}))
    assert ending(session) == (failures.MALFORMED, "switched to no protocol")


@pytest.mark.parametrize(("how", "failure"), [("closes", failures.CLOSED_FRESH), ("resets", failures.RESET_FRESH)])
def test_an_end_before_that_is_as_of_any_request(session: Session, how: str, failure: str) -> None:
    getattr(session.wire, how)()
    assert session.last.failure == failure


# Time-outs.


def test_a_message_that_is_not_echoed_in_time_ends_it_though_others_are_sent(switched: Session) -> None:
    switched.talk.time.pump([0.1] * round((EVERY_S + TIMEOUT_S) * 10 + 1))
    assert ending(switched) == (
        failures.TIMEOUT,
        "messages 1 to 3 unanswered, our close frame was not answered",
    )


def test_so_does_a_switch_that_does_not_come(session: Session) -> None:
    session.talk.time.pump([0.1] * round((EVERY_S + TIMEOUT_S) * 10 + 1))
    assert ending(session) == (failures.TIMEOUT, "")


def test_pings_without_end_do_not(switched: Session) -> None:
    for _ in range(round((3 * LENGTH_S + TIMEOUT_S) / EVERY_S) + 1):
        switched.says(frame(PING, b""))
        switched.talk.time.advance(EVERY_S)
    assert switched.talk.outcomes[:1] == [failures.TIMEOUT]


def test_a_session_that_goes_on_does_not_time_out() -> None:
    session = Session(Talk("websocket", {"every": EVERY_S, "length": 5 * TIMEOUT_S}, timeout_s=TIMEOUT_S))
    session.switches()
    session.goes_on(5 * TIMEOUT_S)
    assert session.talk.outcomes == [""]


# A look before each message.


def test_an_end_that_has_come_is_seen_before_the_next_message_is_sent(switched: Session) -> None:
    looked: list[int] = []

    def poll(_timeout: int) -> list[tuple[int, int]]:
        looked.append(len(switched.hears()))
        if len(looked) == 2:  # by then it is read
            switched.closes(1001)
        return [(0, select.POLLIN)]

    switched.wire.connection._poll = poll
    switched.talk.time.advance(EVERY_S)
    assert looked == [0, 0]
    assert ending(switched) == ("", "")


def test_but_not_for_ever(switched: Session) -> None:
    switched.wire.connection._poll = lambda _timeout: [(0, select.POLLIN)]
    switched.talk.time.pump([EVERY_S, 0, 0, 0, 0, 0])
    assert switched.hears() == [(TEXT, b"message 1 of 3-0")]


# The backend's end.


@pytest.fixture(name="stranger")
def _stranger() -> Stranger:
    return Stranger()


def test_somebody_elses_is_echoed_too(stranger: Stranger) -> None:
    head = stranger.asks()
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert b"Content-" not in head
    stranger.says(TEXT, "hé".encode())
    stranger.says(BINARY, bytes(300))
    stranger.says(PING, b"p")
    stranger.says(PONG, b"unasked")
    assert stranger.hears() == [(TEXT, "hé".encode()), (BINARY, bytes(300)), (PONG, b"p")]
    stranger.says(CLOSE, closing(1000, b"bye"))
    assert stranger.hears() == [(CLOSE, b"\x03\xe8")]
    assert stranger.inlet.transport.closed
    assert [stage for _, stage, _ in stranger.inlet.stages] == ["executed", "answered"]


@few_examples
@given(cuts=cuts_st)
def test_in_whatever_pieces_it_comes(cuts: list[int]) -> None:
    stranger = Stranger()
    stranger.asks()
    stream = masked(TEXT, b"one") + masked(PING, b"\r\n") + masked(CLOSE, b"")
    stranger.inlet.hears(*parts(stream, cuts))
    assert stranger.hears() == [(TEXT, b"one"), (PONG, b"\r\n"), (CLOSE, b"")]


def test_what_stands_behind_the_request_is_a_sessions_wherever_the_backend_looks_at_its_bounds(
    stranger: Stranger,
) -> None:
    padding = b"X: " + b"x" * 1000
    stranger.inlet.connection._heard = HEAD_LIMIT - 2000  # as after so many requests
    head = b"\r\n".join([b"GET / HTTP/1.1", padding, *ASKED]) + b"\r\n\r\n"
    stranger.inlet.hears(head + b"".join(masked(TEXT, b"x" * 100) for _ in range(20)))
    assert stranger.inlet.said().count(b"\x81\x64" + b"x" * 100) == 20


def test_one_of_another_version_is_answered_as_a_small_get(stranger: Stranger) -> None:
    assert stranger.asks(version=b"8").startswith(b"HTTP/1.1 200 OK\r\n")
    assert stranger.inlet.transport.closed


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (frame(TEXT, b"not masked"), 1002),
        (masked(TEXT, b"\xff"), 1007),
        (masked(TEXT, b"x" * (MESSAGE_LIMIT + 1)), 1009),
    ],
    ids=["not masked", "no UTF-8", "too long"],  # a mask is drawn anew each time
)
def test_what_is_wrong_is_told_and_the_connection_closed(stranger: Stranger, said: bytes, code: int) -> None:
    stranger.asks()
    stranger.inlet.hears(said)
    (heard,) = stranger.hears()
    assert heard[0] == CLOSE
    assert int.from_bytes(heard[1][:2], "big") == code
    assert stranger.inlet.transport.closed


def test_a_proxy_that_closes_first_has_given_it_up(stranger: Stranger) -> None:
    stranger.asks(b"Proxyreload-Id: 3-7", b"Proxyreload-Kind: websocket every=0.05 length=5")
    stranger.says(TEXT, b"one")
    stranger.inlet.closes()
    assert [told[:2] for told in stranger.inlet.stages] == [("3-7", "executed"), ("3-7", "given up")]
    # It could not have stayed for anything else.
    assert [event for event in stranger.inlet.events if isinstance(event, BackClosed)] == []


def leaving(stranger: Stranger) -> Callable[[], bool]:
    """Let the backend leave, and return what says whether it has left."""
    left = stranger.inlet.connection.site.leave()
    return lambda: bool(left.called)


def test_a_backend_that_leaves_says_so_and_waits_for_the_answer(stranger: Stranger) -> None:
    stranger.asks()
    left = leaving(stranger)
    assert stranger.hears() == [(CLOSE, closing(1001, LEAVES))]
    stranger.says(TEXT, b"on its way")
    assert (stranger.hears(), stranger.inlet.transport.closed) == ([], False)
    stranger.says(CLOSE, closing(1001))
    assert (stranger.hears(), stranger.inlet.transport.closed) == ([], True)
    stranger.inlet.closes()
    assert left()
    assert [stage for _, stage, _ in stranger.inlet.stages] == ["executed", "answered"]
    assert stranger.inlet.time.getDelayedCalls() == []


def test_but_not_for_ever_either(stranger: Stranger) -> None:
    stranger.asks()
    leaving(stranger)
    stranger.inlet.time.advance(4.9)
    assert not stranger.inlet.transport.closed
    stranger.inlet.time.advance(0.1)
    assert stranger.inlet.transport.closed


def test_one_that_is_asked_when_it_leaves_says_so_at_once(stranger: Stranger) -> None:
    stranger.inlet.hears(b"GET / HTTP/1.1\r\nProxyreload-Kind: slow delay=1\r\n\r\n")
    leaving(stranger)
    assert stranger.asks() == b""  # it is behind another, and is no WebSocket there
    stranger.inlet.time.advance(1)
    assert stranger.inlet.said().count(b"HTTP/1.1 200 OK") == 2


def test_one_that_is_killed_says_nothing(stranger: Stranger) -> None:
    stranger.asks()
    stranger.inlet.connection.close()
    assert stranger.inlet.said() == b""
    assert stranger.inlet.transport.aborted
    assert [stage for _, stage, _ in stranger.inlet.stages] == ["executed"]
