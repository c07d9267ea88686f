"""Files of the user's or somebody else's, read no further than they may be long."""

from pathlib import Path

from proxyreload.errors import UsageError
from proxyreload.system.wholefile import read_some


def read_bounded(path: Path, most: int) -> bytes:
    """Return what is in a file; raises `UsageError` with the file if it cannot be read, or is longer than `most`."""
    try:
        content = read_some(path, most + 1)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise UsageError(msg) from error
    if len(content) > most:
        msg = f"{path}: longer than {most} bytes"
        raise UsageError(msg)
    return content


def read_text(path: Path, most: int) -> str:
    """Return a file's text, likewise; raises `UsageError` also if it is not UTF-8."""
    content = read_bounded(path, most)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"{path}: not UTF-8"
        raise UsageError(msg) from error
