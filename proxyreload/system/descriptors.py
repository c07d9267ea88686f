"""How many files and sockets this process may have open (getrlimit(2), RLIMIT_NOFILE)."""

import resource
from contextlib import suppress

from proxyreload.errors import UsageError


def require_descriptors(number: int) -> None:
    """Raise the soft limit so far that `number` can be open; raises `UsageError` if the hard limit is below that.

    No farther, for what is started inherits it, and there are proxies that take memory for as many as they may have.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= number:
        return
    if hard != resource.RLIM_INFINITY and hard < number:
        msg = f"this run may need {number} open files and sockets, but no more than {hard} are allowed (ulimit -Hn)"
        raise UsageError(msg)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
        return
    msg = f"this run may need {number} open files and sockets, and {soft} are allowed: ulimit -n {number} first"
    raise UsageError(msg)
