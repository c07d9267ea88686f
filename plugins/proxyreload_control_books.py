"""The control proxy's books of fates: what became of each request that it was asked to pass on.

A fate is booked where it is decided. The ledger that these books prove joins what clients and backends tell, and has
no part in them: its keys are written anew here.
"""

from collections import Counter

from proxyreload.traffic.identity import client_of

ANSWERED_ONCE = "answered_once"
ANSWERED_TWICE = "answered_twice"
NEVER_ARRIVED = "lost_never_arrived"
UNEXECUTED = "lost_unexecuted"
EXECUTED = "lost_executed"
EXECUTED_TWICE = "lost_executed_twice"
UNKNOWN = "lost_unknown"
NEVER_SENT = "never_sent"

#: What a request has become when it is carried out once more.
_AGAIN = {
    ANSWERED_ONCE: ANSWERED_TWICE,
    NEVER_ARRIVED: EXECUTED,
    UNEXECUTED: EXECUTED,
    EXECUTED: EXECUTED_TWICE,
}


class Books:
    """How many requests of each kind of traffic had which fate; of each client the latest is remembered."""

    def __init__(self) -> None:
        """Begin with none."""
        self.counts: Counter[tuple[str, str]] = Counter()
        self._latest: dict[bytes, tuple[bytes, str]] = {}  # by client

    def book(self, kind: str, request_id: bytes, fate: str) -> None:
        """Write down what has become of a request."""
        self.counts[kind, fate] += 1
        self._latest[client_of(request_id)] = request_id, fate

    def again(self, kind: str, request_id: bytes) -> None:
        """Write down that it was carried out once more; it must be known."""
        before = self._latest[client_of(request_id)][1]
        fate = _AGAIN.get(before, before)
        self.counts[kind, before] -= 1
        self.counts[kind, fate] += 1
        self._latest[client_of(request_id)] = request_id, fate

    def know(self, request_id: bytes) -> bool:
        """Whether it is its client's latest."""
        latest = self._latest.get(client_of(request_id))
        return latest is not None and latest[0] == request_id

    def made_up(self, kind: str) -> None:
        """Write down that a backend has carried out a request that nobody had sent."""
        self.counts[kind, NEVER_SENT] += 1


def numbered(request_id: bytes, more: int) -> bytes:
    """Return the id of the request that its client sends so many later, or earlier; empty if there is none."""
    client, dash, number = request_id.partition(b"-")
    return client + dash + b"%d" % (int(number) + more) if int(number) + more >= 0 else b""
