"""The lines of a CSV file that somebody may have tampered with, in bounded memory."""

import csv
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import attrs

from proxyreload.errors import UsageError
from proxyreload.system.untrusted import printable
from proxyreload.system.wholefile import open_regular

LINE_LIMIT = 1 << 20
_BYTES_AT_ONCE = 1 << 20
#: Some thirty years in µs.
LARGEST = 10**15
_NUMBER = re.compile(r"-?\d{1,16}", re.ASCII)


@attrs.define(eq=False)
class Cells:
    """A row: its cells, the places of columns by their names, and where it stands, for what is wrong with it."""

    file: str
    line: int
    cells: list[str]
    places: Mapping[str, int]

    def text(self, name: str) -> str:
        """Return a cell as it stands."""
        return self.cells[self.places[name]]

    def number(self, name: str, least: int = 0) -> int:
        """Return a whole number; raises `UsageError`."""
        number = self.number_or_none(name, least)
        if number is None:
            raise wrong(self.file, self.line, f"{name} is empty")
        return number

    def number_or_none(self, name: str, least: int = 0) -> int | None:
        """Return one, None where the cell is empty; raises `UsageError`."""
        text = self.text(name)
        if not text:
            return None
        if _NUMBER.fullmatch(text) and least <= int(text) <= LARGEST:
            return int(text)
        raise wrong(self.file, self.line, f"{name}: '{printable(text, 40)}' is no such number")


def wrong(file: str, line: int, message: str) -> UsageError:
    """Return the error for what stands in a line."""
    return UsageError(f"{file}:{line}: {message}")


def read_rows_of(path: Path, columns: Collection[str], clients: Collection[int] | None = None) -> Iterator[Cells]:
    """Yield the rows of a file that has at least these columns; raises `UsageError` with file and line.

    With `clients` those of these only, by the number in the second column: the others are not looked at, so that a few
    out of millions are found soon.
    """
    file = printable(str(path))
    try:
        with os.fdopen(open_regular(path), "rb") as opened:
            places = _head(file, opened, columns)
            if clients is None:
                yield from _all(file, opened, places)
            elif clients:
                yield from _some(file, opened, places, clients)
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise UsageError(msg) from error


def _head(file: str, opened: BinaryIO, columns: Collection[str]) -> dict[str, int]:
    line = opened.readline(LINE_LIMIT).decode("utf-8", "replace").strip()
    names = line.split(",")
    missing = [name for name in columns if name not in names]
    if missing or len(set(names)) < len(names):
        raise wrong(file, 1, f"it has no column {missing[0]!r}" if missing else "two of its columns have one name")
    return {name: place for place, name in enumerate(names)}


def _lines(file: str, opened: BinaryIO) -> Iterator[str]:
    number = 1
    while line := opened.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT:
            raise wrong(file, number, f"longer than {LINE_LIMIT} bytes")
        yield line.decode("utf-8", "backslashreplace")


def _all(file: str, opened: BinaryIO, places: Mapping[str, int]) -> Iterator[Cells]:
    reader = csv.reader(_lines(file, opened))
    try:
        for cells in reader:
            yield _row(file, reader.line_num + 1, cells, places)
    except csv.Error as error:
        raise wrong(file, reader.line_num + 1, str(error)) from error


def _some(file: str, opened: BinaryIO, places: Mapping[str, int], clients: Collection[int]) -> Iterator[Cells]:
    wanted = "|".join(str(client) for client in sorted(clients))
    # What begins with a byte that is looked for by itself is found five times as fast as what begins with a place.
    pattern = re.compile(rb"\n[0-9]{1,16}+,(?:%s),[^\n]*+" % wanted.encode("ascii"))
    line = 1  # the head
    while block := opened.read(_BYTES_AT_ONCE):
        rest = opened.readline(LINE_LIMIT)
        if len(rest) == LINE_LIMIT and not rest.endswith(b"\n"):
            raise wrong(file, line + 1 + block.count(b"\n"), f"longer than {LINE_LIMIT} bytes")
        text, counted_to = b"\n%b%b" % (block, rest), 0
        for found in pattern.finditer(text):
            begin = found.start() + 1
            line += text.count(b"\n", counted_to, begin)
            counted_to = begin
            yield _row(file, line, _cells(file, line, found[0][1:]), places)
        line += text.count(b"\n", counted_to) - text.endswith(b"\n")


def _cells(file: str, line: int, text: bytes) -> list[str]:
    if b'"' not in text:  # nearly all
        return text.decode("utf-8", "backslashreplace").removesuffix("\r").split(",")
    try:
        return next(csv.reader([text.decode("utf-8", "backslashreplace")]))
    except csv.Error as error:
        raise wrong(file, line, str(error)) from error


def _row(file: str, line: int, cells: list[str], places: Mapping[str, int]) -> Cells:
    if len(cells) != len(places):
        raise wrong(file, line, f"{len(cells)} fields, not {len(places)}")
    return Cells(file, line, cells, places)
