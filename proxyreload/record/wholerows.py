"""A table of what happens, written while a run goes on, in whole rows, whatever the disk does."""

import csv
import errno
import io
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, TypeVar

import attrs

from proxyreload.errors import UsageError
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Started
from proxyreload.system.claim import Claim
from proxyreload.system.wholefile import write_all, write_some

E = TypeVar("E")


def quoted(fields: Sequence[object]) -> str:
    """Return a row of these, with its end; what needs quotes has them (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue()


@attrs.define(eq=False)
class WholeRows:
    """Writes whole rows below a head, a batch with one system call.

    When the file cannot take a batch (a full disk), what it took is cut back to whole rows, and the error is raised.
    Whose rows these are says which columns there are, and what they are of.
    """

    columns: ClassVar[tuple[str, ...]]
    what: ClassVar[str]
    path: Path
    rows: int = attrs.field(default=0, init=False)  #: that were written
    _start_ns: int = attrs.field(default=0, init=False)
    _claim: Claim | None = attrs.field(default=None, init=False)
    _descriptor: int = attrs.field(default=-1, init=False)
    _size: int = attrs.field(default=0, init=False)
    _broken: bool = attrs.field(default=False, init=False)

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
            head = quoted(self.columns).encode("utf-8")
            write_all(self._descriptor, head)
        except OSError as error:
            raise self._cannot(error) from error
        self._size = len(head)

    def started(self, events: Sequence[Started]) -> None:
        """Note the zero of all times."""
        self._start_ns = events[0].at_ns

    def _take(self, bus: EventBus, topic: type[E], take: Callable[[Sequence[E]], None]) -> None:
        """Write what `bus` brings of one topic."""
        bus.subscribe(Started, self.started, str(self.path))
        bus.subscribe(topic, take, str(self.path))

    def _write(self, rows: bytes, number: int) -> None:
        """Write so many rows; raises `OSError`."""
        written = 0
        try:
            while written < len(rows):
                written += write_some(self._descriptor, rows[written:] if written else rows)
        except OSError as error:
            self._broken = True
            whole = rows.rfind(b"\n", 0, written) + 1
            self.rows += rows.count(b"\n", 0, whole)
            self._cut(self._size + whole)
            raise OSError(error.errno or errno.EIO, f"{error.strerror}; {self.rows} rows were written") from error
        self._size += len(rows)
        self.rows += number

    def missing(self, number: int) -> str:
        """Say what keeps the file from being a record of so many; empty if nothing does."""
        if self._broken or self._claim is None:  # which has been told
            return ""
        if self.rows != number:
            return f"{self.path} has {self.rows} rows of {number} {self.what}"
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

    def _cut(self, size: int) -> None:
        if self._claim is not None and not self._claim.special:
            with suppress(OSError):
                os.ftruncate(self._descriptor, size)
