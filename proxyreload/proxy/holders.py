"""Which generation of the proxy's processes holds the other end of each client's connection."""

from collections.abc import Callable, Iterable

import attrs

from proxyreload.history.events import Held
from proxyreload.proxy.tree import strangers
from proxyreload.system.clock import ClockNs
from proxyreload.system.tcptable import inodes, peers


def processes() -> list[int]:
    """Return the pids of all processes of proxies that this program has started, old ones too."""
    return [process.pid for process in strangers()]


@attrs.define(eq=False)
class Holders:
    """Numbers the generations: 0 is what was started, and each look that finds new processes finds another.

    It is looked before a change is requested, and when it has been applied: never while only requests come and go.
    """

    port: int  #: that the proxy listens on
    clock_ns: ClockNs
    processes: Callable[[], Iterable[int]] = processes
    _newest: int = attrs.field(default=-1, init=False)
    _generations: dict[int, int] = attrs.field(factory=dict, init=False)  # by pid

    def look(self) -> Held:
        """Say who holds what now."""
        pids = sorted(self.processes())
        new = [pid for pid in pids if pid not in self._generations]
        if new:
            self._newest += 1
            self._generations.update(dict.fromkeys(new, self._newest))
        peer_of = peers(self.port)
        held = {peer_of[inode]: self._generations[pid] for pid in pids for inode in inodes(pid) if inode in peer_of}
        return Held(self._newest, held, self.clock_ns())
