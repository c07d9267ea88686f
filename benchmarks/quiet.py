"""How quiet the machine was: what others took of the cores while something was measured."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import psutil

from benchmarks.processes import Cores


@attrs.define
class Others:
    """Shares of the two cores, known when the block has ended and with it all processes of ours."""

    processes: float = 0.0
    hypervisor: float = 0.0

    def __str__(self) -> str:
        """Say it in a sentence's end."""
        return f"other processes took {self.processes:.0%} of the two cores, the hypervisor {self.hypervisor:.0%}"


@contextmanager
def watched(cores: Cores) -> Iterator[Others]:
    """Watch the cores during the block."""
    others = Others()
    began, busy, stolen, own = time.perf_counter(), *_busy_and_stolen(cores), _own()
    yield others
    available = 2 * (time.perf_counter() - began)
    busy_now, stolen_now = _busy_and_stolen(cores)
    others.processes = max(0.0, busy_now - busy - (_own() - own)) / available
    others.hypervisor = (stolen_now - stolen) / available


def _busy_and_stolen(cores: Cores) -> tuple[float, float]:
    """Return the seconds that processes had, and those that the hypervisor withheld."""
    times = psutil.cpu_times(percpu=True)
    used = [times[core] for core in cores.both]
    return sum(core.user + core.system for core in used), sum(core.steal for core in used)


def _own() -> float:
    """Return the seconds of this process and of all that it has started and seen end."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
