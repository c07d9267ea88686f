"""What a WebSocket is closed with, and why (RFC 6455, 7.4)."""

NORMAL, GOING_AWAY, PROTOCOL_ERROR, INVALID_PAYLOAD, TOO_BIG, SERVICE_RESTART = 1000, 1001, 1002, 1007, 1009, 1012

#: By which an end says that it leaves, whatever the other may have done.
LEAVING = frozenset({GOING_AWAY, SERVICE_RESTART})

_NAMES = {
    NORMAL: "normal closure",
    GOING_AWAY: "going away",
    PROTOCOL_ERROR: "protocol error",
    1003: "unsupported data",
    INVALID_PAYLOAD: "invalid payload",
    1008: "policy violation",
    TOO_BIG: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    SERVICE_RESTART: "service restart",
    1013: "try again later",
    1014: "bad gateway",
}
#: Of libraries and applications.
_FREE = range(3000, 5000)
_CODE_BYTES = 2
#: Of a control frame's payload what is left for the reason.
_REASON_LIMIT = 123


def may_be_sent(code: int) -> bool:
    """Whether a close frame may have this code; some are for ends that saw none."""
    return code in _NAMES or code in _FREE


def spoken(payload: bytes) -> str:
    """Return what a close frame says: ``1001 (going away)``; `payload` is that of a right one."""
    code = code_of(payload)
    if code is None:
        return "without a code"
    return f"{code} ({_NAMES[code]})" if code in _NAMES else str(code)


def code_of(payload: bytes) -> int | None:
    """Return the code of a close frame's payload, None if there is none."""
    return int.from_bytes(payload[:_CODE_BYTES], "big") if len(payload) >= _CODE_BYTES else None


def reason_of(payload: bytes) -> bytes:
    """Return what stands behind the code."""
    return payload[_CODE_BYTES:]


def closing(code: int, reason: bytes = b"") -> bytes:
    """Return the payload of a close frame."""
    return code.to_bytes(_CODE_BYTES, "big") + reason[:_REASON_LIMIT]
