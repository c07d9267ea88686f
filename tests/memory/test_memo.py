"""Answers that are taken without the parser are taken as it would have."""

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.client.memo import VALUE_KEPT, AnswerMemo, KnownAnswer

from .clocks import Time
from .connections import Owner, Wire, answer_bytes

IDS = st.sampled_from((b"0-0", b"3-17", b"3-71", b"12-345", b"9-99999", b"p10-3"))
PARTS = st.sampled_from((b"0", b"1", b"7", b"web-1", b"3-17", b"", b"\x00", b"50000", b"50001"))


@attrs.define(eq=False)
class Reader:
    """A connection that is asked and answered again and again."""

    owner: Owner = attrs.field(factory=Owner)
    wire: Wire = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.wire = Wire.open(self.owner, Time())

    def taken(self, request_id: bytes, data: bytes, *, known: bool) -> tuple[Any, ...]:
        """Return all that the client sees of an answer; if not `known`, the parser has to take it."""
        heard = len(self.owner.heard)
        seen = self.wire.send(b"GET / HTTP/1.1\r\n\r\n", request_id if known else b"")
        self.wire.says(data)
        fields = (seen.status, seen.instance, seen.back_port, seen.echoed_id, seen.body, seen.keep_alive)
        return (*self.owner.heard[heard:], fields)


@attrs.frozen
class Reply:
    """An answer, right or wrong in some way."""

    request_id: bytes
    echoed: bytes
    instance: bytes
    back_port: bytes
    body: bytes | None
    status: bytes
    close: bool

    @property
    def data(self) -> bytes:
        extra = b"Connection: close\r\n" if self.close else b""
        return answer_bytes(self.echoed, self.instance, self.back_port, status=self.status, body=self.body, extra=extra)


REPLIES = st.builds(
    Reply,
    request_id=IDS,
    echoed=IDS,
    instance=PARTS,
    back_port=PARTS,
    body=st.one_of(st.none(), IDS, PARTS, st.just(b"backend 0 answers 3-17\n")),
    status=st.sampled_from((b"200 OK", b"503 Service Unavailable")),
    close=st.booleans(),
)


@settings(max_examples=150)
@given(st.lists(REPLIES, min_size=1, max_size=12))
def test_an_answer_that_is_known_is_taken_as_the_parser_takes_it(replies: list[Reply]) -> None:
    for reply in [*replies, *replies]:
        # The one may have seen any of these before, the other asks the parser each time.
        by_memo = Reader().taken(reply.request_id, reply.data, known=True)
        by_parser = Reader().taken(reply.request_id, reply.data, known=False)
        assert by_memo == by_parser


def test_the_parser_is_not_asked_twice_for_the_same_bytes() -> None:
    memo = AnswerMemo()
    first, second = answer_bytes(b"3-17"), answer_bytes(b"4-18")
    answer = KnownAnswer(len(first), 4, 200, b"0", b"50000", None, first.index(b"backend 0 answers"))
    memo.remember(first, b"3-17", answer)
    assert memo.recall(second, b"4-18") is answer


def test_another_length_is_another_answer() -> None:
    memo = AnswerMemo()
    data = answer_bytes(b"3-17")
    memo.remember(data, b"3-17", KnownAnswer(len(data), 4, 200, b"0", b"50000", None, 0))
    assert memo.recall(answer_bytes(b"3-170"), b"3-170") is None
    assert memo.recall(data.replace(b"3-17", b"\0"), b"3-17") is None


def test_one_byte_more_behind_a_known_answer_is_unasked() -> None:
    reader = Reader()
    reader.taken(b"3-17", answer_bytes(b"3-17"), known=True)
    reader.taken(b"3-18", answer_bytes(b"3-18") + b"x", known=True)
    assert reader.owner.heard == [("answered",), ("answered",), ("closed", "unasked", "x")]


def test_no_more_shapes_are_kept_than_can_be_used() -> None:
    memo = AnswerMemo()
    for number in range(2000):
        data = answer_bytes(b"3-17", extra=b"X-Number: %d\r\n" % number)
        memo.remember(data, b"3-17", KnownAnswer(len(data), 4, 200, b"0", b"50000", None, 0))
    assert len(memo._known) <= 512


def test_an_instance_with_the_id_in_it_is_not_taken_for_anothers() -> None:
    reader = Reader()
    reader.taken(b"3-17", answer_bytes(b"3-17", b"web-3-17"), known=True)
    reader.taken(b"3-18", answer_bytes(b"3-18", b"web-3-18"), known=True)
    assert reader.wire.pending.instance == b"web-3-18"


@pytest.mark.parametrize("place", ["instance", "back_port", "echoed"])
@pytest.mark.parametrize("value", [b"x%b", b"x" * (VALUE_KEPT - 2) + b"%b", b"%b" + b"x" * VALUE_KEPT])
def test_a_value_with_the_id_in_it_is_not_taken_for_anothers(place: str, value: bytes) -> None:
    """Also where the end of the id is cut off with what is not kept."""
    values = {"instance": b"0", "back_port": b"50000", "echoed": b"9-9"}
    for request_id in (b"3-17", b"4-28"):
        told = values | {place: value % request_id}
        data = answer_bytes(told["echoed"], told["instance"], told["back_port"], body=b"hi\n")
        by_memo = Reader().taken(request_id, data, known=True)
        assert by_memo == Reader().taken(request_id, data, known=False)


def test_a_byte_that_stands_for_the_id_is_not_taken_for_one() -> None:
    """With a longer id elsewhere the whole is as long as one with two shorter ones."""
    rest = b"\r\nContent-Length: 2\r\n\r\nx\n"
    one, two = b"HTTP/1.1 200 3-1 3-1" + rest, b"HTTP/1.1 200 \0 4-234" + rest
    assert len(one) == len(two)
    for request_id, data in ((b"3-1", one), (b"4-234", two)):
        assert Reader().taken(request_id, data, known=True) == Reader().taken(request_id, data, known=False)
    memo = AnswerMemo()
    memo.remember(one, b"3-1", KnownAnswer(len(one), 3, 200, b"", b"", None, len(one) - 2))
    assert memo.recall(two, b"4-234") is None
    memo.remember(two, b"4-234", KnownAnswer(len(two), 5, 200, b"", b"", None, len(two) - 2))
    assert memo.recall(two, b"4-234") is None
