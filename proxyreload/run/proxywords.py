"""Tells the history what the proxy says in its log, line by line."""

import re
from collections.abc import Sequence
from pathlib import Path

import attrs

from proxyreload.history.events import Said
from proxyreload.history.interfaces import Sink
from proxyreload.system.clock import NS_PER_S, ClockNs
from proxyreload.system.growing import Growing
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import printable

#: More in a second is a log of requests, and no news: the rest of that second is passed over.
LINES_PER_S = 100
#: How much of a line is kept.
LINE_LIMIT = 200
#: What colours a line on a terminal.
_COLOUR = re.compile(rb"\x1b\[[0-9;]{0,20}m")
#: When a line was written, as it says itself in a way that many do: there is a better stamp.
_TIME = re.compile(r"\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]?\s+")


@attrs.define(eq=False)
class ProxyWords:
    """Stamps each line with when it was read, which is right after it was written."""

    sink: Sink
    clock_ns: ClockNs
    _second_ns: int = attrs.field(default=0, init=False)  # when the latest second began in which lines were counted
    _left: int = attrs.field(default=0, init=False)  # of `LINES_PER_S` in that
    _latest_ns: int = attrs.field(default=0, init=False)
    _growing: Growing | None = attrs.field(default=None, init=False)

    def listen(self, reactor: IReactor, log: Path) -> None:
        """Tell what is written to a log from now on, as far as the system says when that is."""
        self._growing = Growing.of(reactor, log, self.heard)

    def heard(self, lines: Sequence[bytes]) -> None:
        """Tell these lines, in their order, but those that are empty."""
        now_ns = self.clock_ns()
        if now_ns - self._second_ns >= NS_PER_S:
            self._second_ns, self._left = now_ns, LINES_PER_S
        for line in lines:
            text = _COLOUR.sub(b"", line).decode("utf-8", "replace").strip()
            text = text[stamp.end() :] if (stamp := _TIME.match(text)) is not None else text
            if not text:
                continue
            if not self._left:
                return
            self._left -= 1
            self._latest_ns = max(self._latest_ns + 1, self.clock_ns())  # one of the same moment has no order
            self.sink.publish(Said(printable(text, LINE_LIMIT), self._latest_ns))

    def close(self) -> None:
        """Listen no more."""
        if self._growing is not None:
            self._growing.close()
            self._growing = None
