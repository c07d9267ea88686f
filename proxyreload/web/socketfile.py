"""The page's Unix socket: for its owner alone from its first moment, and in nobody's place."""

import fcntl
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxyreload.errors import StartError

_UNIX = re.compile(r"unix:(?:address=)?(?P<path>(?:[^:\\]|\\.)*)")
#: Nobody but the owner may connect.
_UMASK = 0o177
#: Who does not answer in so many seconds is there all the same.
_ANSWER_S = 1.0


def path_of(description: str) -> Path | None:
    """Return the path of a Unix socket's endpoint, None of another one."""
    found = _UNIX.match(description)
    return None if found is None else Path(re.sub(r"\\(.)", r"\1", found["path"]))


@contextmanager
def private(path: Path) -> Iterator[None]:
    """Let a socket be bound at `path`, which only its owner can connect to; what a dead one has left there is removed.

    Raises `StartError` if somebody serves there, or something else stands there.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _impossible(path, error) from error
    try:
        _hold(folder, path)
        _clear(path)
        before = os.umask(_UMASK)
        try:
            yield
        finally:
            os.umask(before)
    finally:
        os.close(folder)


def _hold(folder: int, path: Path) -> None:
    """See to it that of two that begin at once neither removes the other's."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _impossible(path, "another one begins to be, in the same folder") from error
    except OSError as error:
        raise _impossible(path, error) from error


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _impossible(path, error) from error
    if not stat.S_ISSOCK(mode):
        raise _impossible(path, "something else stands there")
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(_ANSWER_S)
        try:
            asking.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except PermissionError as error:
            raise _impossible(path, error) from error
        except OSError:
            pass  # it is too busy to answer
    raise _impossible(path, "somebody serves there")


def _impossible(path: Path, why: Exception | str) -> StartError:
    if isinstance(why, Exception):
        why = (why.strerror if isinstance(why, OSError) else None) or str(why)
    return StartError(f"the page cannot be served at {path}: {why}")
