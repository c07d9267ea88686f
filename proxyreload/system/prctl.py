"""What the kernel does for processes and their children: prctl(2), Linux. Elsewhere these do nothing."""

import os
import signal

from proxyreload.system.libc import LIBC

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Let orphans of our children become ours, so that they can be ended and reaped."""
    if LIBC is not None:
        LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(number: int = signal.SIGTERM, parent: int | None = None) -> None:
    """Have this process ended by a signal when its parent ends, however that comes.

    Whoever knows its `parent` is ended also if that was gone before this was called.
    """
    if LIBC is not None:
        LIBC.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(128 + number)
