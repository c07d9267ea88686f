"""crates.io: programs that cargo builds.

https://doc.rust-lang.org/cargo/commands/cargo-install.html
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import attrs
from zope.interface import implementer

from proxyreload.sources.interfaces import ISource
from proxyreload.sources.release import Release
from proxyreload.sources.tool import require_tool, told_by
from proxyreload.sources.version import Version

#: On a busy machine a proxy takes an hour.
_BUILD_LIMIT_S = 4 * 3600.0
#: An entry of what cargo remembers of its index: a version, and a JSON object.
_ENTRY = re.compile(rb"\0(\d[^\0]{0,100})\0(\{[^\0]*)(?=\0)")
_INDEX_LIMIT = 16 * 1024 * 1024


@implementer(ISource)
@attrs.frozen
class Cargo:
    """A crate whose program has the crate's name, or another.

    cargo looks at the hash of each crate that the index or the lock file names. It builds the program, which runs the
    build scripts of crates, as every build with cargo does; the program itself is not run.
    """

    crate: str
    program: str
    builds: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Return where it is from."""
        return f"crates.io {self.crate}"

    def releases(self) -> Sequence[Release]:
        """Let cargo look at its index, and read what it remembers of it: no command of its own lists versions."""
        told_by([_cargo(), "info", "--quiet", self.crate], self.name)
        found = {release.name: release for file in self._remembered() for release in indexed(file)}
        return list(found.values())

    def fetch(self, release: Release, into: Path, place: Path) -> None:  # noqa: ARG002
        """Let cargo build it."""
        how = ("--quiet", "--locked", "--version", f"={release.name}")
        told_by(
            [_cargo(), "install", *how, "--root", into, self.crate],
            f"{self.name} {release.name}",
            environment={**os.environ, "PATH": _path()},
            limit_s=_BUILD_LIMIT_S,
        )

    def _remembered(self) -> Iterator[bytes]:
        home = Path(os.environ.get("CARGO_HOME") or Path("~/.cargo").expanduser())
        for path in sorted(home.glob(f"registry/index/*/.cache/{_folders(self.crate)}/{self.crate}")):
            with suppress(OSError), path.open("rb") as file:
                yield file.read(_INDEX_LIMIT)


def indexed(remembered: bytes) -> Iterator[Release]:
    """Yield the releases in what cargo remembers of a crate, but those that were withdrawn (yanked).

    https://doc.rust-lang.org/cargo/reference/registry-index.html#json-schema
    """
    for match in _ENTRY.finditer(remembered):
        with suppress(ValueError, UnicodeDecodeError):
            about = json.loads(match[2])
            version = Version.of(match[1].decode("ascii"))
            if isinstance(about, dict) and not about.get("yanked"):
                yield Release(version, str(version), settled=version.is_final)


def _folders(crate: str) -> str:
    """Return where the index has a crate: by its first four letters, where it has more than three."""
    by_length = {1: "1", 2: "2", 3: f"3/{crate[:1]}"}
    return by_length.get(len(crate), f"{crate[:2]}/{crate[2:4]}")


def _path() -> str:
    """Return where programs are looked for: beside this Python too, for what its packages bring, protoc for one."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])


def _cargo() -> str:
    return require_tool("cargo", "it builds what crates.io has, https://rustup.rs", _path())
