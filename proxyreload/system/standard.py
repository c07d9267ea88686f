"""Standard input, output and error: they may be closed, or nobody may read them."""

import os
import select
import sys

from proxyreload.system.untrusted import WORDS_LIMIT, printable

#: So many lines are said of one error at most.
_LINES = 20
#: A pipe that can be written to takes so much at once without waiting: PIPE_BUF, Linux.
_PIECE = 4096
#: Whoever reads nothing for so long misses it.
_PATIENCE_MS = 1000


def occupy() -> None:
    """See to it that the three descriptors are open: else the next file of ours would get such a number.

    Where one is closed reading finds nothing, and writing fails.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)  # noqa: FBT003  (it gets the lowest free number)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115


def say(text: str) -> None:
    """Tell `text` on standard error, bounded and printable, under our name; who does not read it is not waited for."""
    lines = [printable(line, WORDS_LIMIT) for line in text.splitlines()[:_LINES]]
    put(2, ("proxyreload: " + "\n".join(lines) + "\n").encode("utf-8"))


def put(descriptor: int, data: bytes) -> bool:
    """Write as far as it is taken; False if nobody takes all of it."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    while data:
        try:
            if not any(event & select.POLLOUT for _descriptor, event in poll.poll(_PATIENCE_MS)):
                return False
            data = data[os.write(descriptor, data[:_PIECE]) :]
        except OSError:
            return False
    return True
