"""The private folder of a run, in the folder for temporary files: whether it can be made there, and how safe it is."""

import os
import stat
import tempfile
from pathlib import Path

from proxyreload.errors import StartError, UsageError
from proxyreload.system.untrusted import printable

#: The environment variables that may say where temporary files go, the first first.
VARIABLES = ("TMPDIR", "TEMP", "TMP")
PREFIX = "proxyreload-"
#: As many letters are drawn for a folder's name.
_DRAWN = 8
#: How long a path of a Unix socket may be (unix(7)), and the name of one in the folder.
PATH_BYTES, SOCKET_NAME_BYTES = 107, 32


def new_folder() -> Path:
    """Make a folder that no other user may enter; raises `UsageError` or `StartError` if that cannot be."""
    parent = require_parent()
    try:
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # with mode 0700, whatever the umask is
    except OSError as error:
        msg = f"no folder can be made in {printable(str(parent))}: {error.strerror}"
        raise StartError(msg) from error


def require_parent() -> Path:
    """Return where private folders are made, with links followed; raises `UsageError` if none can be, or too deep.

    What the environment names is taken or refused, never replaced by another folder in silence.
    """
    named, parent = _named()
    what = printable(named)
    try:
        parent = parent.resolve(strict=True)
        length = len(str(parent).encode("utf-8"))
    except UnicodeEncodeError as error:
        msg = f"{what}: its name is no UTF-8, and the proxies' configurations are"
        raise UsageError(msg) from error
    except (OSError, RuntimeError) as error:  # up to 3.12 a link that leads to itself is a RuntimeError
        msg = f"{what}: {getattr(error, 'strerror', None) or 'a link that leads to itself'}"
        raise UsageError(msg) from error
    if not parent.is_dir():
        msg = f"{what}: not a directory"
        raise UsageError(msg)
    if not os.access(parent, os.W_OK | os.X_OK):
        msg = f"{what}: no folder can be made in it"
        raise UsageError(msg)
    room = PATH_BYTES - len(f"/{PREFIX}") - _DRAWN - len("/") - SOCKET_NAME_BYTES
    if length > room:
        msg = f"{what}: its path has {length} bytes, and those of the proxy's sockets below it have room for {room}"
        raise UsageError(msg)
    return parent


def exposure() -> str:
    """Say why any user could put a folder of his own in the place of a private one, empty if none but root can."""
    parent = require_parent()
    for folder in (parent, *parent.parents):
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            what = printable(str(folder))
            return f"{what} is open to every user and has no sticky bit: any of them can replace this run's files"
    return ""


def _named() -> tuple[str, Path]:
    """Return what says where the folder for temporary files is, and that folder."""
    for variable in VARIABLES:
        if os.environ.get(variable):
            return f"{variable}={os.environ[variable]}", Path(os.environ[variable]).absolute()
    try:
        return "the folder for temporary files", Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        msg = f"there is no folder for temporary files: {error.strerror}"
        raise UsageError(msg) from error
