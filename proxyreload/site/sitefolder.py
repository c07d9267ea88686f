"""The folder of a site: whose it is, which editions it has, and new files put in place when all of them are there."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from proxyreload.errors import UsageError
from proxyreload.record.jsonfile import read_content, read_table, table_of
from proxyreload.site.compared import edition_of
from proxyreload.site.edition import Edition
from proxyreload.system.claim import claim_folder
from proxyreload.system.untrusted import printable
from proxyreload.system.wholefile import encoded

INDEX = "index.json"
COMPARISON = "compare.json"
#: What says that a folder is a site of ours, in its `INDEX`.
SITE = "proxyreload"
FORMAT = 1
_STAGE = ".publishing-"
_ID = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)


def comparison_of(edition: str) -> str:
    """Return where an edition's file is in the site."""
    return f"edition/{edition}/{COMPARISON}"


@attrs.frozen
class SiteFolder:
    """A site that is being published; what is written stays aside until it is put in place."""

    path: Path
    aside: Path

    def editions(self) -> list[Edition]:
        """Return those that were published before; raises `UsageError` if one is not what it was."""
        index = self.path / INDEX
        if not index.exists():
            return []
        return [self._edition(told.text("id")) for told in read_table(index).tables("editions")]

    def _edition(self, name: str) -> Edition:
        path = self.path / comparison_of(name if _ID.fullmatch(name) else "")
        content = read_content(path)
        edition = edition_of(table_of(path, content), content)
        if edition.id != name:
            msg = f"{path}: not what was published as {printable(name)}"
            raise UsageError(msg)
        return edition

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file aside; raises `OSError`."""
        path = self.aside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else encoded(content))

    def where(self, folder: str) -> Path:
        """Return which of the two has this folder, the new one if both have: this one or what is aside."""
        return self.aside if (self.aside / folder).exists() else self.path

    def put_in_place(self) -> None:
        """Put each file that was written where it belongs, the index last; raises `OSError`."""
        files = [path for path in sorted(self.aside.rglob("*")) if path.is_file()]
        for path in sorted(files, key=lambda path: path == self.aside / INDEX):
            to = self.path / path.relative_to(self.aside)
            to.parent.mkdir(parents=True, exist_ok=True)
            path.replace(to)


@contextmanager
def site_folder(path: Path) -> Iterator[SiteFolder]:
    """Claim a folder, made if it is not there; raises `UsageError` if it is not empty and no site of ours.

    If what is done within fails, the folder is as it was.
    """
    made = not path.exists()
    try:
        descriptor = claim_folder(path)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise UsageError(msg) from error
    aside = None
    try:
        _require_ours(path)
        aside = Path(tempfile.mkdtemp(prefix=_STAGE, dir=path))
        aside.chmod(0o755)
        yield SiteFolder(path, aside)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        msg = f"{path} cannot be written: {named}{error.strerror}"
        raise UsageError(msg) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        if made:
            with suppress(OSError):  # something is in it: it was published
                path.rmdir()
        os.close(descriptor)


def _require_ours(path: Path) -> None:
    """Raise `UsageError` if there is something in a folder, and it is no site. What is hidden is nobody's page."""
    if all(name.startswith(".") for name in os.listdir(path)):  # noqa: PTH208  (names alone)
        return
    index = path / INDEX
    told = read_table(index) if index.is_file() else None
    if told is None or told.content.get("site") != SITE:
        msg = f"{path} is not empty, and no site of proxyreload's: name another folder"
        raise UsageError(msg)
    if told.content.get("format") != FORMAT:
        raise told.wrong(key="format", message=f"is not {FORMAT}")
