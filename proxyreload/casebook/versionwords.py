"""Some versions of a program, in the words of a case's file: ``2.4 and later``."""

import re
from collections.abc import Callable

import attrs

from proxyreload.errors import UsageError
from proxyreload.sources.version import Version
from proxyreload.system.untrusted import printable

_WORDS = re.compile(r"all|(before )?([\w.+~-]+)(?:( and later)| to ([\w.+~-]+))?")
TAKES = "all, 2.4, 2.4 and later, 2.4 to 2.8, or before 2.4"


@attrs.frozen
class Versions:
    """Which they are. A line has all that begins with it: ``2.4`` is 2.4.0 and 2.4.30, and ``to 2.8`` has 2.8.25."""

    words: str
    have: Callable[[Version], bool] = attrs.field(eq=False, repr=False)

    @classmethod
    def of(cls, words: str) -> "Versions":
        """Read them; raises `UsageError`."""
        found = _WORDS.fullmatch(words)
        if found is None or (found[1] and (found[3] or found[4])):
            raise _wrong(words)
        try:
            first, last = (Version.of(each) if each else None for each in (found[2], found[4]))
        except ValueError as error:
            raise _wrong(words) from error
        if first is None:
            return cls(words, lambda _version: True)
        if found[1]:
            return cls(words, lambda version: not _from(version, first))
        if last is None and not found[3]:
            return cls(words, lambda version: version.begins_with(first))
        return cls(words, lambda version: _from(version, first) and (last is None or _up_to(version, last)))

    def __str__(self) -> str:
        """Return them as they were said."""
        return self.words


def _from(version: Version, first: Version) -> bool:
    return version >= first or version.begins_with(first)


def _up_to(version: Version, last: Version) -> bool:
    return version <= last or version.begins_with(last)


def _wrong(words: str) -> UsageError:
    return UsageError(f"versions are {TAKES}, not {printable(repr(words), 60)}")
