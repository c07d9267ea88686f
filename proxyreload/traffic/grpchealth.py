"""gRPC's standard health service, so that anybody's client can ask a backend how it is.

See https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
"""

from collections.abc import Iterator

from proxyreload.system.untrusted import printable
from proxyreload.traffic.grpcmessages import decoded, encoded
from proxyreload.traffic.grpcwire import (
    CONTENT_TYPE,
    INVALID_ARGUMENT,
    NOT_FOUND,
    OK,
    UNAVAILABLE,
    framed,
    only_message,
    status_fields,
)
from proxyreload.traffic.interfaces import Received, Reply

HEALTH_CHECK, HEALTH_WATCH = b"/grpc.health.v1.Health/Check", b"/grpc.health.v1.Health/Watch"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
#: For so long at a time a watch waits: nothing changes until the backend leaves.
_LONG_S = 3600.0


def health(request: Received, services: frozenset[bytes]) -> Reply:
    """Answer a check or a watch of one of these services, or of the whole backend, whose name is empty."""
    message = only_message(request.message)
    try:
        asked = None if message is None else decoded("HealthCheckRequest", message).service
    except ValueError:
        asked = None
    if asked is None:
        return Reply((CONTENT_TYPE, *status_fields(INVALID_ARGUMENT, "no HealthCheckRequest")))
    known = not asked or asked in services
    if request.path == HEALTH_WATCH:
        return Reply(
            (CONTENT_TYPE,),
            pieces=_watch(SERVING if known else SERVICE_UNKNOWN),
            trailers=status_fields(UNAVAILABLE, "this backend leaves"),
            farewell=_status(NOT_SERVING) if known else b"",
        )
    if not known:
        return Reply((CONTENT_TYPE, *status_fields(NOT_FOUND, f"no service {printable(asked, 80)}")))
    return Reply((CONTENT_TYPE,), _status(SERVING), trailers=status_fields(OK))


def _status(status: int) -> bytes:
    return framed(encoded("HealthCheckResponse", status=status))


def _watch(status: int) -> Iterator[tuple[float, bytes]]:
    yield 0.0, _status(status)
    while True:
        yield _LONG_S, b""
