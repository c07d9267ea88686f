"""What the proxy's processes take of its host: how many they are, their memory, their CPU time."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache

import attrs

from proxyreload.history.events import Spent
from proxyreload.proxy import tree
from proxyreload.proxy.watchdog import is_guards
from proxyreload.system.clock import ClockNs
from proxyreload.system.procstat import ProcessUse, use_of


def processes() -> Iterator[int]:
    """Yield the pids of all processes of proxies that this program has started, as far as they are under it.

    Those in a session of their own, as `proxyreload.proxy.tree.strangers`, from a few small files: it is asked while
    clients are measured.
    """
    session, own = os.getsid(0), _own_title()
    waiting = [os.getpid()]
    while waiting:
        for pid in tree.children(waiting.pop()):
            waiting.append(pid)
            with suppress(OSError):
                title = tree.title(pid)
                # Called as this program is what has been forked and is not the proxy yet.
                if os.getsid(pid) != session and title not in ("", own) and not is_guards(title):
                    yield pid


@cache
def _own_title() -> str:
    return tree.title(os.getpid())


@attrs.define(eq=False)
class Spending:
    """Adds up what they take, those that have ended too, as it was when they were last seen."""

    clock_ns: ClockNs
    processes: Callable[[], Iterator[int]] = processes
    use_of: Callable[[int], ProcessUse | None] = use_of
    _seen: dict[tuple[int, int], int] = attrs.field(factory=dict, init=False)  # CPU time by pid and beginning
    _ended_ns: int = attrs.field(default=0, init=False)

    def look(self) -> Spent | None:
        """Say what they have, and have taken by now; None if none is told.

        It takes a tenth of a millisecond for each.
        """
        try:
            uses = {(pid, use.began): use for pid in self.processes() if (use := self.use_of(pid)) is not None}
        except OSError:  # no descriptor is left for it, say: it is not worth a run
            return None
        for gone in self._seen.keys() - uses.keys():
            self._ended_ns += self._seen.pop(gone)
        self._seen.update({process: use.cpu_ns for process, use in uses.items()})
        if not uses:
            return None
        resident = sum(use.resident_bytes for use in uses.values())
        return Spent(len(uses), resident, self._ended_ns + sum(self._seen.values()), self.clock_ns())
