"""``data.csv``: one row for each exchange."""

import csv
import errno
import io
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import attrs

from proxyreload.errors import UsageError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Exchange, Started
from proxyreload.system.claim import Claim
from proxyreload.system.clock import NS_PER_US
from proxyreload.system.untrusted import as_cell, printable
from proxyreload.system.wholefile import write_all, write_some

#: The first six are those of the program's ancestor, by its names and in its order.
COLUMNS = (
    *("time", "client", "status", "instance", "front port", "back port"),
    *("request", "due", "written", "first byte", "connect", "connection", "carried", "announced", "failure", "kind"),
)

_PLAIN_KEPT = 4096
_WAYS_KEPT = 16_384


def status_text(exchange: Exchange) -> str | int:
    """Return the column ``status``: the status code, or the error's name and message."""
    if not exchange.failure or exchange.failure.startswith("status "):
        return exchange.status
    return f"{exchange.failure}: {printable(exchange.message)}" if exchange.message else exchange.failure


@attrs.define(eq=False)
class CsvFile:
    """Writes every exchange, in whole rows, a batch with one system call.

    When the file cannot take a batch (a full disk), what it took is cut back to whole rows, and the error is raised.
    """

    path: Path
    rows: int = attrs.field(default=0, init=False)
    _claim: Claim | None = attrs.field(default=None, init=False)
    _descriptor: int = attrs.field(default=-1, init=False)
    _size: int = attrs.field(default=0, init=False)
    _broken: bool = attrs.field(default=False, init=False)
    _start_ns: int = attrs.field(default=0, init=False)
    _plain: set[str] = attrs.field(factory=lambda: {""}, init=False)  # instances that need no quotes
    _ways: dict[tuple[int, int, int, str, int], str] = attrs.field(factory=dict, init=False)

    def claim(self) -> None:
        """Claim the file, and leave in it what is there; raises `UsageError` if it cannot be written."""
        try:
            self._claim = Claim.of(self.path)
        except OSError as error:
            raise self._cannot(error) from error
        self._descriptor = self._claim.descriptor

    def open(self) -> None:
        """Begin the file with its head, claimed or not yet; raises `UsageError` if that cannot be done."""
        if self._claim is None:
            self.claim()
        assert self._claim is not None  # noqa: S101
        try:
            self._claim.clear()
            head = _quoted(COLUMNS).encode("utf-8")
            write_all(self._descriptor, head)
        except OSError as error:
            raise self._cannot(error) from error
        self._size = len(head)

    def subscribe(self, bus: EventBus) -> None:
        """Write what `bus` brings."""
        bus.subscribe(Started, self.started, str(self.path))
        bus.subscribe(Exchange, self.exchanged, str(self.path))

    def started(self, events: Sequence[Started]) -> None:
        """Note the zero of all times."""
        self._start_ns = events[0].at_ns

    def exchanged(self, exchanges: Sequence[Exchange]) -> None:
        """Write a batch of rows."""
        self._write(self._encode(exchanges))
        self.rows += len(exchanges)

    def missing(self, exchanges: int) -> str:
        """Say what keeps the file from being a record of so many exchanges; empty if nothing does."""
        if self._broken or self._claim is None:  # which has been told
            return ""
        if self.rows != exchanges:
            return f"{self.path} has {self.rows} rows of {exchanges} exchanges"
        size = self._size if self._claim.special else self._claim.size()
        if size < 0:
            return f"{self.path} is not the file that the rows were written to: somebody has moved or removed that"
        if size != self._size:
            return f"somebody else has written to {self.path}: it has {size} bytes, not {self._size}"
        return ""

    def close(self) -> None:
        """Close the file; its rows have all been written."""
        if self._claim is not None:
            self._claim.release()
            self._claim, self._descriptor = None, -1

    def _cannot(self, error: OSError) -> UsageError:
        return UsageError(f"{self.path} cannot be written: {error.strerror}")

    def _encode(self, exchanges: Sequence[Exchange]) -> bytes:
        """Return their rows: the plain ones, which are nearly all, formatted here, the others by the csv module.

        Plain is a success over a connection that was open already, without anything to quote. A row costs as much as
        all the counting, so that what is the same as before (who answered whom, over which ports) is kept as text, and
        what is due when it is written is made text once.
        """
        start_ns, way_of, rows = self._start_ns, self._ways.get, []
        for e in exchanges:
            way = ""
            if not (e.failure or e.connect_ns or e.announced):
                way = way_of((e.client, e.status, e.front_port, e.instance, e.back_port)) or self._way(e)
            if not way:
                rows.append(self._row(e))
                continue
            ended_us, first_byte_us = (e.ended_ns - start_ns) // NS_PER_US, (e.first_byte_ns - start_ns) // NS_PER_US
            due_us = written_us = str((e.written_ns - start_ns) // NS_PER_US)
            if e.due_ns != e.written_ns:
                due_us = str((e.due_ns - start_ns) // NS_PER_US)
            rows.append(
                f"{ended_us},{way},{e.number},{due_us},{written_us},{first_byte_us},,{e.connection},{e.carried},,,{e.kind}\n"
            )
        return "".join(rows).encode("utf-8")

    def _way(self, e: Exchange) -> str:
        """Return those columns of a row that are mostly the same, and keep them; empty if they cannot be plain."""
        if e.instance not in self._plain:
            return ""
        way = f"{e.client},{e.status},{e.instance},{e.front_port or ''},{e.back_port or ''}"
        if len(self._ways) < _WAYS_KEPT:
            self._ways[e.client, e.status, e.front_port, e.instance, e.back_port] = way
        return way

    def _row(self, e: Exchange) -> str:
        """Return any row, and learn whether this instance can stand in a plain one."""
        if e.instance.isalnum() and len(self._plain) < _PLAIN_KEPT:
            self._plain.add(e.instance)
        start_ns = self._start_ns
        return _quoted(
            (
                (e.ended_ns - start_ns) // NS_PER_US,
                e.client,
                as_cell(status_text(e)),
                as_cell(printable(e.instance)),
                e.front_port or "",
                e.back_port or "",
                e.number,
                (e.due_ns - start_ns) // NS_PER_US,
                (e.written_ns - start_ns) // NS_PER_US if e.written_ns else "",
                (e.first_byte_ns - start_ns) // NS_PER_US if e.first_byte_ns else "",
                e.connect_ns // NS_PER_US if e.connect_ns and e.connection >= 0 else "",
                e.connection if e.connection >= 0 else "",
                e.carried,
                "yes" if e.announced else "",
                as_cell(e.failure),
                e.kind,
            )
        )

    def _write(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += write_some(self._descriptor, data[written:] if written else data)
        except OSError as error:
            self._broken = True
            whole = data.rfind(b"\n", 0, written) + 1
            self.rows += data.count(b"\n", 0, whole)
            self._cut(self._size + whole)
            raise OSError(error.errno or errno.EIO, f"{error.strerror}; {self.rows} rows were written") from error
        self._size += len(data)

    def _cut(self, size: int) -> None:
        if self._claim is not None and not self._claim.special:
            with suppress(OSError):
                os.ftruncate(self._descriptor, size)


def _quoted(fields: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue()
