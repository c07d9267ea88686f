"""Debian: the program of any suite, without installing it and without root.

A package and the libraries that it depends on are downloaded and unpacked, each in its place in one tree; nothing of
them is run.
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import attrs
from zope.interface import implementer

from proxyreload.errors import FetchError
from proxyreload.sources.aptfolder import AptFolder, Suite
from proxyreload.sources.interfaces import ISource
from proxyreload.sources.loader import bring_libraries
from proxyreload.sources.release import Release
from proxyreload.sources.tool import told_by
from proxyreload.sources.version import Version

#: The oldest first. https://www.debian.org/releases/
SUITES = (
    Suite("bullseye", ("bullseye-security",)),
    Suite("bookworm", ("bookworm-security",)),
    Suite("trixie", ("trixie-security",)),
    Suite("forky", settled=False),
    Suite("sid", settled=False),
    Suite("experimental", ("sid",), settled=False),
)
#: A version without its epoch, and without what is Debian's: https://www.debian.org/doc/debian-policy/ch-controlfields.html
_UPSTREAM = re.compile(r"(?:\d+:)?(\d+(?:\.\d+)*)")
_DEPENDENCY = re.compile(r" ( |\|)(?:Pre)?Depends: (<?)([a-z0-9.+-]+)(?::any)?>?")
#: What a program may be linked with; the rest is for a machine that it is installed on.
_LIBRARY = re.compile(r"lib|zlib")


@implementer(ISource)
@attrs.frozen
class Debian:
    """The package of a program.

    ``more`` names others that it needs and that are no libraries: they are unpacked with theirs into the same tree. By
    ``renamed`` the package has another name in a suite.
    """

    package: str
    program: str
    more: Sequence[str] = ()
    renamed: Sequence[tuple[str, str]] = ()  #: suites, and its name there
    suites: Sequence[Suite] = SUITES
    builds: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Return where it is from: what is looked for elsewhere than usual is kept apart."""
        where = "" if self.suites == SUITES else f" ({', '.join(suite.name for suite in self.suites)})"
        return f"Debian {self.package}{where}"

    def releases(self) -> Sequence[Release]:
        """Ask apt, suite by suite; of several with one version the first has it."""
        found: dict[str, Release] = {}
        for suite in self.suites:
            with AptFolder(suite).opened() as apt:
                name = apt.candidate(self._package(suite))
            version = upstream(name)
            if version is not None:
                found.setdefault(name, Release(version, name, suite.name, settled=suite.settled))
        return list(found.values())

    def fetch(self, release: Release, into: Path, place: Path) -> None:
        """Download and unpack it."""
        suite = next((each for each in self.suites if each.name == release.where), None)
        if suite is None:
            msg = f"{self.name} {release.name} is of no suite that is known: {release.where}"
            raise FetchError(msg)
        with AptFolder(suite).opened() as apt, tempfile.TemporaryDirectory(prefix="proxyreload-debian-") as folder:
            package = self._package(suite)
            names = dict.fromkeys(self.more)
            for each in (package, *self.more):
                names |= dict.fromkeys(libraries(each, apt.depends(each)))
            names.pop(package, None)
            for file in apt.download([f"{package}={release.name}", *names], Path(folder)):
                told_by(["dpkg-deb", "--extract", file, into], f"{self.name} {release.name}")
        bring_libraries(into, place)

    def _package(self, suite: Suite) -> str:
        return dict(self.renamed).get(suite.name, self.package)


def upstream(name: str) -> Version | None:
    """Return which version of the program a package's version has; None if there is none."""
    match = _UPSTREAM.match(name)
    return None if match is None else Version.of(match[1])


def libraries(package: str, depends: str) -> list[str]:
    """Return the libraries that a package depends on, and these in turn, of what ``apt-cache depends --recurse`` says.

    Of alternatives the first, and of a name that several packages provide the first of these.
    """
    needs = _needs(depends)
    found: dict[str, None] = {}
    wanted = [package]
    while wanted:
        for name in needs.get(wanted.pop(), ()):
            if name not in found and _LIBRARY.match(name):
                found[name] = None
                wanted.append(name)
    return list(found)


def _needs(depends: str) -> dict[str, list[str]]:
    """Return what each package depends on itself."""
    needs: dict[str, list[str]] = {}
    package = ""
    chosen = virtual = False  # whether an alternative stands already; whether one that provides it is to come
    for line in depends.splitlines():
        match = _DEPENDENCY.fullmatch(line)
        if match is not None:
            if not chosen:
                virtual = bool(match[2])
                if not virtual:
                    needs[package].append(match[3])
            chosen = match[1] == "|"
        elif line.startswith("    "):
            if virtual:
                needs[package].append(line.strip())
                virtual = False
        elif line and not line.startswith(" "):
            package = line.strip("<>")
            needs.setdefault(package, [])
            chosen = virtual = False
    return needs
