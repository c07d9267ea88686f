"""The names of the ways in which an exchange can fail.

Every failure has exactly one class, told from the socket's own evidence. The four that can happen before the first
byte of an answer are told apart by the connection: *fresh* had carried no request before, *reused* had. The reused
ones are the keep-alive race: a request written to a connection that the proxy was closing.
"""

from typing import Final

REFUSED: Final = "refused"
CONNECT_TIMEOUT: Final = "connect timeout"
#: Neither refused nor timed out: no route, a reset during the handshake.
CONNECT_ERROR: Final = "connect error"
#: The instrument itself could not: no file descriptor, no free local port, no memory for it. No doing of the proxy's.
OWN_LIMIT: Final = "own limit"
RESET_FRESH: Final = "reset before response, fresh"
RESET_REUSED: Final = "reset before response, reused"
CLOSED_FRESH: Final = "closed before response, fresh"
CLOSED_REUSED: Final = "closed before response, reused"
RESET_MID_RESPONSE: Final = "reset mid-response"
TRUNCATED: Final = "truncated"
TIMEOUT: Final = "timeout"
MALFORMED: Final = "malformed response"
#: Bytes that no request asked for: behind an answer, or on an idle connection. No exchange fails by it, but the
#: connection ends, and the run is lossy.
UNSOLICITED: Final = "unasked bytes"
WRONG_BODY: Final = "wrong body"
#: Of numbered messages: one is missing, or came twice, or late.
MESSAGE_LOST: Final = "message lost"
MESSAGE_REPEATED: Final = "message repeated"
MESSAGE_OUT_OF_ORDER: Final = "message out of order"
#: A session (a WebSocket) ended without its client: by FIN or by a close frame, or by RST.
CLOSED_MID_SESSION: Final = "closed mid-session"
RESET_MID_SESSION: Final = "reset mid-session"
#: A call of gRPC ended without the status that says what it came to, which is in its trailers.
TRAILERS_LOST: Final = "trailers lost"
#: The proxy ended one stream of an HTTP/2 connection before its answer was whole (RST_STREAM).
STREAM_RESET: Final = "stream reset"
#: Not processed, as HTTP/2 says itself: above the last stream of a GOAWAY, or REFUSED_STREAM (RFC 9113, 8.7). A client
#: may repeat it, whatever its method: no exchange that was lost.
TURNED_AWAY: Final = "turned away"
#: The run was ended while the exchange was under way; it says nothing about the proxy.
ABORTED: Final = "aborted"

#: Of sessions that ended without their clients, and of numbered messages.
MID_SESSION: Final = (CLOSED_MID_SESSION, RESET_MID_SESSION)
MESSAGES: Final = (MESSAGE_LOST, MESSAGE_REPEATED, MESSAGE_OUT_OF_ORDER)

#: The keep-alive race.
RACES: Final = frozenset({RESET_REUSED, CLOSED_REUSED})


#: What the classes of answers begin with that say no by their status; no other class does.
_STATUS, _CALL_STATUS = "status ", "grpc status "


def status_failure(status: int) -> str:
    """Return the class of an answer whose status is not 200."""
    return f"{_STATUS}{status}"


def call_failure(status: str) -> str:
    """Return the class of a call of gRPC whose status is not the one that is due, by that status's name."""
    return f"{_CALL_STATUS}{status}"


def is_refusal(failure: str) -> bool:
    """Whether this is the class of an answer that says no by its status, HTTP's or gRPC's."""
    return failure.startswith((_STATUS, _CALL_STATUS))


def before_response(*, reset: bool, reused: bool) -> str:
    """Return the class of a connection that ended before the first byte of the answer."""
    if reset:
        return RESET_REUSED if reused else RESET_FRESH
    return CLOSED_REUSED if reused else CLOSED_FRESH


def mid_session(*, reset: bool) -> str:
    """Return the class of a connection that ended while it spoke another protocol than HTTP."""
    return RESET_MID_SESSION if reset else CLOSED_MID_SESSION
