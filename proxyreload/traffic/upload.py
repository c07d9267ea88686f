"""The kind `upload`: a large body, sent in pieces over a while, chunked (RFC 9112, 7.1)."""

from collections.abc import Iterator

from proxyreload.system.bounds import Bound
from proxyreload.traffic.content import Digest, content, how_many
from proxyreload.traffic.interfaces import ClientEnd, Key, Kind, Values
from proxyreload.traffic.post import DELAY, Receipt, Receiving

KEYS = {
    "every": Key(0.1, Bound(0.001, 3600), "seconds between two pieces"),
    "length": Key(5.0, Bound(0.001, 86_400), "seconds that an upload lasts"),
    "delay": DELAY,
}
#: Of one piece.
PIECE_BYTES = 1000
_LAST = b"0\r\n\r\n"


class Upload(ClientEnd):
    """Sends one body after another."""

    method = "POST"
    fields = ((b"Transfer-Encoding", b"chunked"), (b"Content-Type", b"application/octet-stream"))

    def __init__(self, values: Values) -> None:
        """Send a piece `every` so often, over `length`, and wait `delay` for the answer."""
        self._every_s, self._length_s = float(values["every"]), float(values["length"])  # type: ignore[arg-type]
        delay_s = float(values["delay"])  # type: ignore[arg-type]
        self.quiet_s, self.lasts_s = max(self._every_s, delay_s), self._length_s + delay_s
        self._sent = Digest()

    def pieces(self, request_id: bytes) -> Iterator[tuple[float, bytes]]:
        """Return the chunks, the last one included; from now on nothing is sent of this body yet."""
        self._sent = Digest()
        return self._chunks(request_id, self._sent)

    def ending(self) -> bytes:
        """Return the last chunk: an upload that ends early is a shorter one."""
        return _LAST

    def incoming(self, request_id: bytes) -> Receipt:
        """Expect a receipt for all that has been sent in the end."""
        return Receipt(request_id, lambda: self.sent)

    @property
    def sent(self) -> Digest:
        """What has been sent of the body under way."""
        return self._sent

    def _chunks(self, request_id: bytes, sent: Digest) -> Iterator[tuple[float, bytes]]:
        for number in range(how_many(self._every_s, self._length_s)):
            piece = content(b"%b %d" % (request_id, number), PIECE_BYTES)
            sent.take(piece)
            yield (self._every_s if number else 0.0), b"%x\r\n%b\r\n" % (len(piece), piece)
        yield self._every_s, _LAST


kind = Kind(
    "upload",
    "a large body sent in pieces over a while, chunked",
    "200, length and digest as the backend had them",
    Upload,
    Receiving,
    KEYS,
    quiet=(1, {"length": 3.5}),
    brief={"every": 0.05, "length": 0.2},
)
