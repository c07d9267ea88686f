"""The page's connections: so many at most, and none that keeps us waiting for ever.

A run shares its file descriptors with the page: who opens connections and says nothing, says a byte now and then, or
reads nothing of what it asked for, must not leave the clients without.
"""

from collections.abc import Iterable, Iterator
from typing import cast

import attrs
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request
from twisted.web.resource import IResource
from twisted.web.server import Site

from proxyreload.web.guard import BoundedRequest
from proxyreload.web.place import CONNECTIONS_AT_MOST

#: So many of them are kept free, by closing those that only wait.
SPARE = 8
#: Seconds in which a whole request must have come, from when the connection was made or the answer before was given.
REQUEST_S = 10.0
#: Seconds in which a reader must have taken all that waits for it; more than 64 KiB never do, but of one answer.
READER_S = 30.0


class Connection(HTTPChannel):
    """One connection, which waits for a request, answers it, and may have to wait for its reader.

    Twisted's own time-out begins anew with every byte, and knows nothing of readers. Requests that are sent before the
    one before is answered are answered when its answer has been taken: what waits here for a reader is bounded.
    """

    factory: "PageSite"
    transport: ITCPTransport
    answering = False
    unread = False  #: an answer waits for its reader
    leaving = False  #: is closed as soon as all is read
    aborted = False
    _answered: Request | None = None  # its answer waits for the reader, and what comes after it for both
    _deadline: IDelayedCall | None = None

    @property
    def waits(self) -> bool:
        """Whether nobody loses anything but patience if it is closed."""
        return not self.aborted and (self.unread or self.leaving or not self.answering)

    def abort(self) -> None:
        """Close it, whatever has still to be read.

        Its place is free at once: its socket is closed in the reactor's next round, and until then all that came in
        this one would be turned away.
        """
        self.aborted = self.leaving = True
        self._expect(None)
        self.factory.connections.remove(self)
        self.transport.abortConnection()

    def connectionMade(self) -> None:
        """Wait for a request."""
        self.factory.connections.add(self)
        self._expect(REQUEST_S)
        super().connectionMade()

    def allContentReceived(self) -> None:
        """Answer."""
        self.answering = True
        if not self.unread:
            self._expect(None)
        super().allContentReceived()

    def requestDone(self, request: Request) -> None:
        """Wait for the next request, once the answer to this one is taken."""
        if self.unread:
            self._answered = request
            return
        self.answering = False
        if not self.leaving:
            self._expect(REQUEST_S)
        super().requestDone(request)

    def pauseProducing(self) -> None:
        """Wait for the reader."""
        if not self.unread:
            self.unread = True
            self._expect(READER_S)
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Go on: all is taken."""
        self.unread = False
        if not self.leaving:
            self._expect(None if self.answering else REQUEST_S)
        super().resumeProducing()
        answered, self._answered = self._answered, None
        if answered is not None:
            self.requestDone(answered)

    def headerReceived(self, line: bytes) -> bool:
        """Take a header; returns whether it is one."""
        try:
            return bool(super().headerReceived(line))
        except ValueError:  # a length of thousands of digits
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            self.loseConnection()
            return False

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: ARG002
        """End it: nobody needs so long a line."""
        self.loseConnection()

    def loseConnection(self) -> None:
        """Close it when all is read, or the reader has had its time."""
        if not self.leaving:
            self.leaving = True
            self._expect(READER_S)
        super().loseConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Forget it."""
        self.leaving = True
        self._expect(None)
        self.factory.connections.remove(self)
        super().connectionLost(reason)

    def _expect(self, within_s: float | None) -> None:
        """Wait for what comes next, so long at most; None: for as long as it takes us."""
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()
        if within_s is not None:
            self._deadline = self.callLater(within_s, self._too_late)
            self.factory.connections.waits(self)

    def _too_late(self) -> None:
        self._deadline = None
        if self.unread or self.leaving:
            self.abort()
        else:
            self.loseConnection()


@attrs.define(eq=False)
class Connections:
    """All of them, those first that have waited longest."""

    _all: dict[Connection, None] = attrs.field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._all))

    def add(self, connection: Connection) -> None:
        """Count one more."""
        self._all[connection] = None

    def waits(self, connection: Connection) -> None:
        """Note that it begins to wait."""
        if connection in self._all:
            del self._all[connection]
            self._all[connection] = None

    def remove(self, connection: Connection) -> None:
        """Count one less."""
        self._all.pop(connection, None)

    def room(self) -> bool:
        """Return whether there is room for one more; when it gets scarce, one that only waits is closed."""
        if len(self._all) >= CONNECTIONS_AT_MOST - SPARE:
            found = _longest(self._all)
            if found is not None:
                found.abort()
        return len(self._all) < CONNECTIONS_AT_MOST


def _longest(connections: Iterable[Connection]) -> Connection | None:
    """Return the one that is to be closed first: that owes us a request, or else that does not read."""
    waiting = [each for each in connections if each.waits]
    return next((each for each in waiting if not (each.unread or each.leaving)), waiting[0] if waiting else None)


class _TurnedAway(Protocol):
    """One for which there is no room."""

    def connectionMade(self) -> None:
        """Close it."""
        cast(ITCPTransport, self.transport).abortConnection()


class PageSite(Site):
    """Serves the page over HTTP/1.1, and keeps no log of who asked for what."""

    protocol = Connection  # type: ignore[assignment]  # Twisted declares its own

    def __init__(self, served: IResource, reactor: IReactorTime, *, secure: bool = False) -> None:
        """Serve `served`, which is asked for within TLS if `secure`."""
        super().__init__(served, BoundedRequest, timeout=None, reactor=reactor)
        self.connections = Connections()
        self.secure = secure

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:  # type: ignore[override]
        """Return what serves a connection, None if there is no room."""
        if not self.connections.room():
            # The factory within TLS takes no None for a connection.
            return _TurnedAway() if self.secure else None
        return cast(Protocol, super().buildProtocol(addr))

    def acceptableProtocols(self) -> list[bytes]:
        """Return what TLS may agree on."""
        return [b"http/1.1"]

    def log(self, request: Request) -> None:
        """Say nothing."""
