"""Each kind's two ends against each other: what is wrong is found whatever its place, and nothing else is."""

from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxyreload.history import failures
from proxyreload.traffic.content import digest
from proxyreload.traffic.interfaces import Received
from proxyreload.traffic.registry import kind_named, kinds, values_of

from .connections import answer_bytes
from .kinds import BACK_PORT, INSTANCE, Ends, Hosted, Talk, cuts_st, ids_st

#: Short ones: the settings are drawn elsewhere.
SHORT: dict[str, dict[str, object]] = {
    "post": {"size": 300},
    "slow": {"delay": 0.2},
    "stream": {"every": 0.1, "length": 0.5},
    "download": {"size": 3000, "rate": 10_000},
    "upload": {"every": 0.1, "length": 0.3},
    "idle": {"gap": [0.1, 0.2]},
    "aimed": {"gap": [0.1, 0.2]},
    "websocket": {"every": 0.1, "length": 3},
}
KINDS = tuple(kinds())
WRONG = {failures.WRONG_BODY, failures.TRUNCATED, failures.MESSAGE_LOST, failures.MESSAGE_REPEATED}

few_examples = settings(max_examples=20)
#: Of which a request is answered by a body; what converses, or has trailers, has tests of its own.
ANSWERED = tuple(
    name
    for name in KINDS
    if name != "grpc" and kind_named(name).client(values_of(kind_named(name), ())).conversation(b"") is None
)
any_kind = pytest.mark.parametrize("name", ANSWERED)


def ends(name: str) -> Ends:
    return Ends(name, SHORT.get(name, {}))


def test_there_are_all_the_kinds() -> None:
    there = "aimed download fresh get grpc h2 idle post slow stream upload websocket"
    assert " ".join(KINDS) == there


@any_kind
@few_examples
@given(request_id=ids_st, cuts=cuts_st)
def test_what_the_backend_answers_is_right_however_it_is_cut(name: str, request_id: bytes, cuts: list[int]) -> None:
    both = ends(name)
    assert both.judged_body(request_id, both.body(request_id), cuts) == ""


@any_kind
@few_examples
@given(request_id=ids_st, cuts=cuts_st, place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_byte_that_is_changed_is_found(name: str, request_id: bytes, cuts: list[int], place: int, flip: int) -> None:
    both = ends(name)
    body = bytearray(both.body(request_id))
    body[place % len(body)] ^= flip
    assert both.judged_body(request_id, bytes(body), cuts) in WRONG


@any_kind
@pytest.mark.parametrize("place", [0, -1])
def test_so_is_the_first_and_the_last(name: str, place: int) -> None:
    both = ends(name)
    body = bytearray(both.body(b"3-7"))
    body[place] ^= 1
    assert both.judged_body(b"3-7", bytes(body)) in WRONG


@any_kind
@few_examples
@given(request_id=ids_st, cuts=cuts_st, place=st.integers(0, 10**6))
def test_a_byte_that_is_missing_is_found(name: str, request_id: bytes, cuts: list[int], place: int) -> None:
    both = ends(name)
    body = both.body(request_id)
    place %= len(body)
    assert both.judged_body(request_id, body[:place] + body[place + 1 :], cuts) in WRONG


@any_kind
@few_examples
@given(request_id=ids_st, cuts=cuts_st, place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_byte_too_many_is_found(name: str, request_id: bytes, cuts: list[int], place: int, byte: int) -> None:
    both = ends(name)
    body = both.body(request_id)
    place %= len(body) + 1
    assert both.judged_body(request_id, body[:place] + bytes([byte]) + body[place:], cuts) in WRONG


@any_kind
@few_examples
@given(request_id=ids_st, cuts=cuts_st, length=st.integers(0, 10**6))
def test_a_body_that_is_cut_is_found(name: str, request_id: bytes, cuts: list[int], length: int) -> None:
    both = ends(name)
    body = both.body(request_id)
    assert both.judged_body(request_id, body[: length % len(body)], cuts) in WRONG


@any_kind
@few_examples
@given(request_id=ids_st, other=ids_st, cuts=cuts_st, told=st.booleans())
def test_the_answer_to_another_request_is_found(
    name: str, request_id: bytes, other: bytes, cuts: list[int], *, told: bool
) -> None:
    assume(request_id != other)
    both = ends(name)
    theirs = both.body(other)
    both.sent(request_id)
    answer = answer_bytes(other if told else request_id, INSTANCE, body=theirs)
    assert both.judged(request_id, answer, cuts) == failures.WRONG_BODY


@any_kind
@given(cuts=cuts_st, body=st.binary(max_size=200))
@few_examples
def test_a_page_of_the_proxys_own_is_found(name: str, cuts: list[int], body: bytes) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    assert ends(name).judged(b"3-7", page, cuts) == failures.WRONG_BODY


@any_kind
def test_the_right_body_from_nobody_is_none_of_the_backends(name: str) -> None:
    both = ends(name)
    answer = answer_bytes(b"3-7", b"", body=both.body(b"3-7"))
    assert both.judged(b"3-7", answer) == failures.WRONG_BODY


@any_kind
@given(cuts=cuts_st)
@few_examples
def test_a_502_is_a_failure_by_its_number(name: str, cuts: list[int]) -> None:
    answer = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad"
    assert ends(name).judged(b"3-7", answer, cuts) == "status 502"


@any_kind
@given(cuts=cuts_st, length=st.integers(0, 10**6))
@few_examples
def test_an_answer_whose_connection_closes_in_the_middle_is_truncated(name: str, cuts: list[int], length: int) -> None:
    both = ends(name)
    whole = answer_bytes(b"3-7", INSTANCE, body=both.body(b"3-7"))
    part = whole[: length % len(whole)]
    expected = failures.TRUNCATED if part else failures.CLOSED_FRESH
    assert both.judged(b"3-7", part, cuts, closes=True) == expected


uploading = pytest.mark.parametrize("name", ["post", "upload"])
#: What may become of a body on its way to a backend: where, and what.
CHANGES = {
    "changed": lambda body, at, other: body[:at] + bytes([body[at] ^ other]) + body[at + 1 :],
    "cut": lambda body, at, _other: body[:at],
    "missing": lambda body, at, other: body[:at] + body[at + other :],
    "repeated": lambda body, at, other: body[: at + other] + body[at:],
    "too long": lambda body, at, other: body[:at] + bytes([other]) + body[at:],
}


@uploading
@pytest.mark.parametrize("change", CHANGES)
@few_examples
@given(
    request_id=ids_st, cuts=cuts_st, place=st.integers(0, 10**6), other=st.integers(1, 255), pieces=st.integers(1, 5)
)
def test_a_request_that_is_another_when_it_arrives_is_found_by_its_receipt(
    name: str, change: str, request_id: bytes, cuts: list[int], place: int, other: int, pieces: int
) -> None:
    both = Ends(name, {"size": pieces * 100} if name == "post" else {"every": 0.1, "length": pieces / 10})
    sent = both.sent(request_id)
    arrived = CHANGES[change](sent, place % len(sent), other)
    answer = both.backend.reply(Received(INSTANCE, request_id, BACK_PORT, len(arrived), digest(arrived)))
    assert both.judged_body(request_id, answer.body, cuts) == ("" if arrived == sent else failures.WRONG_BODY)


@dataclass
class Said:
    """What an answer says of itself, where there is none."""

    status: int = 0
    instance: bytes = b""
    echoed_id: bytes = b""
    body: bytes = b""
    trailers: tuple[tuple[bytes, bytes, bool], ...] = ()


@any_kind
def test_what_has_not_begun_to_be_answered_cannot_be_ended(name: str) -> None:
    incoming = ends(name).client.incoming(b"3-7")
    assert incoming is None or incoming.judge_unfinished(Said()) is None


@pytest.mark.parametrize("name", [name for name in KINDS if name != "grpc"])
@few_examples
@given(cuts=cuts_st)
def test_client_and_backend_understand_each_other_over_a_proxy(name: str, cuts: list[int]) -> None:
    hosted = Hosted(Talk(name, SHORT.get(name, {})))
    hosted.talk.client.start()
    if name in ("stream", "upload", "slow", "idle", "aimed", "websocket"):
        hosted.goes_on(1.2, 0.1, cuts=cuts)
    hosted.talk.client.stop()
    hosted.goes_on(0.5, 0.1, cuts=cuts)
    assert set(hosted.talk.outcomes) == {""}
    assert hosted.talk.front.attempts == 1
    assert hosted.talk.time.getDelayedCalls() == []
