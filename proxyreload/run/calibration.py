"""The instrument's own floor: the same clients straight to the backends, without the proxy."""

from collections.abc import Sequence

from twisted.internet.task import deferLater

from proxyreload.client.interfaces import IConnector
from proxyreload.client.load import FLOOR_MARK, Load
from proxyreload.client.request import PreparedRequest
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Exchange
from proxyreload.plan.settings import Settings
from proxyreload.system.clock import ClockNs
from proxyreload.system.reactor import IReactor
from proxyreload.traffic.get import from_numbered_backend
from proxyreload.verdict.baseline import Floor

FLOOR_S = 1.0


async def measure_floor(
    reactor: IReactor,
    clock_ns: ClockNs,
    connectors: Sequence[IConnector],
    prepared: PreparedRequest,
    settings: Settings,
) -> Floor:
    """Let the same clients, at the same rate, talk to the backends for `FLOOR_S`."""
    floor, bus = Floor(), EventBus()
    bus.subscribe(Exchange, floor.exchanged)
    load = Load(
        reactor=reactor,
        clock_ns=clock_ns,
        bus=bus,
        connectors=connectors,
        prepared=prepared,
        expectation=from_numbered_backend,
        clients=settings.clients,
        timeout_s=settings.timeout_s,
        rate_per_s=settings.rate_per_s,
        probe_rate_per_s=0,
        mark=FLOOR_MARK,
    )
    bus.start(reactor)
    started_ns = clock_ns()
    load.start()
    try:
        await deferLater(reactor, FLOOR_S)
    finally:
        await load.stop()
        load.close()
        bus.stop()
    floor.duration_ns = clock_ns() - started_ns
    return floor
