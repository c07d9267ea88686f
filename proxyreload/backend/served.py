"""What all connections to one backend have in common."""

from email.utils import formatdate
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from proxyreload.backend.log import BackendLog
from proxyreload.backend.resource import BackendResource
from proxyreload.system.sockets import SocketGroup


class Served(Protocol):
    """One of them."""

    def close(self) -> None:
        """Close at once."""

    def leave(self) -> None:
        """Close once what is under way is answered."""


class BackendSite:
    """A backend's resource and log, its connections, and how they go when it leaves."""

    def __init__(
        self, resource: BackendResource, log: BackendLog, reactor: IReactorTime, group: SocketGroup | None = None
    ) -> None:
        """Serve `resource`, tell `log` what happens, let `reactor` wait, and `group` read and write."""
        self.reactor = reactor
        self.resource = resource
        self.log = log
        self.group = group
        self.connections: set[Served] = set()
        self.leaving: Deferred[None] | None = None  #: fires when the last connection is gone

    def leave(self) -> Deferred[None]:
        """Close every connection once what is under way on it is answered; fires when the last is gone."""
        self.leaving = Deferred()
        for connection in tuple(self.connections):
            connection.leave()
        self._look_whether_all_are_gone()
        return self.leaving

    def gone(self, connection: Served) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        self._look_whether_all_are_gone()

    def encode(self, request_id: bytes, source_port: int, now_s: int) -> bytes:
        """Return the bytes of the resource's answer (RFC 9112, 4; RFC 9110, 6.6.1)."""
        answer = self.resource.answer(request_id, source_port)
        fields = (
            (b"Date", formatdate(now_s, usegmt=True).encode("ascii")),
            *answer.fields,
            (b"Content-Length", b"%d" % len(answer.body)),
        )
        head = b"".join([b"\r\n%b: %b" % field for field in fields])
        return b"HTTP/1.1 200 OK%b\r\n\r\n%b" % (head, answer.body)

    def _look_whether_all_are_gone(self) -> None:
        if self.leaving is not None and not self.leaving.called and not self.connections:
            self.leaving.callback(None)
