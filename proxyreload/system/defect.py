"""Errors that nobody has expected: a line for the user, the rest for whoever mends it."""

import errno
import os
import tempfile
import traceback

from proxyreload.system.untrusted import one_line

#: With this in the environment a traceback is told on standard error, in place of a file.
DEBUG = "PROXYRELOAD_DEBUG"
#: What ends writing to standard output: its reader has gone, it was closed, its disk is full.
_OUTPUT = {errno.EPIPE, errno.EBADF, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class Told(SystemExit):
    """What was asked for has been printed; there is nothing else to do."""

    def __init__(self) -> None:
        """End with success: the one exit that is no error."""
        super().__init__(0)


class Ended(KeyboardInterrupt):
    """A signal has ended a command that has nothing to give back but what it is writing; its text names the signal."""


def in_a_line(error: BaseException) -> str:
    """Return a line about what was raised; where it was raised is kept in a file that the line names."""
    if isinstance(error, KeyboardInterrupt):
        return f"ended by {error}" if str(error) else "ended by SIGINT"
    if isinstance(error, SystemExit):
        return f"ended by a call of exit({error.code!r}), with no verdict"
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.errno in _OUTPUT and error.filename is None:
        return f"standard output cannot be written: {error.strerror}"
    said = one_line(str(error))
    line = f"internal error: {type(error).__name__}" + (f": {said}" if said else "")
    kept = _kept("".join(traceback.format_exception(error)))
    return f"{line} ({kept})" if kept else line


def _kept(text: str) -> str:
    """Keep a traceback, and return where."""
    data = text.encode("utf-8", "backslashreplace")
    try:
        if os.environ.get(DEBUG):
            os.write(2, data)
            return ""
        descriptor, path = tempfile.mkstemp(prefix="proxyreload-error-", suffix=".txt")
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
    except OSError:
        return f"{DEBUG}=1 shows where"
    return f"where: {path}"
