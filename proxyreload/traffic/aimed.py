"""The kind `aimed`: rests until connections are being closed, and sends at that very moment.

The keep-alive race is open for a millisecond or two after the first closing, while the proxy goes through its idle
connections. Whoever sends by chance meets it once in a thousand requests; these meet it nearly always.
"""

from proxyreload.system.bounds import Bound
from proxyreload.traffic.h2 import OVER_HTTP2
from proxyreload.traffic.idle import Idle
from proxyreload.traffic.interfaces import Key, Kind, Values

KEYS = {
    "gap": Key((1.0, 3.0), Bound(0.01, 3600), "seconds of rest between volleys, drawn from this range"),
    "streams": OVER_HTTP2,
}


class Aimed(Idle):
    """Rests as `idle` does, but for the volleys."""

    aimed = True

    def __init__(self, values: Values) -> None:
        """Rest `gap` between volleys, on all of its `streams`."""
        super().__init__(values)
        self.streams = int(values["streams"])  # type: ignore[arg-type]


kind = Kind(
    "aimed",
    "rests; the first closing that any of them sees makes all the others send at once, the newest first",
    "the same as get; nothing of a connection whose end was seen before it sent",
    Aimed,
    keys=KEYS,
    anyone=True,
    quiet=(100, {}),
    brief={"gap": (0.05, 0.1)},
    clients=100,
)
