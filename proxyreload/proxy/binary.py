"""Where a proxy's program is found."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from proxyreload.errors import StartError, UsageError
from proxyreload.sources.catalogue import Catalogue, asks_for_version
from proxyreload.sources.interfaces import ISource
from proxyreload.sources.store import already_there
from proxyreload.system.cachefolder import cache_folder
from proxyreload.system.untrusted import printable


@attrs.frozen
class Binary:
    """A program: the path or the version that was asked for, else a package's, beside this Python, on PATH, in sbin.

    Else in the cache: what was built by hand into ``bin``, or the newest that was fetched from its sources.
    """

    name: str
    how_to_get: str  #: in a line, for whoever has not got it
    version_args: Sequence[str] = ("--version",)
    packaged: Callable[[], str | None] | None = None  #: the path inside a Python package, if that is installed
    sources: Sequence[ISource] = ()  #: where other versions are to be had, the first choice first

    @property
    def catalogue(self) -> Catalogue:
        """The versions that its sources have."""
        return Catalogue(self.name, self.sources)

    def find(self, asked_for: str | None = None, option: str = "--binary") -> Path:
        """Return where it is, or what `option` asks for; raises `UsageError` or `StartError` with what to do.

        A version that is asked for is fetched, which may take a while, if it is not in the cache.
        """
        if asked_for is not None and self.is_version(asked_for):
            return self.catalogue.program_of(asked_for)
        if asked_for is not None:
            found = shutil.which(asked_for)
            if found is None:
                msg = f"{option} {asked_for}: no such program"
                raise UsageError(msg)
            return Path(found).absolute()
        for place in self._places():
            if place is not None and (found := shutil.which(place)) is not None:
                return Path(found).absolute()
        fetched = list(already_there(self.sources))
        if fetched and (program := max(fetched, key=lambda offer: offer.version).program) is not None:
            return program
        msg = f"{self.name} is not installed: {self.how_to_get}, or say where it is with --binary"
        raise StartError(msg)

    def is_version(self, asked_for: str | None) -> bool:
        """Whether that is one of its versions to be had, and no path or name of a program."""
        return asks_for_version(asked_for, self.sources)

    def version(self, path: Path) -> str:
        """Return the first line that has a digit of what the program says of itself, empty if it says nothing."""
        try:
            said = subprocess.run(
                [path, *self.version_args], capture_output=True, timeout=10, check=False, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        lines = (said.stdout + said.stderr).decode("utf-8", "replace").splitlines()
        told = (" ".join(line.replace(str(path), self.name).split()) for line in lines)
        return next((printable(line, 80) for line in told if any(map(str.isdigit, line))), "")

    def _places(self) -> list[str | None]:
        packaged = None
        if self.packaged is not None:
            try:
                packaged = self.packaged()
            except ImportError:
                packaged = None
        beside = str(Path(sys.executable).parent / self.name)
        # Distributions have proxies where the PATH of an ordinary user does not lead.
        return [packaged, beside, self.name, f"/usr/sbin/{self.name}", str(cache_folder() / "bin" / self.name)]
