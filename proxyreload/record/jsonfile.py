"""A file of JSON that somebody may have tampered with: bounded, and each value what it should be."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from proxyreload.errors import UsageError
from proxyreload.system.boundedfile import read_bounded
from proxyreload.system.untrusted import one_line, printable

_SIZE_LIMIT = 64 * 1024 * 1024
#: What a page takes of a list or a table that somebody else filled: two latencies for each of 20,000 changes.
_ENTRIES_AT_MOST = 50_000
WORDS_AT_MOST = 200
LARGEST = 10**15


def read_table(path: Path) -> "Table":
    """Read a file that is a table; raises `UsageError` with file and line where it is none."""
    return table_of(path, read_content(path))


def read_content(path: Path) -> bytes:
    """Return what is in such a file; raises `UsageError` if it cannot be read, or is too long."""
    return read_bounded(path, _SIZE_LIMIT)


def table_of(path: Path, content: bytes) -> "Table":
    """Return the table that is the content of the file at `path`; raises likewise."""
    try:
        table = json.loads(content)
    except json.JSONDecodeError as error:
        msg = f"{path}:{error.lineno}: not JSON: {error.msg}"
        raise UsageError(msg) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, endless digits, nested too deeply
        msg = f"{path}:1: not JSON: {one_line(str(error))}"
        raise UsageError(msg) from error
    if not isinstance(table, dict):
        msg = f"{path}:1: not a table"
        raise UsageError(msg)
    return Table(str(path), "", table)


@attrs.frozen
class Table:
    """A table of the file, and the way to it."""

    file: str
    path: str
    content: Mapping[str, Any]

    def wrong(self, *, key: str, message: str) -> UsageError:
        """Return the error for what is at `key`."""
        return UsageError(f"{self.file}: {self.path}{printable(key, 60)} {message}")

    def table(self, key: str) -> "Table":
        """Return a table in it, an empty one if there is none; raises `UsageError`."""
        value = self.content.get(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.wrong(key=key, message="is not a table")
        if len(value) > _ENTRIES_AT_MOST:
            raise self.wrong(key=key, message=f"has more than {_ENTRIES_AT_MOST} entries")
        return Table(self.file, f"{self.path}{printable(key, 60)}.", value)

    def tables(self, key: str, most: int = _ENTRIES_AT_MOST) -> "list[Table]":
        """Return a list of tables; raises `UsageError`."""
        values = self.list(key, most)
        if not all(isinstance(value, dict) for value in values):
            raise self.wrong(key=key, message="is not a list of tables")
        return [Table(self.file, f"{self.path}{printable(key, 60)} {n}: ", value) for n, value in enumerate(values, 1)]

    def list(self, key: str, most: int = _ENTRIES_AT_MOST) -> list[Any]:
        """Return a list, an empty one if there is none; raises `UsageError`."""
        value = self.content.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key=key, message="is not a list")
        if len(value) > most:
            raise self.wrong(key=key, message=f"has more than {most} entries")
        return value

    def text(self, key: str) -> str:
        """Return a text fit to be shown, an empty one if there is none; raises `UsageError`."""
        value = self.content.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(key=key, message="is not a text")
        return printable(value)

    def texts(self, key: str, most: int = _ENTRIES_AT_MOST) -> tuple[str, ...]:
        """Return a list of texts, likewise; raises `UsageError`."""
        values = self.list(key, most)
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(key=key, message="is not a list of texts")
        return tuple(printable(value) for value in values)

    def number(self, key: str) -> int:
        """Return a whole number from 0; raises `UsageError`."""
        value = self.content.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
            raise self.wrong(key=key, message="is not a whole number")
        return value

    def number_or_none(self, key: str) -> int | None:
        """Return one, or None if there is none."""
        return None if self.content.get(key) is None else self.number(key)

    def path_at(self, key: str) -> str:
        """Return a path as it stands: it is opened, or linked to, and shown only in errors; raises `UsageError`."""
        value = self.content.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or "\0" in value:
            raise self.wrong(key=key, message="is not a path")
        return value

    def decimal(self, key: str) -> float:
        """Return a number from 0, 0 if there is none; raises `UsageError`."""
        value = self.content.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
            raise self.wrong(key=key, message="is not a number")
        return float(value)

    def flag(self, key: str) -> bool:
        """Return yes or no, no if there is none; raises `UsageError`."""
        value = self.content.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key=key, message="is not true or false")
        return value

    def counts(self, key: str) -> dict[str, int]:
        """Return a table of counts."""
        table = self.table(key)
        return {printable(name): table.number(name) for name in table.content}

    def plain(self, key: str) -> dict[str, Any]:
        """Return a table of anything, its texts fit to be shown."""
        plain: dict[str, Any] = _plain(self.table(key).content)
        return plain


def _plain(value: object, depth: int = 4) -> Any:  # noqa: ANN401  (what JSON holds)
    if isinstance(value, str):
        return printable(value)
    if not depth:
        return ""
    if isinstance(value, dict):
        return {printable(name): _plain(below, depth - 1) for name, below in list(value.items())[:WORDS_AT_MOST]}
    if isinstance(value, list):
        return [_plain(below, depth - 1) for below in value[:_ENTRIES_AT_MOST]]
    return value
