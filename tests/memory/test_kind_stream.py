"""The kind `stream`: an event lost, repeated, out of order or behind the end is found, and by its class."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.history.failures import MESSAGE_LOST, MESSAGE_REPEATED, TRUNCATED, WRONG_BODY
from proxyreload.traffic.content import how_many
from proxyreload.traffic.stream import end, event

from .connections import parts
from .kinds import Ends, cuts_st, ids_st
from .test_kind_ends import Said

few_examples = settings(max_examples=40)
ID, COUNT = b"3-7", 12


def judged(told: Sequence[bytes], cuts: Sequence[int] = (), status: int = 200) -> tuple[str, str]:
    """Return what is made of a stream of these events."""
    heard = Ends("stream", {"every": 0.1, "length": COUNT / 10}).client.incoming(ID)
    assert heard is not None
    for part in parts(b"".join(told), cuts):
        heard.take(part)
    return heard.judge(Said(status, b"3", ID))


def whole() -> list[bytes]:
    """Return the events of a stream, its end at the end."""
    return [event(ID, number) for number in range(COUNT)] + [end(ID, COUNT)]


places = st.integers(0, COUNT - 1)


@few_examples
@given(cuts=cuts_st)
def test_a_whole_stream_is_right(cuts: list[int]) -> None:
    assert judged(whole(), cuts) == ("", "")


@few_examples
@given(cuts=cuts_st, first=places, number=st.integers(1, COUNT))
def test_events_that_are_swallowed_are_lost(cuts: list[int], first: int, number: int) -> None:
    told = whole()
    del told[first : min(first + number, COUNT)]
    failure, message = judged(told, cuts)
    assert failure == MESSAGE_LOST
    assert message.startswith(f"event {first}: ")


@few_examples
@given(cuts=cuts_st, place=places)
def test_an_event_that_comes_twice_is_repeated(cuts: list[int], place: int) -> None:
    told = whole()
    told.insert(place, told[place])
    assert judged(told, cuts) == (MESSAGE_REPEATED, f"event {place} after event {place}")


@few_examples
@given(cuts=cuts_st, places=st.sets(places, min_size=2, max_size=2))
def test_events_out_of_order_are_found_at_the_first_of_them(cuts: list[int], places: set[int]) -> None:
    early, late = sorted(places)
    told = whole()
    told[early], told[late] = told[late], told[early]
    assert judged(told, cuts) == (MESSAGE_LOST, f"event {early}: event {late} came in its place")


@few_examples
@given(cuts=cuts_st, place=places)
def test_an_old_event_that_comes_late_is_repeated(cuts: list[int], place: int) -> None:
    told = whole()
    told.insert(COUNT, told[place])
    assert judged(told, cuts) == (MESSAGE_REPEATED, f"event {place} after event {COUNT - 1}")


@few_examples
@given(cuts=cuts_st, behind=st.sampled_from([event(ID, 0), event(ID, COUNT), end(ID, COUNT), b"\n\n", b"x\n\n"]))
def test_whatever_comes_behind_the_end_is_found(cuts: list[int], behind: bytes) -> None:
    assert judged([*whole(), behind], cuts) == (WRONG_BODY, "an event behind the end")


@pytest.mark.parametrize("behind", [b"\n", b"d", b"data: "])
def test_so_is_a_part_of_one(behind: bytes) -> None:
    assert judged([*whole(), behind]) == (WRONG_BODY, "bytes behind the end")


@few_examples
@given(cuts=cuts_st, number=st.integers(0, COUNT))
def test_a_stream_that_just_stops_is_truncated(cuts: list[int], number: int) -> None:
    assert judged(whole()[:number], cuts) == (TRUNCATED, f"ended after {number} of {COUNT} events")


def test_one_that_stops_in_its_last_line_end_is_too() -> None:
    assert judged([b"".join(whole())[:-1]])[0] == TRUNCATED


@pytest.mark.parametrize("place", [-1, -2])
def test_one_whose_last_line_end_is_another_byte_is_wrong(place: int) -> None:
    stream = bytearray(b"".join(whole()))
    stream[place] ^= 1
    assert judged([bytes(stream)])[0] == WRONG_BODY


def test_an_end_that_comes_too_early_says_what_is_missing() -> None:
    assert judged([event(ID, 0), end(ID, COUNT)]) == (MESSAGE_LOST, "event 1: the end came in its place")


@pytest.mark.parametrize(
    "told",
    [
        event(b"3-8", 3),  # another request's
        end(ID, COUNT + 1),  # another length's
        end(ID, 3),
        event(ID, COUNT),  # there is none with this number
        b"data: 3-7 000000000003\n\n",
        b"data: 3-7 3 \n\n",
        b"data: 3-7 -3\n\n",
        b": a comment\n\n",
        b"\n\n",
        b"data: \xff\x00\n\n",
    ],
)
@pytest.mark.parametrize("place", [3, COUNT])
def test_what_is_no_event_of_ours_is_a_wrong_body(told: bytes, place: int) -> None:
    stream = whole()
    stream.insert(place, told)
    failure, message = judged(stream)
    assert failure == WRONG_BODY
    assert message.startswith(f"event {place}: ")
    assert message.isprintable()


def test_line_ends_between_two_events_that_have_become_one_are_found() -> None:
    stream = b"".join(whole()).replace(b" 3\n\n", b" 3\n")
    assert judged([stream])[0] == WRONG_BODY


def test_an_event_without_an_end_fills_no_memory() -> None:
    heard = Ends("stream").client.incoming(ID)
    assert heard is not None
    for _ in range(100):
        heard.take(b"x" * 1000)
    assert heard.judge(Said(200, b"3", ID)) == (WRONG_BODY, "an event that does not end")


def test_the_first_fault_is_told() -> None:
    told = whole()
    del told[2]
    assert judged([*told[:4], b"x" * 5000]) == (MESSAGE_LOST, "event 2: event 3 came in its place")


def test_a_status_goes_before_what_was_said() -> None:
    assert judged([b"no\n\n"], status=503) == ("status 503", "")


def test_a_stream_that_its_client_ends_is_right_as_far_as_it_has_come() -> None:
    for number in range(COUNT):
        heard = Ends("stream").client.incoming(ID)
        assert heard is not None
        heard.take(b"".join(whole()[:number])[:-1])
        assert heard.judge_unfinished(Said(200, b"3", ID)) == ("", "")


def test_and_wrong_if_it_was() -> None:
    heard = Ends("stream").client.incoming(ID)
    assert heard is not None
    heard.take(event(ID, 1))
    assert heard.judge_unfinished(Said(200, b"3", ID)) == (MESSAGE_LOST, "event 0: event 1 came in its place")


@given(every=st.floats(0.001, 3600), length=st.floats(0.001, 86_400))
@few_examples
def test_both_ends_expect_the_same_number_of_events(every: float, length: float) -> None:
    ends = Ends("stream", {"every": every, "length": length})
    told = ends.backend
    assert (told._every_s, told._length_s) == (every, length)  # type: ignore[attr-defined]
    assert how_many(every, length) >= 1


@few_examples
@given(request_id=ids_st)
def test_events_come_at_their_times(request_id: bytes) -> None:
    reply = Ends("stream", {"every": 0.5, "length": 2}).reply(request_id)
    assert reply.pieces is not None
    assert [after_s for after_s, _piece in reply.pieces] == [0, 0.5, 0.5, 0.5, 0.5]


def test_it_is_an_event_stream_that_nobody_keeps() -> None:
    fields = dict(Ends("stream").reply(ID).fields)
    assert fields[b"Content-Type"] == b"text/event-stream"
    assert fields[b"Cache-Control"] == b"no-cache"
    assert (b"Accept", b"text/event-stream") in Ends("stream").client.fields
