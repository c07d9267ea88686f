"""All the clients of a run."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from proxyreload.client.client import Client
from proxyreload.client.dialogue import Dialogue
from proxyreload.client.interfaces import IConnector
from proxyreload.client.multiplexed import Multiplexed
from proxyreload.client.request import HTTP2Request, KindRequest, PreparedRequest
from proxyreload.client.schedule import Schedule
from proxyreload.client.volley import AimedStreams, Aimer, Volley
from proxyreload.history.events import Holding, ScheduleKept
from proxyreload.history.interfaces import Sink
from proxyreload.system.clock import NS_PER_S, ClockNs
from proxyreload.traffic.identity import PLAIN_KIND, PROBE_KIND, PROBE_MARK
from proxyreload.traffic.interfaces import ClientEnd, Expectation

#: What anybody may repeat (RFC 9110, 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
#: What is due when the clients stop is sent for so long at most.
DRAIN_LIMIT_S = 1.0
#: The clients of a crowd begin one after another, within so long: a hundred who connect at once are a burst that takes
#: the distance of all others longer, and go on in step.
BEGIN_WITHIN_S = 1.0


@attrs.frozen
class Crowd:
    """Clients of one kind with the same settings, and what they need."""

    kind: str
    clients: int
    end: Callable[[], ClientEnd]  #: makes one client's end
    prepared: PreparedRequest | KindRequest | HTTP2Request
    connector: IConnector
    rate_per_s: float | None = None


@attrs.define(eq=False)
class Load:
    """``clients`` persistent clients, numbered from 0, then those of each crowd, and the probe, numbered last.

    With `rate_per_s` the clients share an open loop of that many requests/s; without, each is a closed loop.
    """

    reactor: IReactorTime
    clock_ns: ClockNs
    sink: Sink
    connectors: Sequence[IConnector]  #: dealt out to the clients in turn
    prepared: PreparedRequest
    expectation: Expectation
    clients: int
    timeout_s: float
    rate_per_s: float | None = None
    probe_rate_per_s: float = 0.0
    mark: bytes = b""
    crowds: Sequence[Crowd] = ()
    seed: int = 0
    _clients: list[Client | Multiplexed] = attrs.field(factory=list, init=False)
    #: Of the persistent clients, once there is a rate.
    _schedule: Schedule | None = attrs.field(default=None, init=False)
    _probe_schedule: Schedule | None = attrs.field(default=None, init=False)
    _others: list[Schedule] = attrs.field(factory=list, init=False)  # of crowds with a rate
    sending: bool = attrs.field(default=False, init=False)
    _begins_s: dict[int, float] = attrs.field(factory=dict, init=False)  # when those of crowds begin, if not at once
    _beginning: list[IDelayedCall] = attrs.field(factory=list, init=False)

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of traffic of each client, by what its ids begin with."""
        kinds = [PLAIN_KIND] * self.clients
        for crowd in self.crowds:
            kinds += [crowd.kind] * crowd.clients
        told = {f"{self.mark.decode('ascii')}{number}": kind for number, kind in enumerate(kinds)}
        if self.probe_rate_per_s:
            told[f"{PROBE_MARK.decode('ascii')}{len(kinds)}"] = PROBE_KIND
        return told

    def start(self) -> None:
        """Start them all."""
        self.sending = True
        persistent = [self._client(number) for number in range(self.clients)]
        self._clients += persistent
        if self.rate_per_s is not None:
            self._schedule = Schedule(self.reactor, self.clock_ns, persistent, self.rate_per_s)
        for crowd in self.crowds:
            self._gather(crowd)
        if self.probe_rate_per_s:
            probe = self._client(len(self._clients), probe=True)
            self._clients.append(probe)
            self._probe_schedule = Schedule(self.reactor, self.clock_ns, [probe], self.probe_rate_per_s)
        for client in self._clients:
            delay_s = self._begins_s.get(client.number)
            if delay_s:
                self._beginning.append(self.reactor.callLater(delay_s, client.start))
            else:
                client.start()
        for schedule in self._schedules:
            schedule.start()

    def holdings(self) -> dict[int, Holding]:
        """Return whose connection each is that outlives its request, by its port here."""
        whose: dict[int, Holding] = {}
        for client in self._clients:
            if not client.fresh:
                whose |= client.holdings()
        return whose

    @property
    def aimed(self) -> frozenset[str]:
        """The kinds that are sent at the moment at which connections are being closed."""
        return frozenset(crowd.kind for crowd in self.crowds if crowd.end().aimed)

    @property
    def many(self) -> dict[int, int]:
        """How many exchanges the clients have at once that have several, by their numbers."""
        told, first = {}, self.clients
        for crowd in self.crowds:
            streams = crowd.end().streams
            if streams:
                told.update(dict.fromkeys(range(first, first + crowd.clients), streams))
            first += crowd.clients
        return told

    @property
    def unsafe(self) -> frozenset[str]:
        """The kinds whose requests are not idempotent (RFC 9110, 9.2.2)."""
        return frozenset(crowd.kind for crowd in self.crowds if crowd.end().method not in IDEMPOTENT)

    def set_rate(self, rate_per_s: float | None) -> None:
        """Go on at another rate; None: in a closed loop. Requests that were due already keep their due times."""
        if not self.sending:
            return
        persistent, before = self._plain, self.rate_per_s
        self.rate_per_s = rate_per_s
        if rate_per_s is None:
            if self._schedule is not None:
                self._schedule.stop()
        elif self._schedule is None:
            self._schedule = Schedule(self.reactor, self.clock_ns, persistent, rate_per_s)
        else:
            self._schedule.set_rate(rate_per_s)
        for client in persistent:
            client.follow(schedule=rate_per_s is not None)
        if before is None and self._schedule is not None and rate_per_s is not None:
            self._schedule.start()

    def stop(self) -> Deferred[list[tuple[bool, None]]]:
        """Send nothing but what is due already, for a while; fires when every exchange has its outcome."""
        self.sending = False
        for beginning in self._beginning:
            if beginning.active():
                beginning.cancel()
        for schedule in self._schedules:
            schedule.stop()
        stopping = DeferredList([client.stop() for client in self._clients])
        if not stopping.called:
            dropping = self.reactor.callLater(DRAIN_LIMIT_S, self._drop)
            stopping.addCallback(_stopped, dropping)
        return stopping

    def _gather(self, crowd: Crowd) -> None:
        """Make a crowd's clients."""
        volley, first = Volley(), len(self._clients)
        clients: list[Client | Multiplexed] = []
        for number in range(first, first + crowd.clients):
            end = crowd.end()
            common: dict[str, Any] = {
                "number": number,
                "reactor": self.reactor,
                "connector": crowd.connector,
                "prepared": crowd.prepared,
                "expectation": self.expectation,
                "sink": self.sink,
                "clock_ns": self.clock_ns,
                "timeout_ns": round(self.timeout_s * NS_PER_S),
                "open_loop": crowd.rate_per_s is not None,
                "fresh": end.fresh,
                "kind": crowd.kind,
                "plain": False,
                "long": bool(end.lasts_s),
                "mark": self.mark,
                "end": end,
                "random": Random(f"{self.seed} {number}"),  # noqa: S311
            }
            self._begins_s[number] = (number - first) / crowd.clients * BEGIN_WITHIN_S
            made = _CLIENTS[bool(end.streams), end.aimed]
            clients.append(made(**common, volley=volley) if end.aimed else made(**common))
        self._clients += clients
        if crowd.rate_per_s is not None:
            self._others.append(Schedule(self.reactor, self.clock_ns, clients, crowd.rate_per_s))

    def _drop(self) -> None:
        for client in self._clients:
            client.drop()

    def close(self) -> None:
        """Close every connection, once all have stopped."""
        for client in self._clients:
            client.close()

    def punctuality(self) -> ScheduleKept | None:
        """Say how well the open loop was kept; None if there was no rate."""
        schedule, clients = self._schedule, self._plain
        if schedule is None:
            return None
        return ScheduleKept(
            requests=schedule.made_due + schedule.unmade,
            slipped=schedule.slipped,
            slip_peak_ns=schedule.slip_peak_ns,
            late={client.number: client.late for client in clients if client.late},
            late_peak_ns=max(client.late_peak_ns for client in clients),
            never_sent=schedule.unmade + sum(client.never_sent for client in clients),
            at_ns=self.clock_ns(),
        )

    def abort(self) -> None:
        """End every exchange that is under way as aborted."""
        for client in self._clients:
            client.abort()

    @property
    def _plain(self) -> list[Client]:
        """The clients that were asked for by number."""
        return [client for client in self._clients[: self.clients] if isinstance(client, Client)]

    @property
    def _schedules(self) -> list[Schedule]:
        own = [schedule for schedule in (self._schedule, self._probe_schedule) if schedule is not None]
        return own + self._others

    def _client(self, number: int, *, probe: bool = False) -> Client:
        return Client(
            number=number,
            reactor=self.reactor,
            connector=self.connectors[number % len(self.connectors)],
            prepared=self.prepared,
            expectation=self.expectation,
            sink=self.sink,
            clock_ns=self.clock_ns,
            timeout_ns=round(self.timeout_s * NS_PER_S),
            open_loop=probe or self.rate_per_s is not None,
            probe=probe,
            kind=PROBE_KIND if probe else PLAIN_KIND,
            mark=PROBE_MARK if probe else self.mark,
        )


#: Whether a kind's clients have many exchanges at once, and whether they are aimed.
_CLIENTS: dict[tuple[bool, bool], Callable[..., Client | Multiplexed]] = {
    (False, False): Dialogue,
    (False, True): Aimer,
    (True, False): Multiplexed,
    (True, True): AimedStreams,
}


def _stopped(outcomes: list[tuple[bool, None]], dropping: IDelayedCall) -> list[tuple[bool, None]]:
    if dropping.active():
        dropping.cancel()
    return outcomes
