"""The rows of ``data.csv``, as columns that numpy can work on."""

import csv
import os
from collections.abc import Mapping
from io import StringIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import numpy as np
from numpy.typing import NDArray

from proxyreload.errors import UsageError
from proxyreload.history.failures import TURNED_AWAY
from proxyreload.record.csvfile import COLUMNS
from proxyreload.report.batches import UNKNOWN, Batch, Integers, Names, Parsed, Plain
from proxyreload.report.columns import Column
from proxyreload.system.untrusted import printable
from proxyreload.system.wholefile import open_regular

Flags = NDArray[np.bool_]

#: The ancestor's columns, which a bare file of rows has at least.
ANCESTORS = COLUMNS[:6]
#: Numbers, and what is wide enough for each.
_NUMBERS: Mapping[str, type[np.signedinteger[Any]]] = {
    **dict.fromkeys(("time", "due", "written"), np.int64),
    **dict.fromkeys(("client", "front port", "back port", "connection", "carried"), np.int32),
}
#: Which every row tells.
_ALWAYS = ("time", "client")
_LARGEST: Mapping[str, int] = {
    **dict.fromkeys(("client", "connection", "carried"), 2**31 - 1),
    **dict.fromkeys(("front port", "back port"), 65535),
}
#: Some thirty years in µs, for whatever else is a number.
_LARGEST_NUMBER = 10**15
#: Few enough to stay in the processor's caches.
_ROWS_AT_ONCE = 1 << 13
_BYTES_AT_ONCE = 1 << 18
_LINE_LIMIT = 1 << 20
#: All columns are held in memory, some 60 bytes a row.
_ROWS_AT_MOST = 50_000_000


@attrs.frozen(eq=False)
class Rows:
    """Every exchange of a run, an array for each column; `UNKNOWN` where a row says nothing.

    ``instance``, ``failure``, ``status`` and ``kind`` are indices into the texts of the same name; 0 is none.
    """

    time_us: Integers
    client: Integers
    front_port: Integers
    back_port: Integers
    due_us: Integers
    written_us: Integers
    connection: Integers  #: numbered within its client
    carried: Integers
    announced: Flags
    instance: Integers
    failure: Integers
    status: Integers
    kind: Integers
    instances: list[str]
    failures: list[str]
    statuses: list[str]
    kinds: list[str]
    detailed: bool  #: more than the ancestor's columns

    def __len__(self) -> int:
        return len(self.time_us)


def read_rows(path: Path) -> Rows:
    """Read a file of rows; raises `UsageError` with file and line where it is none."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return _Reading(str(path), file).rows()
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise UsageError(msg) from error


@attrs.define(eq=False)
class _Reading:
    """A file while it is read, some rows at a time."""

    name: str
    file: BinaryIO
    places: dict[str, int] = attrs.field(factory=dict)  #: of the columns in a row
    line: int = 1  #: that comes next
    columns: dict[str, Column] = attrs.field(init=False)
    _lost: "_Lost" = attrs.field(init=False)
    instances: Names = attrs.field(factory=Names)
    failures: Names = attrs.field(factory=Names)
    statuses: Names = attrs.field(factory=Names)
    kinds: Names = attrs.field(factory=Names)
    total: int = 0

    def __attrs_post_init__(self) -> None:
        """Make room for as many rows as there are lines."""
        self._lost = _Lost(self.failures)
        lines = min(_lines(self.file), _ROWS_AT_MOST)
        texts = dict.fromkeys(("status", "instance", "failure"), np.int32)
        types: dict[str, type[np.generic]] = {**_NUMBERS, **texts, "kind": np.int16, "announced": np.bool_}
        self.columns = {name: Column(type_, lines) for name, type_ in types.items()}

    def rows(self) -> Rows:
        self._read_head()
        self._read_whole_lines()
        self._read_others()
        numbers = {name.replace(" ", "_"): column.values for name, column in self.columns.items()}
        connection = numbers["connection"]
        detailed = "failure" in self.places
        if not detailed:
            connection = _connections(numbers["client"], numbers["front_port"])
        return Rows(
            time_us=numbers["time"],
            client=numbers["client"],
            front_port=numbers["front_port"],
            back_port=numbers["back_port"],
            due_us=numbers["due"],
            written_us=numbers["written"],
            connection=connection,
            carried=numbers["carried"],
            announced=numbers["announced"],
            instance=numbers["instance"],
            failure=numbers["failure"],
            status=numbers["status"],
            kind=numbers["kind"],
            instances=self.instances.texts,
            failures=self.failures.texts,
            statuses=self.statuses.texts,
            kinds=self.kinds.texts,
            detailed=detailed,
        )

    def _read_head(self) -> None:
        head = self.file.readline(_LINE_LIMIT).decode("utf-8", "replace").strip().split(",")
        if tuple(head[: len(ANCESTORS)]) != ANCESTORS or len(set(head)) < len(head):
            raise self._wrong(1, f"its columns do not begin with {', '.join(ANCESTORS)}")
        self.places = {name: place for place, name in enumerate(head)}
        self.line = 2

    def _read_whole_lines(self) -> None:
        """Read as long as rows are right and end with their lines."""
        while True:
            before = self.file.tell()
            data = self.file.read(_BYTES_AT_ONCE)
            data += self.file.readline(_LINE_LIMIT)
            try:
                batch = _batch(data, len(self.places))
                if batch is not None:
                    self._take(batch)
            except (ValueError, OverflowError, csv.Error):
                batch = None
            if batch is None:
                self.file.seek(before)
                return
            self.line += data.count(b"\n")

    def _read_others(self) -> None:
        """Read the rest, to its end or to what is wrong with it."""
        text = TextIOWrapper(self.file, encoding="utf-8", errors="backslashreplace", newline="")
        reader, begin = csv.reader(text), self.line
        while True:
            try:
                rows = list(islice(reader, _ROWS_AT_ONCE))
            except csv.Error as error:
                raise self._wrong(begin - 1 + reader.line_num, str(error)) from error
            if not rows:
                return
            try:
                columns = list(zip(*rows, strict=True))
                if len(columns) != len(self.places):
                    raise self._first_wrong(rows)
                self._take(Parsed(columns))
            except (ValueError, OverflowError) as error:
                raise self._first_wrong(rows) from error
            self.line = begin + reader.line_num

    def _take(self, batch: Batch) -> None:
        """Take some rows, all or none; raises `ValueError` or `OverflowError` if one is wrong."""
        numbers = {name: self._number(name, batch) for name in _NUMBERS}
        self.total += len(batch)
        if self.total > _ROWS_AT_MOST:
            raise self._wrong(self.line, f"more than {_ROWS_AT_MOST} rows")
        columns = self.columns
        for name, values in numbers.items():
            columns[name].add(values)
        columns["status"].add(batch.codes(self.places["status"], self.statuses))
        columns["instance"].add(batch.codes(self.places["instance"], self.instances))
        if "failure" in self.places:
            columns["failure"].add(batch.codes(self.places["failure"], self._lost))
        else:
            columns["failure"].add(batch.codes(self.places["status"], _Classes(self.failures)))
        kinds = batch.codes(self.places["kind"], self.kinds) if "kind" in self.places else np.zeros(len(batch))
        columns["kind"].add(kinds)
        announced = Names()
        told = batch.codes(self.places["announced"], announced) if "announced" in self.places else np.zeros(len(batch))
        columns["announced"].add(told == announced.get("yes", UNKNOWN))

    def _number(self, name: str, batch: Batch) -> Integers:
        """Return a column of numbers, within bounds."""
        if name not in self.places:
            return np.full(len(batch), UNKNOWN, np.int64)
        values = batch.numbers(self.places[name])
        least = 0 if name in _ALWAYS else UNKNOWN
        if values.min() < least or values.max() > _LARGEST.get(name, _LARGEST_NUMBER):
            raise ValueError
        return values

    def _first_wrong(self, rows: list[list[str]]) -> UsageError:
        """Return the error for the first of `rows` that is wrong, the first of which stands in the next line."""
        line = self.line
        for row in rows:
            if len(row) != len(self.places):
                return self._wrong(line, f"{len(row)} fields, not {len(self.places)}")
            for name in _NUMBERS:
                try:
                    self._number(name, Parsed([[text] for text in row]))
                except (ValueError, OverflowError):
                    return self._wrong(line, f"{name}: {printable(row[self.places[name]], 40)!r} is no such number")
            line += 1 + sum(text.count("\n") for text in row)
        return self._wrong(line, "not a row")

    def _wrong(self, line: int, message: str) -> UsageError:
        return UsageError(f"{self.name}:{max(1, line)}: {message}")


class _Lost(dict[str, int]):
    """Numbers the class of each failure; what was turned away is none."""

    def __init__(self, failures: Names) -> None:
        super().__init__()
        self.failures = failures

    def __missing__(self, failure: str) -> int:
        return self.failures["" if failure == TURNED_AWAY else failure]


class _Classes(dict[str, int]):
    """Numbers the class of each status."""

    def __init__(self, failures: Names) -> None:
        super().__init__()
        self.failures = failures

    def __missing__(self, status: str) -> int:
        return self.failures[failure_of(status)]


def _batch(data: bytes, columns: int) -> Batch | None:
    """Return whole lines as rows, none if they may not be whole; raises `ValueError` if they are no such rows."""
    if not data.endswith(b"\n") or data.count(b'"') % 2:
        return None
    plain = Plain.of(data, columns)
    if plain is not None:
        return plain
    rows = csv.reader(StringIO(data.decode("utf-8", "backslashreplace"), newline=""))
    parsed = list(zip(*rows, strict=True))
    return Parsed(parsed) if len(parsed) == columns else None


def failure_of(status: str) -> str:
    """Return the class of a failure from the column ``status``, where there is none of its own."""
    if status == "200":
        return ""
    return f"status {status}" if status.isdigit() else status.partition(":")[0]


def _lines(file: BinaryIO) -> int:
    """Count the lines that are left in a file, and stay where it is."""
    before = file.tell()
    lines = sum(block.count(b"\n") for block in iter(lambda: file.read(_BYTES_AT_ONCE), b"")) + 1
    file.seek(before)
    return lines


def _connections(client: Integers, front_port: Integers) -> Integers:
    """Number each client's connections by its ports; a row without one has none."""
    order = np.flatnonzero(front_port > 0)
    order = order[np.argsort(client[order], kind="stable")]
    clients, ports = client[order], front_port[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (clients[1:] != clients[:-1]) | (ports[1:] != ports[:-1])
    numbers = np.full(len(client), UNKNOWN, np.int64)
    numbers[order] = np.cumsum(begins) - 1
    return numbers
