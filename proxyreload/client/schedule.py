"""When requests are due in an open loop."""

from collections.abc import Sequence
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from proxyreload.history.events import SLIP_NS
from proxyreload.system.alarm import IAlarm, alarm
from proxyreload.system.clock import NS_PER_S, ClockNs

#: So many at most are made due before the reactor has its turn, should the rate be too high to be kept.
_AT_ONCE = 256
#: And so many when it ends: after a stall, what was due meanwhile.
_LAST = 16_384


class Scheduled(Protocol):
    """A client that sends when a schedule says so."""

    def due(self, due_ns: int) -> None:
        """Send a request that is due then."""


@attrs.define(eq=False)
class Schedule:
    """Tells clients in turn that a request is due, at a fixed rate over all of them.

    Request ``j`` belongs to client ``j % n`` and is due ``j / rate_per_s`` after the start, whatever became of those
    before it; `set_rate` moves the start. ``slip_peak_ns`` is by how much the schedule itself has been late at most:
    the instrument's own fault, not the proxy's.
    """

    reactor: IReactorTime
    clock_ns: ClockNs
    clients: Sequence[Scheduled]
    rate_per_s: float
    made_due: int = attrs.field(default=0, init=False)
    slipped: int = attrs.field(default=0, init=False)  #: requests made due later than `SLIP_NS`
    slip_peak_ns: int = attrs.field(default=0, init=False)
    unmade: int = attrs.field(default=0, init=False)  #: due when it ended, and too much to be made due
    _start_ns: int = attrs.field(default=0, init=False)
    _alarm: IAlarm | None = attrs.field(default=None, init=False)

    def start(self) -> None:
        """Make the first request due now; or, stopped before, the next one."""
        self._go_on_at(self.clock_ns())
        self._alarm = alarm(self.reactor, self._ring)
        self._ring()

    def set_rate(self, rate_per_s: float) -> None:
        """Go on at another rate: the next request is due one new interval after the last, but not in the past."""
        last_ns = self._start_ns + int((self.made_due - 1) * NS_PER_S / self.rate_per_s)
        self.rate_per_s = rate_per_s
        if self._alarm is not None:
            self._go_on_at(max(self.clock_ns(), last_ns + int(NS_PER_S / rate_per_s)))
            self._ring()

    def stop(self) -> None:
        """Make due what is due by now, and nothing any more; ``unmade`` is what would have been too much at once."""
        if self._alarm is not None:
            self._alarm.close()
            self._alarm = None
            now_ns = self.clock_ns()
            self._make_due(now_ns, _LAST)
            if self._due_ns() <= now_ns:
                due = int((now_ns - self._start_ns) * self.rate_per_s / NS_PER_S) + 1
                self.unmade += max(0, due - self.made_due)

    def _go_on_at(self, due_ns: int) -> None:
        """Count from where the next request is due at this time."""
        self._start_ns = due_ns - int(self.made_due * NS_PER_S / self.rate_per_s)

    def _due_ns(self) -> int:
        return self._start_ns + int(self.made_due * NS_PER_S / self.rate_per_s)

    def _ring(self) -> None:
        self._make_due(None, _AT_ONCE)
        if self._alarm is not None:
            self._alarm.set(self._due_ns() - self.clock_ns())

    def _make_due(self, until_ns: int | None, at_most: int) -> None:
        """Make due what is due `until_ns`, None: by the time it is looked at."""
        for _turn in range(at_most):
            due_ns, now_ns = self._due_ns(), self.clock_ns()
            if due_ns > (now_ns if until_ns is None else until_ns):
                return
            slip_ns = now_ns - due_ns
            if slip_ns > SLIP_NS:
                self.slipped += 1
                self.slip_peak_ns = max(self.slip_peak_ns, slip_ns)
            client = self.clients[self.made_due % len(self.clients)]
            self.made_due += 1
            client.due(due_ns)
