"""The folder that is sent, and the archive of it."""

import gzip
import io
import os
import secrets
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from proxyreload.errors import UsageError
from proxyreload.reproduction.capture import capture
from proxyreload.reproduction.case import Case
from proxyreload.reproduction.readme import readme
from proxyreload.reproduction.script import script
from proxyreload.reproduction.transcript import transcript
from proxyreload.system.wholefile import put_in_place

#: Of the script, and of everything else.
_PROGRAM, _FILE = 0o755, 0o644
SCRIPT = "reproduce.py"


def files_of(case: Case) -> dict[str, bytes]:
    """Return the files of a case by their paths in the folder."""
    texts = {
        "README.md": readme(case),
        SCRIPT: script(case),
        "example.txt": transcript(case),
        **{f"configuration/before/{name}": text for name, text in case.configured(case.turn.before).items()},
        **{f"configuration/after/{name}": text for name, text in case.configured(case.turn.after).items()},
    }
    return {**{name: text.encode("utf-8") for name, text in texts.items()}, "example.pcapng": capture(case)}


def write_bundle(files: Mapping[str, bytes], folder: Path) -> Path:
    """Make `folder` with these files, and beside it its archive, whose path is returned.

    Raises `UsageError` if something is there already, and `OSError` if it cannot be made: then nothing is left of it.
    """
    archive = folder.with_name(f"{folder.name}.tar.gz")
    for path in (folder, archive):
        if os.path.lexists(path):
            msg = f"{path} is there already: move it away, or say --into another folder"
            raise UsageError(msg)
    beside = folder.with_name(f"{folder.name}.{os.getpid()}.{secrets.token_hex(4)}.new")
    beside.mkdir()
    try:
        for name, data in files.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(_mode(name))
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    try:
        os.close(put_in_place(archive, _archived(files, folder.name)))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return archive


def _archived(files: Mapping[str, bytes], folder: str) -> bytes:
    """Return the archive, the same bytes for the same files: nobody's files, of no date."""
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", fileobj=packed, mtime=0) as squeezed, tarfile.open(fileobj=squeezed, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode = len(data), _mode(name)
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def _mode(name: str) -> int:
    return _PROGRAM if name == SCRIPT else _FILE
