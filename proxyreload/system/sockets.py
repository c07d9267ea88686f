"""Many sockets read in one go, each stamped as it is read, and written to in one go.

Twisted's reactor reads a socket, lets its protocol do all its work, and goes on to the next socket, whose bytes have
been waiting meanwhile: with ten busy connections most of the time to an answer would be this program's own queue. A
`SocketGroup` is one reader for the reactor; it first reads every socket that is ready, then lets the work be done,
then writes what came of it. It is also the fastest way that Python has: no layer between, and one wake-up of the peer
for many requests.
"""

import select
import socket
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Protocol as Structural

import attrs
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.system.clock import ClockNs

_READ_SIZE = 16 * 1024
_ROUNDS = 4
#: So much may be made before somebody is told.
MADE_AT_ONCE = 128
_GONE = (None, None)
_NONE: frozenset[int] = frozenset()


class Member(Structural):
    """A connection whose socket is in a group."""

    def received(self, data: bytes, at_ns: int) -> None:
        """Take what was read at `at_ns`; what is to be written in answer is announced by `SocketGroup.to_transmit`."""

    def ended(self, reason: Failure) -> None:
        """Take the end of the stream, `ConnectionDone`, or its reset, `ConnectionLost`."""

    def transmit(self, *, readable: bool) -> None:
        """Write now; `readable`: something to read, or an end, has come that has not been read yet."""


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class SocketGroup:
    """Reads and writes for its members."""

    reactor: IReactorFDSet
    clock_ns: ClockNs
    made: Sequence[object] = ()  #: what members make of what they read
    worked: Callable[[], None] = lambda: None  #: called when all that was read is worked on, and much has been made
    looks: bool = True  #: whether members are told, when they write, what has come to their sockets meanwhile
    _epoll: select.epoll = attrs.field(factory=select.epoll, init=False)
    _members: dict[int, tuple[Member, socket.socket]] = attrs.field(factory=dict, init=False)
    _transmitting: list[tuple[int, Member]] = attrs.field(factory=list, init=False)
    _in_turn: bool = attrs.field(default=False, init=False)

    @classmethod
    def on(
        cls,
        reactor: object,
        clock_ns: ClockNs,
        made: Sequence[object] = (),
        worked: Callable[[], None] = lambda: None,
        *,
        looks: bool = True,
    ) -> "SocketGroup | None":
        """Return a group on this reactor, None where there is no epoll."""
        if not hasattr(select, "epoll") or not IReactorFDSet.providedBy(reactor):
            return None
        group = cls(IReactorFDSet(reactor), clock_ns, made, worked, looks)
        group.reactor.addReader(group)
        return group

    def add(self, handle: socket.socket, member: Member) -> None:
        """Read this socket from now on; nobody else may."""
        self._members[handle.fileno()] = (member, handle)
        self._epoll.register(handle.fileno(), select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Read it no more."""
        if self._members.pop(descriptor, None) is not None:
            with suppress(OSError, ValueError):  # a socket, or a group, that is closed already
                self._epoll.unregister(descriptor)

    def rest(self, descriptor: int) -> None:
        """Leave what comes to the kernel's buffers, for a while; an end is not seen either."""
        if descriptor in self._members:
            self._epoll.modify(descriptor, 0)

    def read_on(self, descriptor: int) -> None:
        """Read it again."""
        if descriptor in self._members:
            self._epoll.modify(descriptor, select.EPOLLIN)

    def to_transmit(self, descriptor: int, member: Member) -> None:
        """Let `member` write, when all that was read has been worked on; at once if nothing was."""
        self._transmitting.append((descriptor, member))
        if not self._in_turn:
            self._transmit({ready for ready, _event in self._poll()} if self.looks else _NONE)

    def doRead(self) -> None:
        """Read all, work, write all; and again while there is more, for a while: a turn of the reactor is dear."""
        ready = self._poll()
        for _round in range(_ROUNDS):
            self._work(self._read(ready))
            if len(self.made) >= MADE_AT_ONCE:
                self.worked()
            ready = self._poll() if self.looks or not self._transmitting else []
            if self._transmitting:
                self._transmit({descriptor for descriptor, _event in ready})
                ready = ready or self._poll()
            if not ready:
                return

    def close(self) -> None:
        """Give the group back."""
        if not self._epoll.closed:
            self.reactor.removeReader(self)
            self._epoll.close()
            self._members.clear()

    def fileno(self) -> int:
        """Return the descriptor that is readable when any member's socket is."""
        return -1 if self._epoll.closed else self._epoll.fileno()

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002
        """Close: the reactor ends."""
        self.close()

    def logPrefix(self) -> str:
        """Name this reader in the log."""
        return "sockets"

    def _poll(self) -> list[tuple[int, int]]:
        if self._epoll.closed:  # by what was just worked on
            return []
        return self._epoll.poll(0, len(self._members) or 1)

    def _read(self, ready: list[tuple[int, int]]) -> list[tuple[Member, int, bytes | None, int]]:
        """Read every socket that is ready once, and stamp what was read; None is a reset."""
        read: list[tuple[Member, int, bytes | None, int]] = []
        members, clock_ns = self._members, self.clock_ns
        for descriptor, _event in ready:
            member, handle = members.get(descriptor, _GONE)
            if member is None or handle is None:
                continue
            try:
                read.append((member, descriptor, handle.recv(_READ_SIZE), clock_ns()))
            except BlockingIOError:
                pass
            except OSError:
                read.append((member, descriptor, None, 0))
        return read

    def _work(self, read: list[tuple[Member, int, bytes | None, int]]) -> None:
        """Let members work on what was read; what they want written is written when all have worked."""
        self._in_turn = True
        try:
            for member, descriptor, data, at_ns in read:
                if data:
                    member.received(data, at_ns)
                elif descriptor in self._members:
                    self.remove(descriptor)
                    member.ended(Failure(CONNECTION_LOST if data is None else CONNECTION_DONE))
        finally:
            self._in_turn = False

    def _transmit(self, readable: AbstractSet[int]) -> None:
        """Let members write, knowing to which sockets something has come since they were read."""
        transmitting, self._transmitting = self._transmitting, []
        for descriptor, member in transmitting:
            member.transmit(readable=descriptor in readable)
