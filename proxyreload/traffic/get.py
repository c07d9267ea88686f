"""The kind `get`: a small GET, answered by the backend's number and the request's own id."""

from proxyreload.history.failures import WRONG_BODY
from proxyreload.system.untrusted import printable
from proxyreload.traffic.errorpage import refused
from proxyreload.traffic.identity import BACK_PORT_FIELD, ID_FIELD, INSTANCE_FIELD
from proxyreload.traffic.interfaces import Answer, ClientEnd, Kind, Received, Reply, Values

METHOD = "GET"
OK = 200
SUCCESS = ("", "")
_TEXT = b"text/plain; charset=utf-8"


# The backend's end.


def numbered_body(instance: bytes, request_id: bytes) -> bytes:
    """Return the body with which the backend `instance` answers the request `request_id`."""
    return b"backend %b answers %b\n" % (instance, request_id)


def answer_fields(instance: bytes, request_id: bytes, source_port: int) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header fields of that answer, to a request from `source_port`."""
    return (
        (b"Content-Type", _TEXT),
        (INSTANCE_FIELD, instance),
        (BACK_PORT_FIELD, b"%d" % source_port),
        (ID_FIELD, request_id),
    )


class Answering:
    """A backend that answers a small GET."""

    def reply(self, request: Received) -> Reply:
        """Answer it."""
        return Reply(
            answer_fields(request.instance, request.request_id, request.source_port),
            numbered_body(request.instance, request.request_id),
        )


# The client's end.


def from_numbered_backend(answer: Answer, request_id: bytes) -> tuple[str, str]:
    """Expect 200 and the very body that this backend owes to this request.

    Truncated, corrupted and swapped answers, and pages that the proxy made up itself, are found by it.
    """
    if answer.status != OK:
        return refused(answer)
    if answer.body == numbered_body(answer.instance, request_id) and answer.instance:
        return SUCCESS
    if answer.echoed_id and answer.echoed_id != request_id:
        return WRONG_BODY, f"the answer to request {printable(answer.echoed_id)}"
    if not answer.instance:
        return WRONG_BODY, "not from a backend of ours"
    return WRONG_BODY, printable(answer.body, 80)


def from_anyone(answer: Answer, request_id: bytes) -> tuple[str, str]:  # noqa: ARG001
    """Expect 200 with a whole body, whatever it is: the backends are somebody else's."""
    if answer.status != OK:
        return refused(answer)
    return SUCCESS


class Get(ClientEnd):
    """Sends the next as soon as it has its answer, or by a rate."""

    def __init__(self, values: Values) -> None:
        """Take no settings."""


kind = Kind("get", "small GET, the next at once or by --rate", "200, that backend's body for that id", Get, anyone=True)
