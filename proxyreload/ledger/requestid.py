"""By which id clients and backends alike know a request."""

from proxyreload.history.events import Exchange
from proxyreload.traffic.identity import PROBE_MARK

#: What the ids of the probe begin with.
PROBE_PREFIX = PROBE_MARK.decode("ascii")


def id_of(exchange: Exchange) -> str:
    """Return the id of the request that an exchange is the outcome of."""
    return f"{PROBE_PREFIX if exchange.probe else ''}{exchange.client}-{exchange.number}"
