"""The kind `post`: a POST with a body, which must be carried out exactly once."""

from collections.abc import Callable

from proxyreload.history.failures import WRONG_BODY
from proxyreload.system.bounds import Bound, WholeBound
from proxyreload.system.untrusted import printable
from proxyreload.traffic.content import Digest, content, digested, whose
from proxyreload.traffic.get import answer_fields
from proxyreload.traffic.interfaces import Answer, ClientEnd, Key, Kind, Received, Reply, Short, Values

#: So that a body that is whole, and acted on, can be in flight over the change too.
DELAY = Key(0.0, Bound(0, 3600), "seconds until the backend answers, once it has the body")
KEYS = {
    "size": Key(1000, WholeBound(0, 16_000_000), "bytes of the body"),
    "gap": Key((0.0, 0.0), Bound(0, 3600), "seconds of rest between two, drawn from this range"),
    "delay": DELAY,
}


def receipt(instance: bytes, request_id: bytes, length: int, of: bytes) -> bytes:
    """Return the body with which the backend `instance` says what it had."""
    return b"backend %b had %d bytes %b of %b\n" % (instance, length, of, request_id)


class Post(ClientEnd):
    """Sends one body after another."""

    method = "POST"

    def __init__(self, values: Values) -> None:
        """Send bodies of `size` bytes, with rests drawn from `gap`, and wait `delay` for each answer."""
        self._size = int(values["size"])  # type: ignore[arg-type]
        self.quiet_s = self.lasts_s = float(values["delay"])  # type: ignore[arg-type]
        gap = values["gap"]
        assert isinstance(gap, tuple)  # noqa: S101
        self.rest_s = gap if gap[1] else None
        self.fields = ((b"Content-Length", b"%d" % self._size), (b"Content-Type", b"application/octet-stream"))

    def body(self, request_id: bytes) -> bytes:
        """Return a body that belongs to this request alone."""
        return content(request_id, self._size)

    def incoming(self, request_id: bytes) -> "Receipt":
        """Expect a receipt for all of it."""
        return Receipt(request_id, lambda: digested(self.body(request_id)))


class Receipt(Short):
    """An answer that must say what was sent."""

    def __init__(self, request_id: bytes, sent: Callable[[], Digest]) -> None:
        """Expect one for what was `sent`, as it is when the answer is there."""
        self._request_id, self._sent = request_id, sent

    def judge(self, answer: Answer) -> tuple[str, str]:
        """Hold it against what was sent."""
        failure, message = whose(answer, self._request_id)
        if failure:
            return failure, message
        sent = self._sent()
        if answer.body != receipt(answer.instance, self._request_id, sent.length, sent.told()):
            return WRONG_BODY, printable(answer.body, 80)
        return failure, message


class Receiving:
    """A backend that says what it had."""

    def __init__(self, values: Values) -> None:
        """Take `delay` for an answer."""
        self._delay_s = float(values["delay"])  # type: ignore[arg-type]

    def reply(self, request: Received) -> Reply:
        """Give a receipt."""
        return Reply(
            answer_fields(request.instance, request.request_id, request.source_port),
            receipt(request.instance, request.request_id, request.length, request.digest),
            delay_s=self._delay_s,
        )


kind = Kind(
    "post",
    "POST with a body; not idempotent",
    "200, the digest of the body, carried out exactly once",
    Post,
    Receiving,
    KEYS,
    quiet=(2, {"gap": (0.3, 0.7)}),
    brief={"gap": (0.05, 0.1)},
)
