"""What the last second was like, and the last failures: for the lines above the status line."""

from collections import deque
from collections.abc import Sequence
from math import ceil

import attrs

from proxyreload.history.events import Exchange
from proxyreload.system.clock import NS_PER_MS, NS_PER_S, seconds

_SPAN_NS = NS_PER_S
_FAILURES = 3


@attrs.define(eq=False)
class Recent:
    """Latency by the second, and the last failures."""

    _latencies_ns: list[int] = attrs.field(factory=list, init=False)
    _since_ns: int = attrs.field(default=0, init=False)
    _latency: str = attrs.field(default="", init=False)
    _failures: deque[Exchange] = attrs.field(factory=lambda: deque(maxlen=_FAILURES), init=False)

    def exchanged(self, exchanges: Sequence[Exchange]) -> None:
        """Take a batch."""
        self._latencies_ns += [
            each.ended_ns - each.due_ns for each in exchanges if each.plain and not each.failure and not each.probe
        ]
        for each in exchanges:
            if each.lost:
                self._failures.append(each)

    def latency(self, now_ns: int, start_ns: int) -> str:
        """Say what the last second was like; nothing before there was one."""
        if now_ns - max(self._since_ns, start_ns) >= _SPAN_NS:
            latencies_ns, self._latencies_ns, self._since_ns = sorted(self._latencies_ns), [], now_ns
            self._latency = _latency(latencies_ns)
        return self._latency

    def lost(self, start_ns: int) -> str:
        """Say which failures were the last; nothing if there were none."""
        told = (
            f"{seconds(each.ended_ns - start_ns):.1f} s {'' if each.plain else f'{each.kind} '}client {each.client} "
            f"{each.failure}"
            for each in reversed(self._failures)
        )
        return f"last failures: {', '.join(told)}" if self._failures else ""


def _latency(latencies_ns: Sequence[int]) -> str:
    """Say what latencies, sorted, are like."""
    if not latencies_ns:
        return "no answers in the last second"
    p99_ns = latencies_ns[ceil(0.99 * len(latencies_ns)) - 1]
    return f"last second: p99 {p99_ns / NS_PER_MS:.1f} ms, max {latencies_ns[-1] / NS_PER_MS:.1f} ms"
