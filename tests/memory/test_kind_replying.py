"""An answer that takes a while: its pieces at their times, its end once, and nothing once it is stopped."""

from collections.abc import Sequence

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.backend.replying import Chunks, Replying
from proxyreload.traffic.interfaces import Reply

from .clocks import Time

few_examples = settings(max_examples=60)


@attrs.define(eq=False)
class Reader:
    """Who hears a reply, and when."""

    time: Time = attrs.field(factory=Time)
    heard: list[tuple[float, bytes]] = attrs.field(factory=list)
    done_at: list[float] = attrs.field(factory=list)

    def replying(self, reply: Reply) -> Replying:
        return Replying(
            self.time,
            reply,
            Chunks(b"HEAD "),
            lambda data: self.heard.append((self.time.seconds(), data)),
            lambda: self.done_at.append(self.time.seconds()),
        )


def test_a_body_is_written_at_once_with_its_head() -> None:
    reader = Reader()
    reader.replying(Reply((), b"body")).start()
    assert reader.heard == [(0, b"HEAD body")]
    assert reader.done_at == [0]


def test_after_a_delay_if_there_is_one() -> None:
    reader = Reader()
    reader.replying(Reply((), b"body", delay_s=2)).start()
    reader.time.advance(1.5)
    assert reader.heard == []
    reader.time.advance(0.5)
    assert reader.heard == [(2, b"HEAD body")]
    assert reader.done_at == [2]


def test_before_pieces_a_delay_counts_too() -> None:
    reader = Reader()
    reader.replying(Reply((), pieces=[(1, b"a")], delay_s=2)).start()
    reader.time.pump([1, 1, 1])
    assert reader.heard == [(2, b"HEAD "), (3, b"1\r\na\r\n"), (3, b"0\r\n\r\n")]


def test_pieces_without_a_wait_go_at_once() -> None:
    reader = Reader()
    reader.replying(Reply((), pieces=[(0, b"a"), (0, b"b" * 16)])).start()
    assert [data for _, data in reader.heard] == [
        b"HEAD ",
        b"1\r\na\r\n",
        b"10\r\n" + b"b" * 16 + b"\r\n",
        b"0\r\n\r\n",
    ]
    assert reader.done_at == [0]


def test_no_pieces_at_all_are_an_empty_body() -> None:
    reader = Reader()
    reader.replying(Reply((), pieces=[])).start()
    assert [data for _, data in reader.heard] == [b"HEAD ", b"0\r\n\r\n"]


def test_an_empty_piece_is_a_wait_and_not_the_end() -> None:
    reader = Reader()
    reader.replying(Reply((), pieces=[(0, b""), (1, b""), (1, b"a")])).start()
    reader.time.pump([1, 1])
    assert reader.heard == [(0, b"HEAD "), (2, b"1\r\na\r\n"), (2, b"0\r\n\r\n")]


@few_examples
@given(
    pieces=st.lists(st.tuples(st.sampled_from([0, 0.25, 1]), st.binary(max_size=40)), max_size=8),
    delay_s=st.sampled_from([0, 0.5]),
    stop_after=st.integers(0, 40),
)
def test_once_stopped_nothing_more_is_written_or_said(
    pieces: Sequence[tuple[float, bytes]], delay_s: float, stop_after: int
) -> None:
    reader = Reader()
    replying = reader.replying(Reply((), pieces=pieces, delay_s=delay_s))
    replying.start()
    reader.time.pump([0.25] * stop_after)
    heard, done = list(reader.heard), list(reader.done_at)
    over = delay_s + sum(after_s for after_s, _ in pieces) <= stop_after / 4
    assert len(done) == over
    replying.stop()
    replying.stop()
    reader.time.pump([0.25] * 40)
    assert (reader.heard, reader.done_at) == (heard, done)
    assert reader.time.getDelayedCalls() == []
