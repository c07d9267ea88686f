"""Whether several names are of one file."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from proxyreload.errors import UsageError
from proxyreload.system.untrusted import printable

_STANDARD = {"standard output": 1, "standard error": 2}


def require_apart(written: Mapping[str, Path], read: Mapping[str, Path]) -> None:
    """Raise `UsageError` if a file that is to be written is another one of those, or one that is read.

    The keys say what each is for; links are followed. Devices and pipes may have many uses. What this process's own
    standard output goes to, where that is a file, is written as well.
    """
    uses: dict[object, str] = {}
    for use, place in (*_named(read), *_standard()):
        if place is not None:
            uses.setdefault(place, use)
    for use, place in _named(written):
        if place is None:
            continue
        if place in uses:
            msg = f"{use} {printable(str(written[use]))} is the same file as {uses[place]}"
            raise UsageError(msg)
        uses[place] = f"{use} {printable(str(written[use]))}"


def _named(paths: Mapping[str, Path]) -> Iterator[tuple[str, object]]:
    for use, path in paths.items():
        try:
            yield use, _place(path.stat())
        except OSError:  # it is not there yet, or never can be
            yield use, os.path.realpath(path)


def _standard() -> Iterator[tuple[str, object]]:
    for use, descriptor in _STANDARD.items():
        try:
            yield use, _place(os.fstat(descriptor))
        except OSError:
            yield use, None


def _place(status: os.stat_result) -> tuple[int, int] | None:
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
