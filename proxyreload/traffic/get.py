"""What a right answer is."""

from collections.abc import Callable

from proxyreload.client.interfaces import IConnection
from proxyreload.history.failures import WRONG_BODY, status_failure
from proxyreload.system.untrusted import printable

#: Judges the whole answer that a connection holds to the request with this id: (failure class, message), both empty
#: for a success.
Expectation = Callable[[IConnection, bytes], tuple[str, str]]

OK = 200
SUCCESS = ("", "")


def numbered_body(instance: bytes, request_id: bytes) -> bytes:
    """Return the body with which the backend `instance` answers the request `request_id`."""
    return b"backend %b answers %b\n" % (instance, request_id)


def from_numbered_backend(connection: IConnection, request_id: bytes) -> tuple[str, str]:
    """Expect 200 and the very body that this backend owes to this request.

    Truncated, corrupted and swapped answers, and pages that the proxy made up itself, are found by it.
    """
    if connection.status != OK:
        return status_failure(connection.status), ""
    if connection.body == numbered_body(connection.instance, request_id) and connection.instance:
        return SUCCESS
    if connection.echoed_id and connection.echoed_id != request_id:
        return WRONG_BODY, f"the answer to request {printable(connection.echoed_id)}"
    if not connection.instance:
        return WRONG_BODY, "not from a backend of ours"
    return WRONG_BODY, printable(connection.body, 80)


def from_anyone(connection: IConnection, request_id: bytes) -> tuple[str, str]:  # noqa: ARG001
    """Expect 200 with a whole body, whatever it is: the backends are somebody else's."""
    if connection.status != OK:
        return status_failure(connection.status), ""
    return SUCCESS
