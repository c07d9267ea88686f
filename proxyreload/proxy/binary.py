"""Where a proxy's program is found."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from proxyreload.errors import StartError, UsageError
from proxyreload.system.untrusted import printable

#: What was built by hand is kept here, in ``bin``: outside every checkout.
CACHE_VARIABLE = "XDG_CACHE_HOME"


def cache_folder() -> Path:
    """Return the user's cache folder of this program."""
    base = os.environ.get(CACHE_VARIABLE) or os.path.expanduser("~/.cache")  # noqa: PTH111  (some users have no home)
    return Path(base) / "proxyreload"


@attrs.frozen
class Binary:
    """A program: the path that was asked for, else a package's, else beside this Python, on PATH, in the cache."""

    name: str
    how_to_get: str  #: in a line, for whoever has not got it
    version_args: Sequence[str] = ("--version",)
    packaged: Callable[[], str | None] | None = None  #: the path inside a Python package, if that is installed

    def find(self, asked_for: str | None = None, option: str = "--binary") -> Path:
        """Return where it is, or what `option` asks for; raises `UsageError` or `StartError` with what to do."""
        if asked_for is not None:
            found = shutil.which(asked_for)
            if found is None:
                msg = f"{option} {asked_for}: no such program"
                raise UsageError(msg)
            return Path(found).absolute()
        for place in self._places():
            if place is not None and (found := shutil.which(place)) is not None:
                return Path(found).absolute()
        msg = f"{self.name} is not installed: {self.how_to_get}, or say where it is with --binary"
        raise StartError(msg)

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
        return [packaged, beside, self.name, str(cache_folder() / "bin" / self.name)]
