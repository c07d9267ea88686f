"""The kind `download`: a large body, read at a limited rate."""

from proxyreload.history.failures import WRONG_BODY
from proxyreload.system.bounds import Bound, WholeBound
from proxyreload.traffic.content import Digest, content, digest, whose
from proxyreload.traffic.get import answer_fields
from proxyreload.traffic.interfaces import Answer, ClientEnd, Key, Kind, Received, Reply, Values

KEYS = {
    "size": Key(1_000_000, WholeBound(1, 16_000_000), "bytes of the body"),
    "rate": Key(500_000.0, Bound(1000, 10**9), "bytes/s that are read at most"),
}
_TYPE = (b"Content-Type", b"application/octet-stream")


class Download(ClientEnd):
    """Reads one body after another."""

    def __init__(self, values: Values) -> None:
        """Read `size` bytes at `rate`."""
        self._size = int(values["size"])  # type: ignore[arg-type]
        self.read_per_s = float(values["rate"])  # type: ignore[arg-type]
        self.lasts_s = self._size / self.read_per_s

    def incoming(self, request_id: bytes) -> "Loading":
        """Expect the whole body."""
        return Loading(request_id, self._size)


class Loading:
    """A body while it comes, of which no more than its digest is kept."""

    def __init__(self, request_id: bytes, size: int) -> None:
        """Expect the body of this size that belongs to this request."""
        self._request_id, self._size = request_id, size
        self._digest = Digest()

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._digest.length <= self._size:
            self._digest.take(data)

    def judge(self, answer: Answer) -> tuple[str, str]:
        """Hold it against what belongs to the request."""
        wrong = whose(answer, self._request_id)
        if wrong[0]:
            return wrong
        if self._digest.length != self._size:
            return WRONG_BODY, f"{self._digest.length} of {self._size} bytes"
        if self._digest.told() != digest(content(self._request_id, self._size)):
            return WRONG_BODY, "other bytes than the backend's"
        return "", ""

    def judge_unfinished(self, answer: Answer) -> None:  # noqa: ARG002
        """It is read to its end."""
        return


class Serving:
    """A backend with large bodies."""

    def __init__(self, values: Values) -> None:
        """Answer with `size` bytes."""
        self._size = int(values["size"])  # type: ignore[arg-type]

    def reply(self, request: Received) -> Reply:
        """Answer with the body that belongs to the request."""
        fields = answer_fields(request.instance, request.request_id, request.source_port)
        others = tuple(field for field in fields if field[0] != _TYPE[0])
        return Reply((_TYPE, *others), content(request.request_id, self._size))


kind = Kind(
    "download",
    "a large body, read at a limited rate",
    "length and digest",
    Download,
    Serving,
    KEYS,
    quiet=(1, {"size": 250_000, "rate": 125_000.0}),
    brief={"size": 20_000, "rate": 100_000.0},
)
