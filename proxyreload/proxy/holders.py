"""Which generation of the proxy's processes holds the other end of each client's connection."""

from collections.abc import Callable, Iterable
from contextlib import suppress

import attrs
import psutil

from proxyreload.history.events import Held
from proxyreload.proxy.tree import strangers
from proxyreload.system.clock import ClockNs
from proxyreload.system.tcptable import inodes, peers


def processes() -> list[int]:
    """Return the pids of all processes of proxies that this program has started, old ones too; none if none is told."""
    with suppress(OSError, psutil.Error):  # no descriptor is left for it, say: it is not worth a run
        return [process.pid for process in strangers()]
    return []


@attrs.define(eq=False)
class Holders:
    """Numbers the generations: 0 is what was started, and each time that there are new processes there is another."""

    port: int  #: that the proxy listens on
    clock_ns: ClockNs
    processes: Callable[[], Iterable[int]] = processes
    _newest: int = attrs.field(default=-1, init=False)
    _generations: dict[int, int] = attrs.field(factory=dict, init=False)  # by pid

    def count(self) -> Held:
        """Say what the newest generation is, which takes a millisecond."""
        new = [pid for pid in self.processes() if pid not in self._generations]
        if new:
            self._newest += 1
            self._generations.update(dict.fromkeys(new, self._newest))
        return Held(self._newest, {}, self.clock_ns())

    def look(self) -> Held:
        """Say who holds what, which takes some: not to be done in the reactor's thread."""
        counted = self.count()
        peer_of = peers(self.port)
        held = {
            peer_of[inode]: generation
            for pid, generation in tuple(self._generations.items())
            for inode in inodes(pid)
            if inode in peer_of
        }
        return attrs.evolve(counted, generations=held)
