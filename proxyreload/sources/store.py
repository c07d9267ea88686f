"""What has been fetched: a folder for each source and each version, complete or not there."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import attrs

from proxyreload.errors import FetchError
from proxyreload.sources.interfaces import ISource
from proxyreload.sources.release import Release
from proxyreload.sources.version import Version
from proxyreload.system.cachefolder import cache_folder
from proxyreload.system.locked import locked
from proxyreload.system.wholefile import read_some

_TREE, _ABOUT, _LOCK = "tree", "release.json", "lock"
#: What is not finished begins with it; no release does.
_UNFINISHED = "."
_ABOUT_LIMIT = 10_000


@attrs.frozen
class Offer:
    """A release, and who has it."""

    source: ISource
    release: Release

    @property
    def version(self) -> Version:
        """Return the program's version."""
        return self.release.version

    @property
    def origin(self) -> str:
        """Return where it is from, in a few words."""
        name = self.release.name if self.release.name != str(self.version) else ""
        return " ".join(filter(None, [self.source.name, self.release.where, name]))

    @property
    def program(self) -> Path | None:
        """Return the program, if it has been fetched."""
        return _program(self._folder / _TREE, self.source.program)

    def fetched(self) -> Path:
        """Return the program, fetched if it is not there yet; raises `FetchError`.

        Two that want the same at once fetch it once.
        """
        if (program := self.program) is not None:
            return program
        store = folder_of(self.source)
        try:
            store.mkdir(parents=True, exist_ok=True)
            with locked(store / _LOCK):
                for left in store.glob(f"{_UNFINISHED}*"):  # by somebody who was ended meanwhile: we have the lock
                    shutil.rmtree(left, ignore_errors=True)
                if self.program is None:
                    self._fetch(store)
        except OSError as error:
            msg = f"{self.origin} cannot be kept: {error.filename or store}: {error.strerror}"
            raise FetchError(msg) from error
        if (program := self.program) is None:
            msg = f"{self.origin} has no program {self.source.program}"
            raise FetchError(msg)
        return program

    def _fetch(self, store: Path) -> None:
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=store))
        try:
            unfinished.chmod(0o755)
            tree = unfinished / _TREE
            tree.mkdir()
            self.source.fetch(self.release, tree, self._folder / _TREE)
            if _program(tree, self.source.program) is None:
                msg = f"{self.origin} has no program {self.source.program}"
                raise FetchError(msg)
            about = as_plain(self.release)
            (unfinished / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
            if self._folder.exists():  # somebody has taken something out of it
                self._folder.rename(unfinished / "before")
            unfinished.rename(self._folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    @property
    def _folder(self) -> Path:
        return folder_of(self.source) / self.release.folder_name


def folder_of(source: ISource) -> Path:
    """Return where what a source has is kept."""
    return cache_folder() / "versions" / "-".join(source.name.split()).replace("/", "-")


def already_there(sources: Sequence[ISource]) -> Iterator[Offer]:
    """Yield what has been fetched; asks nobody."""
    for source in sources:
        for about in sorted(folder_of(source).glob(f"[!{_UNFINISHED}]*/{_ABOUT}")):
            with suppress(OSError, ValueError):
                offer = Offer(source, of_plain(json.loads(read_some(about, _ABOUT_LIMIT))))
                if offer.program is not None:
                    yield offer


def as_plain(release: Release) -> dict[str, object]:
    """Return a release as it stands in a file."""
    return {**attrs.asdict(release, recurse=False), "version": str(release.version)}


def of_plain(content: object) -> Release:
    """Return the release that stands in a file; raises `ValueError` if none does."""
    about = content if isinstance(content, dict) else {}
    version, name, where = (about.get(key) for key in ("version", "name", "where"))
    if not (isinstance(version, str) and isinstance(name, str) and isinstance(where, str)):
        msg = "no release"
        raise ValueError(msg)  # noqa: TRY004  (it is what a file has, not what a caller gave)
    return Release(Version.of(version), name, where, settled=bool(about.get("settled")))


def _program(tree: Path, pattern: str) -> Path | None:
    return next((path for path in sorted(tree.glob(pattern)) if path.is_file() and os.access(path, os.X_OK)), None)
