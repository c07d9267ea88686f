"""The files of famous bugs, TOML."""

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import attrs

from proxyreload.casebook.bug import Bug, Expectation, Showing, Turn
from proxyreload.casebook.versionwords import Versions
from proxyreload.errors import UsageError
from proxyreload.ledger.cause import Cause
from proxyreload.ledger.fate import Fate
from proxyreload.plan.document import document
from proxyreload.plan.statement import Keys, line_of
from proxyreload.system.boundedfile import read_text
from proxyreload.system.untrusted import printable
from proxyreload.verdict.judgement import Verdict

_SIZE_LIMIT = 64 * 1024
_PARTS_AT_MOST = 4
_LINE_LIMIT, _TEXT_LIMIT, _LINES_AT_MOST = 200, 2000, 100
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_ENDING = ".toml"
_KEYS = (
    *("title", "source", "told", "versions", "mechanism", "words", "scenario", "config", "shows", "expect", "cure"),
)
_SHOWS_KEYS = ("versions", "seen")
_CONFIG_KEYS = ("text", "becomes")
_EXPECT_KEYS = ("verdict", "kind", "cause", "fate")
T = TypeVar("T", Cause, Fate)
_CURE_KEYS = ("told", "source", "mechanism", "words", "config", "verdict", "versions")


def names() -> list[str]:
    """Return the names of those that come with the program."""
    folder = files("proxyreload.casebook").joinpath("bugs")
    return sorted(each.name.removesuffix(_ENDING) for each in folder.iterdir() if each.name.endswith(_ENDING))


def known(name: str) -> Bug:
    """Return the one of this name, or of this file if it ends in ``.toml``; raises `UsageError`."""
    if name.endswith(_ENDING):
        return parse(read_text(Path(name), _SIZE_LIMIT), name)
    if name not in names():
        msg = f"no case {printable(repr(name), 60)}; there are: {', '.join(names())}"
        raise UsageError(msg)
    text = files("proxyreload.casebook").joinpath("bugs", name + _ENDING).read_text(encoding="utf-8")
    return parse(text, name + _ENDING)


def parse(text: str, name: str) -> Bug:
    """Return what a file says; raises `UsageError` with file and line."""
    return _Table(name, text, document(text, name, _PARTS_AT_MOST), ()).bug()


@attrs.frozen
class _Table:
    """A table of the file, to say in which line something is wrong."""

    name: str
    text: str
    content: Mapping[str, Any]
    path: Keys

    def bug(self) -> Bug:
        """Return what it says."""
        self.know(_KEYS)
        expect, cure = self.table("expect"), self.table("cure")
        expect.know(_EXPECT_KEYS)
        cure.know(_CURE_KEYS)
        shown = Turn(self.line("mechanism"), tuple(self.lines("words", [])), self.config())
        words = tuple(cure.lines("words", list(shown.words)))
        cured = Turn(cure.line("mechanism", shown.mechanism), words, cure.config())
        if cured == shown:
            raise self.wrong(("cure",), "the cure changes nothing: it takes another mechanism, words or config")
        kind = expect.line("kind", "")
        fate = expect.one_of("fate", Fate)
        return Bug(
            name=self.own_name(),
            title=self.line("title"),
            sources=tuple(self.lines("source")),
            told=self.prose("told"),
            versions=self.line("versions"),
            scenario=self.prose("scenario", ""),
            shown=shown,
            expected=Expectation(expect.verdicts(), kind, expect.one_of("cause", Cause), fate),
            cured=cured,
            cure=cure.line("told"),
            cure_source=cure.line("source"),
            healed=Expectation(cure.verdicts(), kind, never=fate),
            shows=self.shows(),
            cured_in=cure.versions() if "versions" in cure.content else None,
        )

    def own_name(self) -> str:
        """Return what the file's name says; raises `UsageError`."""
        name = Path(self.name).name.removesuffix(_ENDING)
        if _NAME.fullmatch(name) is None:
            msg = f"{printable(self.name)}: a case's name has small letters, digits and hyphens"
            raise UsageError(msg)
        return name

    def know(self, keys: tuple[str, ...]) -> None:
        """Refuse a key that is none; raises `UsageError`."""
        for key in self.content:
            if key not in keys:
                raise self.wrong((key,), f"unknown key {printable(repr(key), 60)}; there are: {', '.join(keys)}")

    def table(self, key: str) -> "_Table":
        """Return a table; raises `UsageError`."""
        content = self.content.get(key)
        if not isinstance(content, dict):
            raise self.wrong((key,), f"write [{key}], a table")
        return _Table(self.name, self.text, content, (*self.path, key))

    def prose(self, key: str, default: str | None = None) -> str:
        """Return a text; raises `UsageError`."""
        value = self.content.get(key, default)
        if not isinstance(value, str) or len(value) > _TEXT_LIMIT:
            raise self.wrong((key,), f"{key} must be a text of {_TEXT_LIMIT} characters at most")
        return value

    def line(self, key: str, default: str | None = None) -> str:
        """Return a text of one line; raises `UsageError`."""
        value = self.prose(key, default)
        if "\n" in value or len(value) > _LINE_LIMIT:
            raise self.wrong((key,), f"{key} must be a line of {_LINE_LIMIT} characters at most")
        return value

    def lines(self, key: str, default: list[str] | None = None) -> list[str]:
        """Return several; raises `UsageError`."""
        value = self.content.get(key, default)
        right = isinstance(value, list) and len(value) <= _LINES_AT_MOST
        if not right or not all(isinstance(each, str) and "\n" not in each for each in value):
            raise self.wrong((key,), f"{key} must be a list of texts")
        return list(value)

    def shows(self) -> tuple[Showing, ...]:
        """Return in which versions it shows, and what was seen there; raises `UsageError`."""
        tables = self.content.get("shows", [])
        if not isinstance(tables, list) or len(tables) > _LINES_AT_MOST:
            raise self.wrong(("shows",), "write the versions that show it under [[shows]]")
        found = []
        for index, content in enumerate(tables):
            if not isinstance(content, dict) or set(content) != set(_SHOWS_KEYS):
                raise self.wrong(("shows", index), f"what shows it has {' and '.join(_SHOWS_KEYS)}")
            each = _Table(self.name, self.text, content, (*self.path, "shows", index))
            found.append(Showing(each.versions(), each.line("seen")))
        return tuple(found)

    def versions(self) -> Versions:
        """Return some versions of a program; raises `UsageError`."""
        try:
            return Versions.of(self.line("versions"))
        except UsageError as error:
            raise self.wrong(("versions",), str(error)) from error

    def config(self) -> dict[str, str]:
        """Return what takes the place of what in a configuration; raises `UsageError`."""
        tables = self.content.get("config", [])
        if not isinstance(tables, list) or len(tables) > _LINES_AT_MOST:
            raise self.wrong(("config",), "write each change of the configuration under [[config]]")
        changes = {}
        for index, content in enumerate(tables):
            if not isinstance(content, dict) or set(content) != set(_CONFIG_KEYS):
                raise self.wrong(("config", index), f"a change of the configuration has {' and '.join(_CONFIG_KEYS)}")
            change = _Table(self.name, self.text, content, (*self.path, "config", index))
            changes[change.prose("text")] = change.prose("becomes")
        return changes

    def verdicts(self) -> frozenset[Verdict]:
        """Return one verdict, or several that are all right; raises `UsageError`."""
        value: Any = self.content.get("verdict")
        told = value if isinstance(value, list) else [value]
        known = {each.value: each for each in Verdict}
        if not told or not all(isinstance(each, str) and each in known for each in told):
            raise self.wrong(("verdict",), f"verdict must be of {', '.join(known)}")
        return frozenset(known[each] for each in told)

    def one_of(self, key: str, kind: type[T]) -> T | None:
        """Return a name that is known, None if there is none; raises `UsageError`."""
        if key not in self.content:
            return None
        known = {each.value: each for each in kind}
        value = self.content[key]
        if not isinstance(value, str) or value not in known:
            raise self.wrong((key,), f"{key} must be one of {', '.join(known)}")
        return known[value]

    def wrong(self, path: Keys, message: str) -> UsageError:
        """Return the error for the value at `path`, or if it is missing, for its table."""
        place = (*self.path, *path) if path[0] in self.content else self.path
        return UsageError(f"{self.name}:{line_of(self.text, place) if place else 1}: {message}")
