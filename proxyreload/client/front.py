"""What every connection of a client to the proxy is, whatever is spoken on it."""

import errno
import select
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from proxyreload.client.interfaces import IConnectionOwner
from proxyreload.history.events import Shown
from proxyreload.system.clock import ClockNs
from proxyreload.system.sockets import SocketGroup

#: How much of a body is kept for checking.
BODY_KEPT = 64 * 1024
Owner = TypeVar("Owner", bound=IConnectionOwner)


class FrontConnection(Protocol, Generic[Owner]):
    """A connection whose socket is read and written to by a `SocketGroup`, if it is in the clear.

    What the kernel does not take at once, and all of TLS, goes through Twisted's transport, which buffers.
    """

    local_port = 0
    connect_ns = 0
    carried = 0
    #: Whether it looks at its own socket right before each request, and not with the others of its group: where many
    #: send at once the last of them would go by what was seen before the first.
    careful = False
    #: Over TLS: what it speaks, as it is called in the handshake (RFC 7301, 6); what it was shown there; and what is
    #: odd about its end.
    ALPN: Sequence[bytes] = ()
    shown: Shown | None = None
    note = ""

    def __init__(self, owner: Owner, clock_ns: ClockNs, started_ns: int, group: SocketGroup | None = None) -> None:
        """Report to `owner`; the connection was begun at `started_ns`, and its socket is read by `group`."""
        self._owner = owner
        self._clock_ns = clock_ns
        self._started_ns = started_ns
        self._group = group
        self._silenced = False
        self._descriptor = -1
        self._socket_send: Callable[[bytes], int] | None = None
        self._was_reset = False  # which the kernel tells once: to who writes, or to who reads
        self._poll: Callable[[int], list[tuple[int, int]]] | None = None
        #: Write with the others of its group, once each has been looked at.
        self._to_transmit: Callable[[int, Any], None] | None = None

    # The transport's side.

    def connectionMade(self) -> None:
        """Learn the local port, and the way to the socket."""
        transport: Any = self.transport
        self.connect_ns = self._clock_ns() - self._started_ns
        transport.setTcpNoDelay(True)
        self.local_port = transport.getHost().port
        secure: bool = ISSLTransport.providedBy(transport)
        get_handle = getattr(transport.transport if secure else transport, "getHandle", None)
        if get_handle is None:
            self._meet_none(transport, secure=secure)
        else:
            self._meet(get_handle(), secure=secure)

    # The socket group's side.

    def received(self, data: bytes, at_ns: int) -> None:
        """Take what the socket had."""
        raise NotImplementedError

    def transmit(self, *, readable: bool) -> None:
        """Write what waits for it; a request on a connection at rest only if nothing has come there (`readable`)."""
        raise NotImplementedError

    def ended(self, reason: Failure) -> None:
        """Let the transport end as if it had read the end itself."""
        cast(Any, self.transport).connectionLost(reason)

    # The owner's side.

    def has_come(self) -> bool:
        """Whether something has come that has not been read yet, as far as can be known here."""
        return self._has_come()

    def close(self) -> None:
        """Close in order."""
        self._silence()
        if self.transport is not None:
            self.transport.loseConnection()

    def abort(self) -> None:
        """Close at once with a reset."""
        self._silence()
        if self.transport is not None:
            cast(ITCPTransport, self.transport).abortConnection()

    # Its own.

    def _meet_none(self, transport: Any, *, secure: bool) -> None:  # noqa: ANN401
        """Do without a socket: the transport is one in memory, or far away."""

    def _meet(self, handle: Any, *, secure: bool) -> None:  # noqa: ANN401  (a socket)
        group = None if secure else self._group
        if group is None or self.careful:
            # Session tickets may wait on an idle TLS connection: only the end of the stream says that it is gone.
            poll = select.poll()
            poll.register(handle.fileno(), getattr(select, "POLLRDHUP", 0) if secure else select.POLLIN)
            self._poll = poll.poll
        if group is not None:
            cast(Any, self.transport).stopReading()
            self._descriptor = handle.fileno()
            self._socket_send = handle.send
            group.add(handle, self)
            self._to_transmit = None if self.careful else group.to_transmit

    def _has_come(self) -> bool:
        """Whether the socket has something that has not been read yet."""
        return self._poll is not None and bool(self._poll(0))

    def _refused_by(self, error: OSError) -> None:
        """Note why the kernel has taken nothing: the connection is gone, and the reactor will say so."""
        self._was_reset = self._was_reset or error.errno == errno.ECONNRESET

    def _noted(self, message: str) -> str:
        """Return what is told of its end, with what is odd about that."""
        return ", ".join(filter(None, (message, self.note)))

    def _silence(self) -> None:
        """Tell the owner nothing more."""
        self._silenced = True
        self._forget_socket()

    def _forget_socket(self) -> None:
        if self._group is not None and self._descriptor >= 0:
            self._group.remove(self._descriptor)
            self._descriptor = -1
        self._socket_send = self._poll = self._to_transmit = None
