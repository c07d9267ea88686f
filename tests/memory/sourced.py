"""Sources that have what the test says, and count who asks."""

from collections.abc import Sequence
from pathlib import Path

import attrs
from zope.interface import implementer

from proxyreload.errors import FetchError
from proxyreload.sources.interfaces import ISource
from proxyreload.sources.release import Release
from proxyreload.sources.version import Version


def release(name: str, *, settled: bool = True) -> Release:
    return Release(Version.of(name), name, settled=settled)


@implementer(ISource)
@attrs.define
class FakeSource:
    """One whose programs say their version; without releases it cannot be asked."""

    names: Sequence[str] = ()
    name: str = "Fake fakeproxy"
    program: str = "bin/fakeproxy"
    unsettled: Sequence[str] = ()
    builds: bool = False
    breaks: bool = False  #: halfway through what it fetches
    asked: int = 0
    fetched: list[str] = attrs.field(factory=list)
    places: list[Path] = attrs.field(factory=list)

    def releases(self) -> Sequence[Release]:
        self.asked += 1
        if not self.names:
            msg = f"{self.name}: no route to host"
            raise FetchError(msg)
        return [release(name, settled=name not in self.unsettled) for name in self.names]

    def fetch(self, release: Release, into: Path, place: Path) -> None:
        self.fetched.append(release.name)
        self.places.append(place)
        program = into / "bin" / "fakeproxy"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho fakeproxy {release.name}\n", encoding="utf-8")
        if self.breaks:
            msg = f"{self.name} {release.name}: the connection was reset"
            raise FetchError(msg)
        program.chmod(0o755)
