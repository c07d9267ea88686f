"""Clients that rest, and all send at the first sign that connections are being closed.

What they lose is lost for real: each looks at its own connection right before it sends, so that an end that was seen
already never counts.
"""

from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall

from proxyreload.client.dialogue import Dialogue
from proxyreload.client.interfaces import IConnection
from proxyreload.client.lane import Lane
from proxyreload.client.multiplexed import Multiplexed
from proxyreload.client.parting import Parting
from proxyreload.client.pending import Pending
from proxyreload.history.events import Ending

#: Seconds until one that has lost its connection sends over a new one, which rests then: drawn for each.
ARMED_WITHIN_S = (0.1, 0.4)


class Aiming(Protocol):
    """A client of a volley."""

    opened_ns: int

    def fire(self) -> int:
        """Send now what can be sent, and return how much that was."""


@attrs.define(eq=False)
class Volley:
    """Makes all the clients of a group send when the first of them sees that connections are being closed."""

    clients: list[Aiming] = attrs.field(factory=list)
    fired: int = attrs.field(default=0, init=False)  #: requests sent by it
    _firing: bool = attrs.field(default=False, init=False)

    def fire(self) -> None:
        """Let all that rest send now, the newest connection first; they are armed again at once."""
        if self._firing:  # closings that are seen while they look
            return
        self._firing = True
        try:
            for client in sorted(self.clients, key=lambda client: -client.opened_ns):
                self.fired += client.fire()
        finally:
            self._firing = False


@attrs.define(eq=False)
class Aimer(Dialogue):
    """Rests, and sends when somebody of its volley sees a closing."""

    volley: Volley = attrs.field(factory=Volley, kw_only=True)
    opened_ns: int = attrs.field(default=0, init=False)  #: when its connection was

    def __attrs_post_init__(self) -> None:
        """Be one of them."""
        super().__attrs_post_init__()
        self.volley.clients.append(self)

    def fire(self) -> int:
        """Send now, over the connection that rests; 0 if it does not, or its end is seen first."""
        if self._pause is None or self._connection is None or self._stopped is not None:
            return 0
        self._pause.cancel()
        self._pause = None
        self._begin(0)
        return int(self._pending is not None and bool(self._pending.written_ns))

    def closed(self, connection: IConnection, ending: Ending, message: str) -> None:
        """See it, and tell the others; a request that waits for a connection of its own is sent all the same."""
        super().closed(connection, ending, message)
        self._arm()
        self.volley.fire()

    def broken(self, connection: IConnection, pending: Pending, failure: str, message: str) -> None:
        """See it where it cuts a request of its own, too."""
        super().broken(connection, pending, failure, message)
        self.volley.fire()

    def answered(self, connection: IConnection, pending: Pending) -> None:
        """Take an answer that says ``Connection: close`` as a sign, too."""
        announced = not pending.keep_alive
        super().answered(connection, pending)
        if announced:
            self.volley.fire()

    def _proceed(self, pause_s: float = 0.0) -> None:
        super()._proceed(pause_s)
        self._arm()

    def _arm(self) -> None:
        """Rest not for long without a connection: what comes next, as an old process's end, has a race of its own."""
        if self._connection is None and self._pause is not None:
            _shorten(self._pause, self)

    def _connected(self, connection: IConnection) -> None:
        self.opened_ns = self.clock_ns()
        super()._connected(connection)


@attrs.define(eq=False)
class AimedStreams(Multiplexed):
    """Rests on an HTTP/2 connection, and sends on all its lanes when somebody of its volley sees a closing."""

    volley: Volley = attrs.field(factory=Volley, kw_only=True)
    opened_ns: int = attrs.field(default=0, init=False)  #: when its connection was

    def __attrs_post_init__(self) -> None:
        """Be one of them."""
        super().__attrs_post_init__()
        self.volley.clients.append(self)

    def fire(self) -> int:
        """Send now, on all lanes that rest; 0 if there is no connection, or its end is seen first."""
        if self._connection is None or self._stopped is not None:
            return 0
        resting = [lane for lane in self._lanes if lane.pause is not None]
        for lane in resting:
            lane.cancel_pause()
        for lane in resting:
            self._begin(lane, 0)
        return sum(lane.pending is not None and bool(lane.pending.written_ns) for lane in resting)

    def parting(self, connection: IConnection, parting: Parting) -> None:
        """See a GOAWAY, and tell the others."""
        super().parting(connection, parting)
        self._arm()
        self.volley.fire()

    def closed(self, connection: IConnection, ending: Ending, message: str) -> None:
        """See an end, and tell the others."""
        super().closed(connection, ending, message)
        self._arm()
        self.volley.fire()

    def _proceed(self, lane: Lane, pause_s: float = 0.0) -> None:
        super()._proceed(lane, pause_s)
        self._arm()

    def _arm(self) -> None:
        """Rest not for long without a connection, as `Aimer` does."""
        if self._connection is not None:
            return
        for lane in self._lanes:
            if lane.pause is not None:
                _shorten(lane.pause, self)

    def _connected(self, connection: IConnection) -> None:
        self.opened_ns = self.clock_ns()
        super()._connected(connection)


def _shorten(pause: IDelayedCall, client: Aimer | AimedStreams) -> None:
    """Let a rest end soon, if it does not already."""
    within_s = client.random.uniform(*ARMED_WITHIN_S)
    if pause.getTime() > client.reactor.seconds() + within_s:
        pause.reset(within_s)
