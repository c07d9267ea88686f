"""Which generation of the proxy's processes holds the other end of each client's connection, and which ones live."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import attrs
import psutil

from proxyreload.history.events import Held, Holding
from proxyreload.proxy import tree
from proxyreload.proxy.tree import strangers
from proxyreload.proxy.watchdog import is_guard
from proxyreload.system.clock import ClockNs
from proxyreload.system.procstat import has_ended
from proxyreload.system.tcptable import inodes, peers


def processes() -> list[int]:
    """Return the pids of all processes of proxies that this program has started, old ones too; none if none is told."""
    found: list[int] = []
    with suppress(OSError, psutil.Error):  # no descriptor is left for it, say: it is not worth a run
        for process in strangers():
            with suppress(psutil.Error):
                if not is_guard(process):
                    found.append(process.pid)
    return found


def lives(pid: int) -> bool:
    """Whether there is such a process, which takes a µs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def unreaped() -> frozenset[int]:
    """Return those of our children that have ended and are there still: an orphan of a proxy's waits to be reaped."""
    with suppress(OSError, psutil.Error):  # no descriptor is left for it, say: it is not worth a run
        return frozenset(pid for pid in tree.children(os.getpid()) if has_ended(pid))
    return frozenset()


def nobodys() -> Mapping[int, Holding]:
    """Know no client's connection."""
    return {}


@attrs.define(eq=False)
class Holders:
    """Numbers the generations: 0 is what was started, and each time that there are new processes there is another."""

    port: int  #: that the proxy listens on
    clock_ns: ClockNs
    processes: Callable[[], Iterable[int]] = processes
    lives: Callable[[int], bool] = lives
    whose: Callable[[], Mapping[int, Holding]] = nobodys  #: the clients' connections now, by their ports
    unreaped: Callable[[], frozenset[int]] = unreaped
    _newest: int = attrs.field(default=-1, init=False)
    _generations: dict[int, int] = attrs.field(factory=dict, init=False)  # by pid

    @property
    def old(self) -> frozenset[int]:
        """The generations before the newest that live."""
        return self._living() - {self._newest}

    def count(self) -> Held:
        """Say what the newest generation is, which takes a millisecond."""
        new = [pid for pid in self.processes() if pid not in self._generations]
        if new:
            self._newest += 1
            self._generations.update(dict.fromkeys(new, self._newest))
        return self.known()

    def known(self) -> Held:
        """Say which of the known generations live; nobody is looked for, so that no command is taken for one."""
        return Held(self._newest, {}, self.clock_ns(), living=self._living())

    def look(self) -> Held:
        """Look for new processes, and say who holds what, which takes some: not to be done in the reactor's thread."""
        return self.look_at(self.count())

    def look_at(self, known: Held) -> Held:
        """Say what the processes that are known hold, likewise."""
        peer_of = peers(self.port)
        held = {
            peer_of[inode]: generation
            for pid, generation in tuple(self._generations.items())
            for inode in inodes(pid)
            if inode in peer_of
        }
        return attrs.evolve(known, generations=held)

    def _living(self) -> frozenset[int]:
        ended = self.unreaped()
        known = tuple(self._generations.items())
        return frozenset(generation for pid, generation in known if pid not in ended and self.lives(pid))
