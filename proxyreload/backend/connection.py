"""What every connection of a proxy to a backend is, whatever is spoken on it."""

from collections.abc import Callable
from typing import Any, cast

import attrs
from twisted.internet.interfaces import IPullProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.backend.served import BackendSite
from proxyreload.history.events import Arrival


@implementer(IPullProducer)
class SocketConnection(Protocol):
    """A connection whose socket is read and written to by a `SocketGroup`, and what is told of its requests.

    What the kernel does not take at once goes through Twisted's transport; all that is written later goes the same way
    until that has nothing left.
    """

    def __init__(self, site: BackendSite) -> None:
        """Belong to `site`."""
        self.site = site
        self._log = site.log
        self._instance = site.log.instance
        self.source_port = 0
        self.carried = 0
        self.probe_only = True
        self.ours = False
        self._unanswered: list[Arrival] = []  # executed, their answers not with the kernel yet
        self._executed_told = 0  # of those, how many have been told of
        self._at_ns = 0
        self._descriptor = -1
        self._socket_send: Callable[[bytes], int] | None = None
        self._gone = False  # the kernel knows already that nobody hears us
        self._buffered = False
        self._draining = False

    def connectionMade(self) -> None:
        """Learn the proxy's port and the way to the socket."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        self.source_port = transport.getPeer().port
        self.site.connections.add(self)
        get_handle = getattr(transport, "getHandle", None)  # a transport in memory has none
        if self.site.group is not None and get_handle is not None:
            handle = get_handle()
            transport.stopReading()
            self._descriptor = handle.fileno()
            self._socket_send = handle.send
            self.site.group.add(handle, self)

    def dataReceived(self, data: bytes) -> None:
        """Take what the transport has read."""
        self.received(data, self._log.clock_ns())
        self.transmit(readable=False)

    # The socket group's side.

    def received(self, data: bytes, at_ns: int) -> None:
        """Take what was read."""
        raise NotImplementedError

    def transmit(self, *, readable: bool) -> None:
        """Write the answers."""
        raise NotImplementedError

    def ended(self, reason: Failure) -> None:
        """Let the transport end as if it had read the end itself."""
        transport: Any = self.transport
        transport.connectionLost(reason)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Say that the proxy closed it, and what it gave up with it."""
        self._forget_socket()
        self._unanswered += self._stop_replying()
        self.site.gone(self)
        self._tell_given_up()
        if not self.ours:
            self._log.closed(self.source_port, self.carried, probe_only=self.probe_only)

    def close(self) -> None:
        """Close at once from this side, which is no news; what was executed has been told."""
        self.ours = True
        self._stop_replying()
        self._forget_requests()
        self._forget_socket()
        cast(ITCPTransport, self.transport).abortConnection()

    def leave(self) -> None:
        """Close from this side, in order, once what is under way is answered."""
        raise NotImplementedError

    def _stop_replying(self) -> list[Arrival]:
        """Reply no more, and return what was to be answered."""
        raise NotImplementedError

    def _forget_requests(self) -> None:
        """Let nothing more be told of them."""
        self._unanswered.clear()

    def _end(self) -> None:
        """Close from this side, behind the last answer."""
        self.ours = True
        self._forget_socket()
        cast(ITCPTransport, self.transport).loseConnection()

    def _forget_socket(self) -> None:
        if self.site.group is not None and self._descriptor >= 0:
            self.site.group.remove(self._descriptor)
            self._descriptor = -1
        self._socket_send = None

    def _write(self, data: bytes) -> bool:
        """Write to the socket; what it does not take, and all that follows, goes through the transport.

        Returns whether the kernel has it all, or whoever is below a transport without a socket.
        """
        if self._socket_send is not None and not self._buffered:
            try:
                taken = self._socket_send(data)
            except BlockingIOError:
                taken = 0
            except OSError:
                self._gone = True  # the reactor will say so, too
                return False
            if taken == len(data):
                return True
            data = data[taken:]
            self._buffered = True
            transport: Any = self.transport
            transport.write(data)
            transport.registerProducer(self, streaming=False)
            return False
        cast(ITCPTransport, self.transport).write(data)
        return not self._buffered

    # IPullProducer: the transport asks for more when the kernel has all that it had.

    def resumeProducing(self) -> None:
        """Say that what was buffered is with the kernel; the first time is when this is registered."""
        if not self._draining:
            self._draining = True
            return
        self._draining = self._buffered = False
        transport: Any = self.transport
        transport.unregisterProducer()
        self._tell_answered()
        if self.site.leaving is not None:
            self.leave()

    def stopProducing(self) -> None:
        """Nothing more is wanted: the connection is lost, which is told as well."""

    # What it tells.

    def _tell_answered(self) -> None:
        unanswered, told = self._unanswered, self._log.told
        now_ns = self._log.clock_ns()
        for arrival in unanswered:
            arrival.answered_ns = now_ns
            told(arrival)
        unanswered.clear()
        self._executed_told = 0

    def _tell_executed(self) -> None:
        """Tell of those whose answers wait for the kernel, which may take long."""
        new, self._executed_told = self._unanswered[self._executed_told :], len(self._unanswered)
        for arrival in new:
            self._log.told(attrs.evolve(arrival))
            arrival.again = True

    def _tell_given_up(self) -> None:
        log, given_up = self._log, self._unanswered
        for arrival in given_up:
            arrival.given_up_ns = log.clock_ns()
            log.told(arrival)
        given_up.clear()
