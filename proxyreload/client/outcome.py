"""What a client tells of one request: the one outcome that it had."""

import errno
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.error import ConnectError, ConnectionRefusedError, TimeoutError  # noqa: A004
from twisted.python.failure import Failure

from proxyreload.client.interfaces import IConnection
from proxyreload.client.pending import Pending
from proxyreload.client.sender import Sender
from proxyreload.history import failures
from proxyreload.history.events import Exchange
from proxyreload.system.untrusted import printable
from proxyreload.traffic.identity import port_number

#: What connect(2) and socket(2) fail with when this host, or this process, has no more to give.
_OWN_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN})
_VALUES_KEPT = 4096
T = TypeVar("T")


class Values(dict[bytes, T]):
    """What is made of a header's values, each time once. Bounded: a proxy could invent them.

    A dictionary, for nearly all have been seen before, and a call costs more than to look them up.
    """

    def __init__(self, make: Callable[[bytes], T]) -> None:
        """Let `make` make it."""
        super().__init__()
        self._make = make

    def __missing__(self, value: bytes) -> T:
        made = self._make(value)
        if len(self) < _VALUES_KEPT:
            self[value] = made
        return made


#: A ``Backend-Id`` as text that can be shown, a ``Source-Port`` as a number.
instances = Values(lambda value: printable(value, 64))
ports = Values(port_number)


def connection_failure(reason: Failure) -> tuple[str, str]:
    """Return the class and the message of a connection that could not be opened."""
    if reason.check(ConnectionRefusedError) is not None:
        return failures.REFUSED, ""
    if reason.check(TimeoutError) is not None:
        return failures.CONNECT_TIMEOUT, ""
    error = reason.value
    if (error.errno if isinstance(error, OSError) else getattr(error, "osError", None)) in _OWN_LIMITS:
        return failures.OWN_LIMIT, printable(reason.getErrorMessage())
    name = "" if reason.check(ConnectError) is not None else f"{type(reason.value).__name__}: "
    return failures.CONNECT_ERROR, name + printable(reason.getErrorMessage())


def outcome(
    client: Sender,
    connection: IConnection | None,
    connection_number: int,
    pending: Pending,
    ended_ns: int,
    failure: str,
    message: str,
    made: Callable[..., Exchange] = Exchange,
) -> Exchange:
    """Return the exchange that a client's request has come to, over its so manyth connection, or over none."""
    if connection is None:
        return Exchange(
            client=client.number,
            number=pending.number,
            due_ns=pending.due_ns or pending.begun_ns,
            written_ns=0,
            first_byte_ns=0,
            ended_ns=ended_ns,
            connect_ns=ended_ns - pending.begun_ns,
            connection=-1,
            carried=0,
            front_port=0,
            status=0,
            failure=failure,
            message=message,
            instance="",
            back_port=0,
            announced=False,
            probe=client.probe,
            kind=client.kind,
            plain=client.plain,
            long=client.long,
        )
    written_ns = pending.written_ns
    carried = pending.carried if written_ns else connection.carried
    return made(
        client.number,
        pending.number,
        pending.due_ns or written_ns or ended_ns,
        written_ns,
        pending.first_byte_ns,
        ended_ns,
        0 if carried else connection.connect_ns,
        connection_number,
        carried,
        connection.local_port,
        pending.status,
        failure,
        message,
        instances[pending.instance],
        ports[pending.back_port],
        not pending.keep_alive,
        client.probe,
        client.kind,
        client.plain,
        client.long,
    )
