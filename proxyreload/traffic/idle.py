"""The kind `idle`: rests between requests, on a connection that outlives the change."""

from proxyreload.system.bounds import Bound
from proxyreload.traffic.interfaces import ClientEnd, Key, Kind, Values

KEYS = {"gap": Key((1.0, 5.0), Bound(0, 3600), "seconds of rest between two, drawn from this range")}


class Idle(ClientEnd):
    """Sends a small GET, and rests."""

    def __init__(self, values: Values) -> None:
        """Draw rests from `gap`."""
        gap = values["gap"]
        assert isinstance(gap, tuple)  # noqa: S101
        self.rest_s = gap


kind = Kind(
    "idle",
    "rests between requests, on a connection that outlives the change",
    "the same as get",
    Idle,
    keys=KEYS,
    anyone=True,
    quiet=(40, {}),
    brief={"gap": (0.05, 0.1)},
)
