"""Bodies in pieces, and answers that are many messages, over HTTP/2."""

import pytest

from proxyreload.history import failures
from proxyreload.history.events import Paced
from proxyreload.http2 import frames
from proxyreload.traffic.content import content, digest
from proxyreload.traffic.post import receipt
from proxyreload.traffic.stream import end, event
from proxyreload.traffic.upload import PIECE_BYTES

from .clocks import result_of
from .streams import StreamBench, StreamWire, asking

LANES, EVERY_S, PIECES = 2, 0.5, 4


@pytest.fixture
def bench() -> StreamBench:
    made = bench_of("upload", {"every": EVERY_S, "length": EVERY_S * PIECES, "streams": LANES})
    made.client.start()
    made.time.advance(0)  # the first pieces
    return made


def bench_of(kind: str, given: dict[str, object]) -> StreamBench:
    made, prepared = asking(kind, given)
    return StreamBench(end=made, prepared=prepared)


def body(wire: StreamWire, stream: int) -> tuple[bytes, bool]:
    """Return what came on a stream, and whether it has been ended."""
    sent = [frame for frame in wire.look().sent if frame[0] == frames.DATA and frame[2] == stream]
    assert not [frame for frame in sent[:-1] if frame[1] & frames.END_STREAM]
    return b"".join(payload for *_, payload in sent), bool(sent) and bool(sent[-1][1] & frames.END_STREAM)


def whole(request_id: bytes, pieces: int = PIECES) -> bytes:
    return b"".join(content(b"%b %d" % (request_id, number), PIECE_BYTES) for number in range(pieces))


def receives(wire: StreamWire, stream: int, had: bytes) -> None:
    """Answer with a receipt for what was had."""
    told = receipt(b"0", wire.ids[stream], len(had), digest(had))
    wire.says(wire.answer(stream, body=told))


def test_pieces_go_out_at_their_times_on_each_stream_and_the_last_ends_it(bench: StreamBench) -> None:
    wire = bench.front.wire
    for number in range(1, PIECES):
        assert {body(wire, stream) for stream in wire.open} == {
            (whole(request_id, number), False) for request_id in wire.ids.values()
        }
        bench.time.advance(EVERY_S)
    bench.time.advance(EVERY_S)
    for stream in wire.open:
        had, ended = body(wire, stream)
        assert ended
        assert had == whole(wire.ids[stream])
        receives(wire, stream, had)
    assert bench.failures == ["", ""]


def test_a_receipt_for_another_body_is_found(bench: StreamBench) -> None:
    wire = bench.front.wire
    for _ in range(PIECES + 1):
        bench.time.advance(EVERY_S)
    first, second = wire.open
    receives(wire, first, body(wire, second)[0])
    receives(wire, second, body(wire, second)[0][:-1])
    assert bench.failures == [failures.WRONG_BODY, failures.WRONG_BODY]


def test_an_answer_in_the_middle_ends_the_request(bench: StreamBench) -> None:
    wire = bench.front.wire
    bench.time.advance(EVERY_S)
    first, second = wire.open
    wire.says(wire.answer(first, status=b"502"))
    assert bench.failures == [failures.status_failure(502)]
    assert [frame[2] for frame in wire.look().sent if frame[0] == frames.RST_STREAM] == [first]
    bench.time.advance(EVERY_S)
    assert len(body(wire, second)[0]) == 3 * PIECE_BYTES
    assert len(body(wire, first)[0]) == 2 * PIECE_BYTES


def test_a_reset_stream_is_lost_and_sends_nothing_more(bench: StreamBench) -> None:
    wire = bench.front.wire
    bench.time.advance(EVERY_S)
    first, _second = wire.open
    had = body(wire, first)
    wire.says(frames.rst_stream(first, frames.STREAM_CLOSED))
    assert bench.failures == [failures.STREAM_RESET]
    bench.time.advance(EVERY_S)
    assert body(wire, first) == had


def test_a_stopped_client_ends_its_bodies_at_once(bench: StreamBench) -> None:
    wire = bench.front.wire
    bench.time.advance(EVERY_S)
    stopped = bench.client.stop()
    for stream in wire.open:
        had, ended = body(wire, stream)
        assert ended
        receives(wire, stream, had)
    assert bench.failures == ["", ""]
    assert result_of(stopped) is None
    bench.client.close()
    assert bench.time.getDelayedCalls() == []


def test_what_the_windows_do_not_take_waits_for_them(bench: StreamBench) -> None:
    wire = bench.front.wire
    wire.greets(initial_window_size=PIECE_BYTES // 2)
    for _ in range(PIECES + 1):
        bench.time.advance(EVERY_S)
    stream = wire.open[0]
    assert len(body(wire, stream)[0]) < PIECES * PIECE_BYTES
    wire.says(frames.window_update(stream, PIECES * PIECE_BYTES))
    assert body(wire, stream) == (whole(wire.ids[stream]), True)


def test_one_that_is_slow_by_its_kind_is_not_late(bench: StreamBench) -> None:
    made = bench_of("upload", {"every": 3.0, "length": 30.0, "streams": 1})
    made.client.start()
    for _ in range(10):
        made.time.advance(3.0)
    assert made.failures == []


def test_the_messages_of_answers_are_counted_as_they_come() -> None:
    events = 12
    made = bench_of("stream", {"every": 0.1, "length": 0.1 * events, "streams": 2})
    made.client.start()
    wire = made.front.wire
    first, second = wire.open
    told = {}
    for stream in (first, second):
        request_id = wire.ids[stream]
        told[stream] = [event(request_id, number) for number in range(events)] + [end(request_id, events)]
    whole_answers = {stream: wire.answer(stream, body=b"".join(told[stream])) for stream in told}
    wire.says(whole_answers[second])
    made.time.advance(0.3)
    wire.says(whole_answers[first])
    assert made.failures == ["", ""]
    paces = made.of(Paced)
    assert sorted((each.client, each.connection, each.number) for each in paces) == [(3, 0, 0), (3, 0, 1)]
    assert [sum(each.counts) for each in paces] == [events, events]
