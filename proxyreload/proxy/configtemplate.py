"""Configuration with marked places, in whatever syntax: text, and markers between two pairs of ``@``.

- ``@@name@@`` stands for a value.
- ``@@each name@@ … @@end@@`` is repeated for each of several; the values of one are inside it. What stands behind
  ``@@between@@`` in it comes between two of them alone, for lists with commas.
- ``@@if name@@ … @@end@@`` is there if there is such a value, what follows ``@@else@@`` in it if there is none.
- ``@@# words@@`` is a comment, which is left out: a JSON file can have it too.
- ``@@@@`` is two ``@`` as they are.

A marker stands on one line and has no ``@`` in it. A line that has nothing but ``each``, ``if``, ``else``,
``between``, ``end`` and comments is left out with its end; all else stays as it is, to the byte.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from proxyreload.errors import UsageError
from proxyreload.system.untrusted import printable

_MARKER = re.compile(r"@@([^@\n]*)@@")
_NAME = re.compile(r"[a-z][a-z0-9-]*")
#: What a line has that is left out, and the space around it.
_ALONE = re.compile(r"[ \t]*(?:@@(?:(?:each|if) [^@\n]*|else|between|end|#[^@\n]*)@@[ \t]*)+(?:\n|$)", re.MULTILINE)
#: Blocks in one another; of the text before it is filled in, and after, in characters.
DEPTH_AT_MOST, TEXT_AT_MOST, FILLED_AT_MOST = 16, 256 * 1024, 4 * 1024 * 1024

#: By name: text; whether something is so; or, of each of several, its own.
Values = Mapping[str, Any]


@attrs.frozen
class _Part:
    """Text as it is (`kind` empty), a value, or a block."""

    kind: str  #: empty, ``value``, ``each`` or ``if``
    line: int
    text: str  #: the text, or a name
    body: "tuple[_Part, ...]" = ()
    other: "tuple[_Part, ...]" = ()  #: behind ``between`` or ``else``


@attrs.frozen
class Template:
    """One file."""

    name: str  #: as it is told of
    text: str
    _parts: tuple[_Part, ...] = attrs.field(repr=False)
    used: Mapping[str, int] = attrs.field(repr=False)  #: each name in it, with the line where it stands first

    @classmethod
    def parse(cls, name: str, text: str) -> "Template":
        """Parse it; raises `UsageError` with the line of what is no marker."""
        if len(text) > TEXT_AT_MOST:
            msg = f"{name}: longer than {TEXT_AT_MOST} characters"
            raise UsageError(msg)
        parser = _Parser(name, list(_tokens(name, text)))
        parts, _end = parser.block((), 0)
        return cls(name, text, parts, parser.used)

    def filled(self, values: Values) -> str:
        """Return the text with all values in their places; raises `UsageError` for a name that has none."""
        pieces: list[str] = []
        self._fill(self._parts, [values], pieces, [FILLED_AT_MOST])
        return "".join(pieces)

    def _fill(self, parts: Sequence[_Part], scopes: list[Values], pieces: list[str], left: list[int]) -> None:
        for part in parts:
            if part.kind == "each":
                for index, each in enumerate(self._value(part, scopes)):
                    if index:
                        self._fill(part.other, scopes, pieces, left)
                    self._fill(part.body, [*scopes, each], pieces, left)
            elif part.kind == "if":
                self._fill(part.body if self._has(part, scopes) else part.other, scopes, pieces, left)
            else:
                text = str(self._value(part, scopes)) if part.kind else part.text
                left[0] -= len(text)
                if left[0] < 0:
                    raise self._wrong(part, f"longer than {FILLED_AT_MOST} characters when it is filled in")
                pieces.append(text)

    def _has(self, part: _Part, scopes: list[Values]) -> bool:
        return any(bool(scope[part.text]) for scope in reversed(scopes) if part.text in scope)

    def _value(self, part: _Part, scopes: list[Values]) -> Any:  # noqa: ANN401  (as the values are)
        for scope in reversed(scopes):
            if part.text in scope:
                return scope[part.text]
        raise self._wrong(part, f"there is no {part.text} here")

    def _wrong(self, part: _Part, message: str) -> UsageError:
        return UsageError(f"{self.name}:{part.line}: {message}")


def literal(text: str) -> str:
    """Return a text of somebody's as a template that is filled in to just that."""
    return re.sub("@@+", lambda found: found[0].replace("@@", "@@@@"), text)


def remark(words: str) -> str:
    """Return a line of comment; its words have no ``@``."""
    return f"@@# {words}@@\n"


#: A line, what it is (empty: text), and the text, or the words of a marker.
_Token = tuple[int, str, str]


def _tokens(name: str, text: str) -> Iterator[_Token]:
    """Yield text and markers in turn."""
    line = 1
    for chunk, alone in _lines(text):
        position = 0
        for marker in _MARKER.finditer(chunk):
            before = chunk[position : marker.start()]
            if not alone:
                yield line, "", _plain(name, line, before)
            line += before.count("\n")
            yield line, *_read(name, line, marker[1])
            position = marker.end()
        if not alone:
            yield line, "", _plain(name, line, chunk[position:])
        line += chunk.count("\n", position)


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the text in pieces, and whether one is a line that is left out but for its markers."""
    for line in re.findall(r"[^\n]*\n|[^\n]+$", text):
        yield line, _ALONE.fullmatch(line) is not None


def _plain(name: str, line: int, text: str) -> str:
    if "@@" in text:
        line += text[: text.index("@@")].count("\n")
        msg = f"{name}:{line}: @@ begins a marker that does not end on its line; two @ as they are are written @@@@"
        raise UsageError(msg)
    return text


def _read(name: str, line: int, words: str) -> tuple[str, str]:
    """Return what a marker is, and the name in it."""
    if not words:
        return "", "@@"
    if words.startswith("#"):
        return "#", ""
    first, _space, rest = words.partition(" ")
    if words in ("else", "between", "end"):
        return words, ""
    kind, of = (first, rest) if first in ("each", "if") else ("value", words)
    if _NAME.fullmatch(of) is None:
        msg = f"{name}:{line}: {printable(repr(f'@@{words}@@'))} is no marker"
        raise UsageError(msg)
    return kind, of


@attrs.define
class _Parser:
    """Makes blocks of tokens."""

    name: str
    tokens: list[_Token]
    used: dict[str, int] = attrs.field(factory=dict)
    _next: int = 0

    def block(self, ends: tuple[str, ...], begun: int, depth: int = 0) -> tuple[tuple[_Part, ...], str]:
        """Return the parts up to one of the `ends`, and which that was."""
        parts: list[_Part] = []
        if depth > DEPTH_AT_MOST:
            raise self._wrong(begun, f"more than {DEPTH_AT_MOST} blocks in one another")
        while self._next < len(self.tokens):
            line, kind, text = self.tokens[self._next]
            self._next += 1
            if kind in ("else", "between", "end"):
                if kind in ends:
                    return tuple(parts), kind
                raise self._wrong(line, f"@@{kind}@@ belongs to nothing that has begun")
            if kind == "#":
                continue
            if kind:
                self.used.setdefault(text, line)
            if kind in ("each", "if"):
                parts.append(self._whole(line, kind, text, depth))
            elif text:
                parts.append(_Part(kind, line, text))
        if ends:
            raise self._wrong(begun, "this block has no @@end@@")
        return tuple(parts), ""

    def _whole(self, line: int, kind: str, text: str, depth: int) -> _Part:
        second = "between" if kind == "each" else "else"
        body, end = self.block((second, "end"), line, depth + 1)
        other, _end = self.block(("end",), line, depth + 1) if end == second else ((), "")
        return _Part(kind, line, text, body, other)

    def _wrong(self, line: int, message: str) -> UsageError:
        return UsageError(f"{self.name}:{line}: {message}")
