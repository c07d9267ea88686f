"""One version that a source has."""

from urllib.parse import quote

import attrs

from proxyreload.sources.version import Version


@attrs.frozen
class Release:
    """What a source calls it, and which version that is."""

    version: Version
    name: str  #: the source's own: ``3.0.11-1+deb13u2``
    where: str = ""  #: the part of the source that has it, a suite for one
    settled: bool = True  #: whether it is taken unasked; else only where its version is named

    @property
    def folder_name(self) -> str:
        """Return its name as a folder may have it; a colon would part the folders of a search path."""
        return quote(self.name, safe="+~")
