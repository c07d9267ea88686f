"""By which id clients and backends alike know a request."""

from proxyreload.history.events import Exchange
from proxyreload.traffic.identity import PROBE_MARK

_PROBE_MARK = PROBE_MARK.decode("ascii")


def id_of(exchange: Exchange) -> str:
    """Return the id of the request that an exchange is the outcome of."""
    return f"{_PROBE_MARK if exchange.probe else ''}{exchange.client}-{exchange.number}"
