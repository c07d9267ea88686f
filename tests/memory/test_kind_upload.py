"""The kind `upload`: what was sent, as far as it was, is what the receipt must say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.history.failures import WRONG_BODY
from proxyreload.traffic.content import content, digest
from proxyreload.traffic.post import receipt
from proxyreload.traffic.upload import PIECE_BYTES

from .clocks import waits
from .connections import answer_bytes
from .kinds import INSTANCE, Ends, Hosted, Talk, ids_st, unchunked
from .test_kind_ends import Said

GIVEN: dict[str, object] = {"every": 0.5, "length": 2}


@settings(max_examples=40)
@given(request_id=ids_st, drawn=st.integers(0, 4))
def test_a_receipt_for_what_was_sent_so_far_is_right_and_no_other(request_id: bytes, drawn: int) -> None:
    upload = Ends("upload", GIVEN).client
    for _ in upload.pieces(b"before") or ():
        pass
    pieces = upload.pieces(request_id)
    assert pieces is not None
    sent = unchunked([next(pieces)[1] for _ in range(drawn)])
    assert sent == b"".join(content(b"%b %d" % (request_id, number), PIECE_BYTES) for number in range(drawn))
    incoming = upload.incoming(request_id)
    assert incoming is not None

    def judged(length: int, of: bytes, whose: bytes = request_id) -> str:
        return incoming.judge(Said(200, INSTANCE, request_id, receipt(INSTANCE, whose, length, of)))[0]

    assert judged(len(sent), digest(sent)) == ""
    assert judged(len(sent) + 1, digest(sent)) == WRONG_BODY
    assert judged(len(sent), digest(sent + b"x")) == WRONG_BODY
    assert judged(len(sent), digest(sent), b"9-9") == WRONG_BODY


def test_its_pieces_have_their_times_and_the_last_ends_the_body() -> None:
    upload = Ends("upload", GIVEN).client
    pieces = list(upload.pieces(b"3-7") or ())
    assert [after_s for after_s, _ in pieces] == [0, 0.5, 0.5, 0.5, 0.5]
    assert pieces[-1][1] == upload.ending() == b"0\r\n\r\n"


@pytest.mark.parametrize("announced", [True, False])
def test_one_that_the_run_ends_before_its_connection_is_there_is_empty_and_a_success(*, announced: bool) -> None:
    talk = Talk("upload", GIVEN)
    hosted = Hosted(talk)
    talk.client.start()
    hosted.goes_on(1, 0.25)
    talk.front.held = True
    if announced:
        talk.front.wire.says(answer_bytes(b"3-0", status=b"502 Bad", extra=b"Connection: close\r\n"))
    else:
        talk.front.wire.resets()
        talk.time.advance(0.2)
    stopped = talk.client.stop()
    talk.front.let_in()
    hosted.carry()
    assert not waits(stopped)
    assert talk.outcomes[1:] == [""]
