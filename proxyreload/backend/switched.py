"""A connection on which a backend speaks another protocol than HTTP (RFC 9110, 7.8)."""

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from proxyreload.backend.replying import head_of
from proxyreload.traffic.interfaces import Reply, Session

#: Seconds that a backend which leaves waits for the other end to say that it has heard of it.
HEARD_WITHIN_S = 5.0


@attrs.define(eq=False)
class Switched:
    """Hands what comes to the session of a reply, writes what that says, and tells when it is over."""

    reactor: IReactorTime
    reply: Reply
    write: Callable[[bytes], object]
    done: Callable[[], None]  #: called once, with the last byte
    _session: Session = attrs.field(init=False)
    _call: IDelayedCall | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with the session that the reply has."""
        assert self.reply.session is not None  # noqa: S101
        self._session = self.reply.session

    def start(self) -> None:
        """Say that protocols are switched."""
        self.write(head_of(self.reply, close=False))

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        said = self._session.take(data) if data else b""
        if said:
            self.write(said)
        if self._session.over:
            self.stop()
            self.done()

    def leave(self) -> None:
        """Say that this end leaves, and wait for the other's answer, but not for ever."""
        said = self._session.leave()
        if said:
            self.write(said)
            self._call = self.reactor.callLater(HEARD_WITHIN_S, self._unheard)

    def stop(self) -> None:
        """Wait for nothing more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _unheard(self) -> None:
        self._call = None
        self.done()
