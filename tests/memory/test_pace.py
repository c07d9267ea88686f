"""When the messages of a long answer came: in slices, of which there are never too many."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload.client.pace import SLICES_AT_MOST, WORTH_TELLING, Pace
from proxyreload.history.events import Ended, Event, Paced, Started
from proxyreload.system.clock import NS_PER_MS, ns
from proxyreload.traffic.stream import event
from proxyreload.verdict.kept import PACES_KEPT
from proxyreload.verdict.observation import observe

from .clocks import START_NS, some_examples
from .kinds import Talk
from .observing import run_json
from .test_kind_dialogue import chunk, stream_head


def test_messages_are_counted_in_the_slice_in_which_they_came() -> None:
    pace = Pace(START_NS)
    for messages, after_ms in ((1, 0), (3, 19), (4, 20), (4, 30), (10, 75)):
        pace.have_come(messages, START_NS + after_ms * NS_PER_MS)
    assert (pace.counts, pace.slice_ns) == ([3, 1, 0, 6], 20 * NS_PER_MS)
    assert pace.worth_telling


def test_slices_become_longer_where_there_would_be_too_many() -> None:
    pace = Pace(START_NS)
    for number in range(1, SLICES_AT_MOST + 2):
        pace.have_come(number, START_NS + 20 * NS_PER_MS * (number - 1))
    assert pace.slice_ns == 40 * NS_PER_MS
    assert pace.counts == [2] * (SLICES_AT_MOST // 2) + [1]


@some_examples
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10**11)), max_size=40))
def test_whatever_comes_whenever_it_is_all_counted_once_and_bounded(steps: list[tuple[int, int]]) -> None:
    pace, now_ns, messages = Pace(START_NS), START_NS, 0
    for more, after_ns in steps:
        now_ns, messages = now_ns + after_ns, messages + more
        pace.have_come(messages, now_ns)
    assert sum(pace.counts) == messages
    assert len(pace.counts) <= SLICES_AT_MOST
    assert pace.worth_telling == (messages >= WORTH_TELLING)


@pytest.mark.parametrize(("events", "told"), [(30, 1), (5, 0)])
def test_a_stream_tells_at_its_end_when_its_events_came(events: int, told: int) -> None:
    talk = Talk("stream", {"every": 0.1, "length": events / 10})
    paced: list[Paced] = []
    talk.bus.subscribe(Paced, paced.extend)
    talk.client.start()
    wire = talk.front.wire
    wire.says(stream_head(b"3-0"))
    for number in range(events):
        wire.says(chunk(event(b"3-0", number)))
        talk.time.advance(0.1)
    wire.says(chunk(b"data: 3-0 end %d\n\n" % events) + b"0\r\n\r\n")
    assert talk.outcomes == [""]
    assert len(paced) == told
    for each in paced:
        assert (each.client, each.connection, each.number, sum(each.counts)) == (3, 0, 0, events)
        assert (each.begun_ns, each.at_ns) == (START_NS, START_NS + ns(events / 10))
        assert max(each.counts) == 1


def test_they_are_in_the_run_file_as_many_as_are_kept(tmp_path: Path) -> None:
    told = Paced(2, 0, 5, START_NS + ns(1), 20 * NS_PER_MS, (1, 0, 2), START_NS + ns(2))
    history: list[tuple[type, list[Event]]] = [
        (Started, [Started(START_NS)]),
        (Paced, [told] * (PACES_KEPT + 5)),
        (Ended, [Ended(START_NS + ns(3))]),
    ]
    paces = run_json(observe(history), tmp_path)["summary"]["paces"]
    assert len(paces) == PACES_KEPT
    assert paces[0] == {
        "client": 2,
        "connection": 0,
        "request": 5,
        "since_us": 1_000_000,
        "slice_us": 20_000,
        "messages": [1, 0, 2],
    }
