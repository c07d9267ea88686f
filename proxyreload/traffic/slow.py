"""The kind `slow`: the backend answers after a while, so that requests are in flight over the change."""

from proxyreload.system.bounds import Bound
from proxyreload.traffic.get import answer_fields, from_numbered_backend, numbered_body
from proxyreload.traffic.h2 import OVER_HTTP2
from proxyreload.traffic.interfaces import Answer, ClientEnd, Key, Kind, Received, Reply, Short, Values

KEYS = {
    "delay": Key(2.0, Bound(0.001, 3600), "seconds until the backend answers"),
    "streams": OVER_HTTP2,
}


class Slow(ClientEnd):
    """Waits for each answer."""

    def __init__(self, values: Values) -> None:
        """Wait `delay` for it, on all of its `streams`."""
        self.streams = int(values["streams"])  # type: ignore[arg-type]
        self.quiet_s = self.lasts_s = float(values["delay"])  # type: ignore[arg-type]

    def incoming(self, request_id: bytes) -> "Small":
        """Expect what a small GET is answered."""
        return Small(request_id)


class Small(Short):
    """The answer to a small GET."""

    def __init__(self, request_id: bytes) -> None:
        """Expect the one to this request."""
        self._request_id = request_id

    def judge(self, answer: Answer) -> tuple[str, str]:
        """Judge it as any."""
        return from_numbered_backend(answer, self._request_id)


class Late:
    """A backend that takes its time."""

    def __init__(self, values: Values) -> None:
        """Take `delay`."""
        self._delay_s = float(values["delay"])  # type: ignore[arg-type]

    def reply(self, request: Received) -> Reply:
        """Answer after it."""
        return Reply(
            answer_fields(request.instance, request.request_id, request.source_port),
            numbered_body(request.instance, request.request_id),
            delay_s=self._delay_s,
        )


kind = Kind(
    "slow",
    "the backend answers after a while: in flight over the change",
    "the same as get",
    Slow,
    Late,
    KEYS,
    quiet=(2, {}),
    brief={"delay": 0.1},
)
