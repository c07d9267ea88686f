"""The statements of a TOML document: in which line each stands, and what it brings in.

`tomllib` does not say where a value stands. Each statement is parsed by itself to learn that, so that a long document
takes no longer than a short one, line for line.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

#: Where a value stands in a document: keys of tables and indices of arrays.
Keys = tuple[str | int, ...]

#: Strings and comments, which may not be closed yet; dotted keys, and numbers; brackets; line ends. Whatever the text
#: is, each of its characters is looked at a few times at most.
_STRINGS = r'"(?:[^"\\\n]|\\.)*+"?' + "|" + r"'[^'\n]*+'?"
_PART = rf"(?:[A-Za-z0-9_-]++|{_STRINGS})"
_TOKEN = re.compile(
    r"#[^\n]*+"
    r'|"""(?:[^"\\]|\\.|"{1,2}+(?!"))*+(?:"{3,5}+)?'
    r"|'''(?:[^']|'{1,2}+(?!'))*+(?:'{3,5}+)?"
    rf"|(?P<key>{_PART}(?:[ \t]*+\.[ \t]*+{_PART})*+)"
    r"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<end>\n)",
    re.DOTALL,
)
_QUOTED = re.compile(_STRINGS, re.DOTALL)


@attrs.frozen
class Statement:
    """One table's heading, or one key and its value."""

    text: str
    line: int  #: its last

    @property
    def content(self) -> dict[str, Any]:
        """What it says by itself, empty if nothing; raises `ValueError`."""
        return tomllib.loads(self.text)


def statements(text: str) -> Iterator[Statement]:
    """Split a document that is right, or the right beginning of one that is not."""
    begin, line, depth = 0, 1, 0
    for token in _TOKEN.finditer(text):
        if token["end"] is None:
            line += token[0].count("\n")
            depth += (token["open"] is not None) - (token["close"] is not None)
            continue
        if depth <= 0:
            yield Statement(text[begin : token.end()], line)
            begin, depth = token.end(), 0
        line += 1
    yield Statement(text[begin:], line)


def deep_key(text: str, most: int) -> int:
    """Return the line of the first key of more than `most` parts, 0 if there is none."""
    for token in _TOKEN.finditer(text):
        key = token["key"]
        if key and key.count(".") >= most and _QUOTED.sub("", key).count(".") >= most:
            return text.count("\n", 0, token.start()) + 1
    return 0


def line_of(text: str, path: Keys) -> int:
    """Return the line that brings in the value at `path`, its last one; the document's last if none does."""
    table: Keys = ()
    arrays: dict[Keys, int] = {}  # how many tables each array of tables has so far
    last = 1
    for statement in statements(text):
        content = statement.content
        if statement.text.lstrip().startswith("["):
            table = _heading(content, arrays)
            if table[: len(path)] == path:
                return statement.line
        elif path[: len(table)] == table and _has(content, path[len(table) :]):
            return statement.line
        if statement.text:
            last = statement.line
    return last


def _heading(content: Mapping[str, Any], arrays: dict[Keys, int]) -> Keys:
    """Return where the table of this heading stands."""
    path: Keys = ()
    value: Any = content
    while value:
        if isinstance(value, list):
            arrays[path] = arrays.get(path, 0) + 1
            return (*path, arrays[path] - 1)
        [(key, value)] = value.items()
        path = (*path, key)
        if path in arrays and not isinstance(value, list):
            path = (*path, arrays[path] - 1)
    return path


def _has(content: Mapping[str, Any], path: Keys) -> bool:
    value: Any = content
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return False
    return bool(content)
