"""Versions: their order, which one a few numbers mean, and which ones a range has."""

import re
from collections.abc import Callable, Iterable
from functools import total_ordering
from typing import TypeVar

import attrs

from proxyreload.errors import UsageError
from proxyreload.system.untrusted import printable

Versioned = TypeVar("Versioned")

#: Numbers, and what may follow: ``3.0.11``, ``1.36.2.post1``, ``2.0.0-rc.1``.
_VERSION = re.compile(r"(\d+(?:\.\d+)*)((?:[.\-_+~]?[A-Za-z].*)?)")
_BEFORE_A_RELEASE = re.compile(r"[.\-_~]?(?:a|alpha|b|beta|c|rc|pre|preview|dev)(?![a-z])", re.IGNORECASE)
_LIMIT = 100
_TO = ".."


@total_ordering
@attrs.frozen(order=False)
class Version:
    """One version: its numbers, and what follows them, if anything does."""

    numbers: tuple[int, ...]
    rest: str = ""

    @classmethod
    def of(cls, text: str) -> "Version":
        """Read one; raises `ValueError` if a text is none."""
        match = _VERSION.fullmatch(text) if len(text) <= _LIMIT else None
        if match is None:
            msg = f"{printable(text)} is no version"
            raise ValueError(msg)
        return cls(tuple(map(int, match[1].split("."))), match[2])

    @property
    def is_final(self) -> bool:
        """Whether it is no alpha, beta or release candidate."""
        return _BEFORE_A_RELEASE.match(self.rest) is None

    def begins_with(self, other: "Version") -> bool:
        """Whether it is this version, or one of its line: 3.2.26 begins with 3.2, and 3.20 does not."""
        line = self.numbers[: len(other.numbers)] == other.numbers
        return line and (not other.rest or self.rest == other.rest)

    def __lt__(self, other: "Version") -> bool:
        """Compare number by number; a candidate comes before what it is a candidate for."""
        return self._key < other._key

    @property
    def _key(self) -> tuple[tuple[int, ...], bool, str]:
        return self.numbers, self.is_final, self.rest

    def __str__(self) -> str:
        """Return the text that it was read from."""
        return ".".join(map(str, self.numbers)) + self.rest


def is_version(text: str) -> bool:
    """Whether a text that may name a program too is a version: a path has a slash, a program a letter first."""
    try:
        Version.of(text)
    except ValueError:
        return False
    return True


@attrs.frozen
class Span:
    """The versions from one to another, both lines included, as ``2.2..3.4``.

    It has as many of them as its ends are exact: of ``2.2..3.4`` the newest of each 2.x and 3.x, of ``2.8.20..2.8.25``
    each one.
    """

    first: Version
    last: Version

    @classmethod
    def of(cls, option: str, text: str) -> "Span":
        """Read ``FIRST..LAST``; raises `UsageError`."""
        first, dots, last = text.partition(_TO)
        try:
            span = cls(Version.of(first), Version.of(last))
        except ValueError:
            span = None
        if not dots or span is None or (span.last < span.first and not span.first.begins_with(span.last)):
            msg = f"{option} takes FIRST{_TO}LAST, as 2.2{_TO}3.4, not '{printable(text)}'"
            raise UsageError(msg)
        return span

    def of_these(self, things: Iterable[Versioned], version_of: Callable[[Versioned], Version]) -> list[Versioned]:
        """Return those of a range, the oldest first."""
        depth = max(len(self.first.numbers), len(self.last.numbers))
        newest: dict[tuple[int, ...], Versioned] = {}
        for thing in sorted(things, key=version_of):
            version = version_of(thing)
            after = version >= self.first or version.begins_with(self.first)
            if version.is_final and after and (version <= self.last or version.begins_with(self.last)):
                newest[version.numbers[:depth]] = thing
        return list(newest.values())

    def __str__(self) -> str:
        """Return it as it was said."""
        return f"{self.first}{_TO}{self.last}"
