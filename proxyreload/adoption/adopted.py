"""A real configuration as a template: what was asked for, and what came of it."""

import difflib
from collections.abc import Callable, Collection, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import attrs

from proxyreload.errors import UsageError
from proxyreload.system.untrusted import printable


@attrs.frozen
class Wanted:
    """Which of the many things in a file are the ones that the clients use; empty: the only one."""

    backend: str = ""
    frontend: str = ""


@attrs.frozen
class Remark:
    """What was done in a line that changes what it says, or could not be done safely."""

    line: int
    words: str


@attrs.frozen
class Adopted:
    """A template, and what is to be said of it."""

    text: str
    remarks: Sequence[Remark] = ()
    lines_of: str = ""  #: what the lines are counted in, if that is not the file alone
    adapted: str = ""  #: what the template was made of, if that is not the file's text

    def told(self, name: str) -> Iterator[str]:
        """Yield the remarks, by their lines in the file called `name`."""
        for remark in sorted(self.remarks, key=lambda each: each.line):
            yield f"{name}{self.lines_of}:{remark.line}: {printable(remark.words)}"

    def difference(self, before: str, name: str) -> Iterator[str]:
        """Yield the lines of a unified diff to the template: from the file as it was, or as it was `adapted`."""
        lines = (self.adapted or before).splitlines(), self.text.splitlines()
        source = f"{name}{self.lines_of}" if self.adapted else name
        yield from difflib.unified_diff(*lines, source, f"{name}, adopted", lineterm="")


@attrs.frozen
class Adopter:
    """How a plugin makes a template of a real file of its proxy's."""

    names: Collection[str]  #: what such files are called, as in ``haproxy*.cfg``
    #: Of the text, where that is, and what is wanted; raises `UsageError` with the line of what it cannot do safely.
    adopt: Callable[[str, Path, Wanted], Adopted]

    def knows(self, path: Path) -> bool:
        """Whether a file is called like one of its proxy's."""
        return any(fnmatch(path.name, name) for name in self.names)


def chosen(path: Path, what: str, wanted: str, there: Sequence[str]) -> str:
    """Return the one that is wanted of those that are `there`, or the only one; raises `UsageError`."""
    names = ", ".join(map(printable, dict.fromkeys(there))) or "none"
    if wanted and wanted not in there:
        msg = f"{path}: no {what} {printable(repr(wanted))}; there are: {names}"
        raise UsageError(msg)
    if not wanted and len(set(there)) != 1:
        msg = f"{path}: say which {what} the clients use (--{what}); there are: {names}"
        raise UsageError(msg)
    return wanted or there[0]
