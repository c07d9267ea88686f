"""All the clients of a run."""

from collections.abc import Sequence

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

from proxyreload.bus import EventBus
from proxyreload.client.client import Client
from proxyreload.client.expectation import Expectation
from proxyreload.client.interfaces import IConnector
from proxyreload.client.request import PreparedRequest
from proxyreload.client.schedule import Schedule
from proxyreload.clock import NS_PER_S, ClockNs

#: Before the ids of the probe's requests, and of those straight to the backends: by such a letter a backend knows
#: connections that say nothing of the traffic under test.
PROBE_MARK = b"p"
FLOOR_MARK = b"f"

#: The probe's gentle rate.
PROBE_RATE_PER_S = 10.0


@attrs.frozen
class Punctuality:
    """How well an open loop kept its schedule."""

    requests: int
    slipped: int  #: made due too late by the instrument itself (`proxyreload.client.schedule.SLIP_NS`)
    slip_peak_ns: int
    late: dict[int, int]  #: requests that waited for the one before them to be answered, by client
    late_peak_ns: int

    @property
    def kept(self) -> bool:
        """Whether the instrument's own lateness is rare enough (one in a thousand) not to be taken for the proxy's."""
        return self.slipped * 1000 <= self.requests


@attrs.define(eq=False)
class Load:
    """``clients`` persistent clients, numbered from 0, and the probe, numbered after them.

    With `rate_per_s` the clients share an open loop of that many requests/s; without, each is a closed loop.
    """

    reactor: IReactorTime
    clock_ns: ClockNs
    bus: EventBus
    connectors: Sequence[IConnector]  #: dealt out to the clients in turn
    prepared: PreparedRequest
    expectation: Expectation
    clients: int
    timeout_s: float
    rate_per_s: float | None = None
    probe_rate_per_s: float = PROBE_RATE_PER_S
    mark: bytes = b""
    _clients: list[Client] = attrs.field(factory=list, init=False)
    _schedules: list[Schedule] = attrs.field(factory=list, init=False)

    def start(self) -> None:
        """Start them all."""
        persistent = [self._client(number) for number in range(self.clients)]
        self._clients += persistent
        if self.rate_per_s is not None:
            self._schedules.append(Schedule(self.reactor, self.clock_ns, persistent, self.rate_per_s))
        if self.probe_rate_per_s:
            probe = self._client(self.clients, probe=True)
            self._clients.append(probe)
            self._schedules.append(Schedule(self.reactor, self.clock_ns, [probe], self.probe_rate_per_s))
        for client in self._clients:
            client.start()
        for schedule in self._schedules:
            schedule.start()

    def stop(self) -> Deferred[list[tuple[bool, None]]]:
        """Send nothing more; fires when every exchange under way has its outcome."""
        for schedule in self._schedules:
            schedule.stop()
        return DeferredList([client.stop() for client in self._clients])

    def punctuality(self) -> Punctuality | None:
        """Say how well the open loop was kept; None without a rate."""
        if self.rate_per_s is None:
            return None
        schedule, clients = self._schedules[0], self._clients[: self.clients]
        return Punctuality(
            requests=schedule.made_due,
            slipped=schedule.slipped,
            slip_peak_ns=schedule.slip_peak_ns,
            late={client.number: client.late for client in clients if client.late},
            late_peak_ns=max(client.late_peak_ns for client in clients),
        )

    def abort(self) -> None:
        """End every exchange that is under way as aborted."""
        for client in self._clients:
            client.abort()

    def _client(self, number: int, *, probe: bool = False) -> Client:
        return Client(
            number=number,
            reactor=self.reactor,
            connector=self.connectors[number % len(self.connectors)],
            prepared=self.prepared,
            expectation=self.expectation,
            bus=self.bus,
            clock_ns=self.clock_ns,
            timeout_ns=round(self.timeout_s * NS_PER_S),
            open_loop=probe or self.rate_per_s is not None,
            probe=probe,
            mark=PROBE_MARK if probe else self.mark,
        )
