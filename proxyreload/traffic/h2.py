"""The kind `h2`: several small GETs at once on one HTTP/2 connection (RFC 9113)."""

from proxyreload.system.bounds import Bound, WholeBound
from proxyreload.traffic.interfaces import ClientEnd, Key, Kind, Values

#: What a proxy must speak.
HTTP2 = "HTTP/2"
#: So many streams at once the least of the proxies lets a client have.
STREAMS_MOST = 100
#: For kinds that also go over HTTP/1.1.
OVER_HTTP2 = Key(0, WholeBound(0, STREAMS_MOST), "over HTTP/2, so many at once; 0: over HTTP/1.1, one", ours=True)
KEYS = {
    "streams": Key(10, WholeBound(1, STREAMS_MOST), "requests at once on a client's connection"),
    "gap": Key((0.0, 0.0), Bound(0, 3600), "seconds of rest between two on one stream's place, drawn from this range"),
}


class Streams(ClientEnd):
    """Sends on all its streams, each the next as soon as it has its answer, or after a rest."""

    def __init__(self, values: Values) -> None:
        """Have `streams` at once, and rest `gap` between two."""
        self.streams = int(values["streams"])  # type: ignore[arg-type]
        least_s, most_s = values["gap"]  # type: ignore[misc]
        self.rest_s = (least_s, most_s) if most_s else None


kind = Kind(
    "h2",
    "several small GETs at once on one HTTP/2 connection",
    "each as get; turned away by GOAWAY or REFUSED_STREAM: neither a success nor a loss",
    Streams,
    keys=KEYS,
    anyone=True,
    quiet=(2, {"streams": 5, "gap": (0.5, 1.5)}),
    needs=HTTP2,
    brief={"streams": 2, "gap": (0.05, 0.1)},
)
