"""The kind `fresh`: a small GET over a new connection each time."""

from proxyreload.traffic.interfaces import ClientEnd, Kind, Values


class Fresh(ClientEnd):
    """Opens a connection for each request."""

    fresh = True

    def __init__(self, values: Values) -> None:
        """Take no settings."""


kind = Kind(
    "fresh",
    "a small GET over a new connection each time",
    "the same as get",
    Fresh,
    anyone=True,
)
