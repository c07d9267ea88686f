"""What a proxy of ours was started with, and what it said, kept where its run's other files are."""

import os
import shutil
from pathlib import Path

from proxyreload.proxy.workspace import Workspace
from proxyreload.system.wholefile import NEVER_WAIT, encoded, put_in_place

#: The folder of the configuration, and the file of the words.
CONFIGURATION, WORDS = "configuration", "proxy.log"
#: Of the words the beginning and the end are kept, so much of each.
_WORDS_LIMIT = 512 * 1024
_FILE_LIMIT = 1024 * 1024


def keep_configuration(workspace: Workspace, folder: Path) -> None:
    """Copy the files that its configuration was filled into, as they are now; raises `OSError`.

    What another run left there is removed before.
    """
    kept = folder / CONFIGURATION
    shutil.rmtree(kept, ignore_errors=True)
    for name in workspace.configuration.templates:
        text = _piece(workspace.path(name), 0, _FILE_LIMIT)
        if text:
            path = kept / name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(put_in_place(path, text))


def keep_words(workspace: Workspace, folder: Path) -> None:
    """Copy what its processes have said; raises `OSError`."""
    try:
        size = workspace.log.stat().st_size
    except FileNotFoundError:
        size = 0
    words = _piece(workspace.log, 0, _WORDS_LIMIT)
    if size > 2 * _WORDS_LIMIT:
        words += encoded(f"\n… {size - 2 * _WORDS_LIMIT:,} bytes are left out …\n")
    words += _piece(workspace.log, max(_WORDS_LIMIT, size - _WORDS_LIMIT), _WORDS_LIMIT)
    os.close(put_in_place(folder / WORDS, words))


def _piece(path: Path, start: int, length: int) -> bytes:
    """Return a piece of a file, nothing of one that is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | NEVER_WAIT)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(descriptor, length, start)
    finally:
        os.close(descriptor)
