"""Who asks the live page for something: what its transport takes, and when."""

from collections.abc import Callable, Iterable

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from proxyreload.web.site import Connection

HERE = IPv4Address("TCP", "127.0.0.1", 8090)
#: As Twisted's transports: more makes them ask for a pause.
ROOM = 65_536


class Socket(StringTransport):
    """A transport whose reader takes what the test lets it."""

    def __init__(self, aborted: Callable[["Socket"], None] | None = None) -> None:
        """Make one; with `aborted` the test closes it, as the reactor does in its next round, else it does so itself."""
        super().__init__(hostAddress=HERE)
        self._aborted = aborted or Socket.close
        self.waiting = 0
        self.closed = False
        self.connection: Connection | None = None

    def write(self, data: bytes) -> None:
        super().write(data)
        self.waiting += len(data)
        if self.waiting > ROOM and self.producer is not None:
            self.producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def read(self) -> None:
        """Take all that waits."""
        self.waiting = 0
        if self.producer is not None:
            self.producer.resumeProducing()
        if self.disconnecting:
            self.close()

    def loseConnection(self) -> None:
        self.disconnecting = True
        if self.waiting <= ROOM:  # the kernel takes as much
            self.close()

    def abortConnection(self) -> None:
        self._aborted(self)

    def close(self) -> None:
        """Be closed."""
        if not self.closed:
            self.closed = True
            assert self.connection is not None
            self.connection.connectionLost(Failure(ConnectionDone()))

    @property
    def answers(self) -> int:
        """How many answers have been written."""
        return bytes(self.value()).count(b"HTTP/1.1 200 OK")
