"""The kind `upload`: a large body, sent in pieces over a while: over HTTP/1.1 chunked (RFC 9112, 7.1)."""

from collections.abc import Iterator

from proxyreload.system.bounds import Bound
from proxyreload.traffic.content import Digest, content, how_many
from proxyreload.traffic.h2 import OVER_HTTP2
from proxyreload.traffic.interfaces import ClientEnd, Key, Kind, Values
from proxyreload.traffic.post import DELAY, Receipt, Receiving

KEYS = {
    "every": Key(0.1, Bound(0.001, 3600), "seconds between two pieces"),
    "length": Key(5.0, Bound(0.001, 86_400), "seconds that an upload lasts"),
    "delay": DELAY,
    "streams": OVER_HTTP2,
}
#: Of one piece.
PIECE_BYTES = 1000
_LAST = b"0\r\n\r\n"


class Upload(ClientEnd):
    """Sends one body after another."""

    method = "POST"

    def __init__(self, values: Values) -> None:
        """Send a piece `every` so often, over `length`, and wait `delay` for the answer."""
        self._every_s, self._length_s = float(values["every"]), float(values["length"])  # type: ignore[arg-type]
        delay_s = float(values["delay"])  # type: ignore[arg-type]
        self.quiet_s, self.lasts_s = max(self._every_s, delay_s), self._length_s + delay_s
        self._sent = Digest()
        self.streams = int(values["streams"])  # type: ignore[arg-type]
        chunked = () if self.streams else ((b"Transfer-Encoding", b"chunked"),)
        self.fields = (*chunked, (b"Content-Type", b"application/octet-stream"))

    def pieces(self, request_id: bytes) -> Iterator[tuple[float, bytes]]:
        """Return them, what ends the body included; from now on nothing is sent of this body yet."""
        self._sent = Digest()
        return self._pieces(request_id, self._sent)

    def ending(self) -> bytes:
        """Return the last chunk: an upload that ends early is a shorter one. HTTP/2 has words of its own for it."""
        return b"" if self.streams else _LAST

    def incoming(self, request_id: bytes) -> Receipt:
        """Expect a receipt for all that has been sent in the end of the body whose `pieces` were asked for last."""
        sent = self._sent
        return Receipt(request_id, lambda: sent)

    def _pieces(self, request_id: bytes, sent: Digest) -> Iterator[tuple[float, bytes]]:
        for number in range(how_many(self._every_s, self._length_s)):
            piece = content(b"%b %d" % (request_id, number), PIECE_BYTES)
            sent.take(piece)
            chunk = piece if self.streams else b"%x\r\n%b\r\n" % (len(piece), piece)
            yield (self._every_s if number else 0.0), chunk
        yield self._every_s, self.ending()


kind = Kind(
    "upload",
    "a large body sent in pieces over a while, chunked over HTTP/1.1",
    "200, length and digest as the backend had them",
    Upload,
    Receiving,
    KEYS,
    quiet=(1, {"length": 3.5}),
    brief={"every": 0.05, "length": 0.2},
)
