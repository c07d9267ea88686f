"""The instrument's own baseline: the same clients straight to the backends, without the proxy."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import attrs
from twisted.internet.task import deferLater

from proxyreload.client.interfaces import IConnector
from proxyreload.client.load import Crowd, Load
from proxyreload.client.request import PreparedRequest
from proxyreload.history.bus import EventBus
from proxyreload.history.events import BaselineTaken, Exchange, KindTaken
from proxyreload.plan.settings import LoadSettings
from proxyreload.system.clock import NS_PER_US, ClockNs
from proxyreload.system.reactor import IReactor
from proxyreload.traffic.get import from_numbered_backend
from proxyreload.traffic.identity import BASELINE_MARK, PLAIN_KIND

BASELINE_S = 1.0


@attrs.define(eq=False)
class Taking:
    """Counts exchanges of one kind."""

    latencies_us: Counter[int] = attrs.field(factory=Counter)
    failures: Counter[str] = attrs.field(factory=Counter)
    exchanges: int = 0

    def exchanged(self, exchanges: Sequence[Exchange]) -> None:
        """Take a batch."""
        self.exchanges += len(exchanges)
        self.latencies_us.update([each.latency_ns // NS_PER_US for each in exchanges if not each.failure])
        self.failures.update([each.failure for each in exchanges if each.failure])

    @property
    def taken(self) -> KindTaken:
        """What was counted."""
        return KindTaken(dict(self.latencies_us), self.exchanges, dict(self.failures))


async def take_baseline(
    reactor: IReactor,
    clock_ns: ClockNs,
    connectors: Sequence[IConnector],
    prepared: PreparedRequest,
    settings: LoadSettings,
    crowds: Sequence[Crowd] = (),
) -> BaselineTaken:
    """Let the same clients, at the same rate, talk to the backends for `BASELINE_S`, and beside them the crowds."""
    by_kind: defaultdict[str, Taking] = defaultdict(Taking)
    bus = EventBus()

    def exchanged(exchanges: Sequence[Exchange]) -> None:
        for kind in {each.kind for each in exchanges}:
            by_kind[kind].exchanged([each for each in exchanges if each.kind == kind])

    bus.subscribe(Exchange, exchanged)
    load = Load(
        reactor=reactor,
        clock_ns=clock_ns,
        sink=bus,
        connectors=connectors,
        prepared=prepared,
        expectation=from_numbered_backend,
        clients=settings.clients,
        timeout_s=settings.timeout_s,
        rate_per_s=settings.rate_per_s,
        probe_rate_per_s=0,
        mark=BASELINE_MARK,
        crowds=crowds,
        seed=settings.seed,
    )
    bus.start(reactor)
    started_ns = clock_ns()
    load.start()
    try:
        await deferLater(reactor, BASELINE_S)
    finally:
        try:
            await load.stop()
        finally:  # also where nobody wants to wait for it
            load.abort()
            load.close()
            bus.stop()
    at_ns = clock_ns()
    plain = by_kind.pop(PLAIN_KIND, Taking()).taken
    kinds = {kind: taking.taken for kind, taking in by_kind.items()}
    return BaselineTaken(plain.latencies_us, plain.exchanges, plain.failures, at_ns - started_ns, at_ns, kinds)
