"""When requests are due in an open loop."""

from collections.abc import Sequence

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from proxyreload.client.client import Client
from proxyreload.clock import NS_PER_S, ClockNs


@attrs.define(eq=False)
class Schedule:
    """Tells clients in turn that a request is due, at a fixed rate over all of them.

    Request ``j`` belongs to client ``j % n`` and is due ``j / rate_per_s`` after the start, whatever became of those
    before it. ``slip_peak_ns`` is by how much the schedule itself has been late at most: the instrument's own fault,
    not the proxy's.
    """

    reactor: IReactorTime
    clock_ns: ClockNs
    clients: Sequence[Client]
    rate_per_s: float
    slip_peak_ns: int = attrs.field(default=0, init=False)
    _start_ns: int = attrs.field(default=0, init=False)
    _next: int = attrs.field(default=0, init=False)
    _call: IDelayedCall | None = attrs.field(default=None, init=False)

    def start(self) -> None:
        """Make the first request due now."""
        self._start_ns = self.clock_ns()
        self._tick()

    def stop(self) -> None:
        """Make nothing due any more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _due_ns(self) -> int:
        return self._start_ns + int(self._next * NS_PER_S / self.rate_per_s)

    def _tick(self) -> None:
        self._call = None
        now_ns = self.clock_ns()
        due_ns = self._due_ns()
        self.slip_peak_ns = max(self.slip_peak_ns, now_ns - due_ns)
        while due_ns <= now_ns:
            client = self.clients[self._next % len(self.clients)]
            self._next += 1
            client.due(due_ns)
            due_ns = self._due_ns()
        delay_s = max(0, due_ns - self.clock_ns()) / NS_PER_S
        self._call = self.reactor.callLater(delay_s, self._tick)
