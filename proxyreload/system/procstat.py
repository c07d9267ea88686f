"""What Linux counts of a process, from one short file: proc_pid_stat(5)."""

import os
from contextlib import suppress
from pathlib import Path

import attrs

from proxyreload.system.clock import NS_PER_S

#: Behind the name of the program, which may have anything in it: the first is its state, the 12th and 13th are its time
#: in ticks, the 20th is when it began, the 22nd its resident pages.
_STATE, _USER, _SYSTEM, _BEGAN, _RESIDENT = 0, 11, 12, 19, 21
#: Zombie, and dead.
_ENDED = ("Z", "X", "x")
_SYSCONF = getattr(os, "sysconf_names", {})
_TICK_NS = NS_PER_S // os.sysconf("SC_CLK_TCK") if "SC_CLK_TCK" in _SYSCONF else 0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if "SC_PAGE_SIZE" in _SYSCONF else 0


@attrs.frozen
class ProcessUse:
    """What a process has, and has taken by now."""

    began: int  #: ticks after the machine's start: with its pid it is the process and no other
    cpu_ns: int  #: in user mode and in the kernel, to a hundredth of a second; without its children
    resident_bytes: int  #: pages that it shares with others too


def use_of(pid: int) -> ProcessUse | None:
    """Return what a process uses; None if it is gone, or where there is no such file."""
    with suppress(OSError, ValueError, IndexError):
        fields = _fields(pid)
        ticks = int(fields[_USER]) + int(fields[_SYSTEM])
        return ProcessUse(int(fields[_BEGAN]), ticks * _TICK_NS, int(fields[_RESIDENT]) * _PAGE_BYTES)
    return None


def has_ended(pid: int) -> bool:
    """Whether a process has ended, though it is still there for its parent to be told; False where nobody knows."""
    with suppress(OSError, IndexError):
        return _fields(pid)[_STATE] in _ENDED
    return False


def _fields(pid: int) -> list[str]:
    """Return what stands behind the name of the program; raises `OSError` if the process is gone."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
