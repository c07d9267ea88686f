"""A file that another process writes to: its new lines, as soon as they are there.

The kernel tells when it is written to (inotify(7), Linux), so that whoever writes little costs nothing, and is read at
once; one who writes without end is read now and then, and never whole.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import attrs
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.system.libc import LIBC
from proxyreload.system.reactor import IReactor

#: After a look it is left alone for so long.
REST_S = 0.01
#: So much is read at once; what was written before that is passed over.
READ_AT_ONCE = 64 * 1024
#: A line that is longer is handed on in parts.
LINE_BYTES = 4096
_MODIFIED = 0x2  # IN_MODIFY
_EVENTS_BYTES = 4096


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class Growing:
    """One file, from its present end on; `take` gets its whole lines, without their ends."""

    _reactor: IReactor
    _take: Callable[[Sequence[bytes]], None]
    _file: BinaryIO
    _descriptor: int
    _part: bytes = b""  # of a line whose end has not come
    _resting: IDelayedCall | None = None

    @classmethod
    def of(cls, reactor: IReactor, path: Path, take: Callable[[Sequence[bytes]], None]) -> "Growing | None":
        """Watch a file, which is made if there is none; return None where the system cannot watch one (more)."""
        if LIBC is None:
            return None
        try:
            path.touch()
            file = path.open("rb")
        except OSError:
            return None
        descriptor = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0 or LIBC.inotify_add_watch(descriptor, os.fsencode(path), _MODIFIED) < 0:
            file.close()
            if descriptor >= 0:
                os.close(descriptor)
            return None
        file.seek(0, os.SEEK_END)
        growing = cls(reactor, take, file, descriptor)
        reactor.addReader(growing)
        return growing

    def look(self) -> None:
        """Hand on what has been written since the last look."""
        if self._file.closed:
            return
        size = os.fstat(self._file.fileno()).st_size
        at = self._file.tell()
        if size - at > READ_AT_ONCE or size < at:  # too much, or cut off
            self._file.seek(max(0, size - READ_AT_ONCE))
            self._part = b""
        *lines, self._part = (self._part + self._file.read(READ_AT_ONCE)).split(b"\n")
        if len(self._part) > LINE_BYTES:
            lines.append(self._part)
            self._part = b""
        if lines:
            self._take(lines)

    def close(self) -> None:
        """Look once more, and watch no more."""
        if self._descriptor < 0:
            return
        self.look()
        if self._resting is None:
            self._reactor.removeReader(self)
        else:
            self._resting.cancel()
        os.close(self._descriptor)
        self._descriptor = -1
        self._file.close()

    def fileno(self) -> int:
        """Return the descriptor that is readable when the file has been written to."""
        return self._descriptor

    def doRead(self) -> None:
        """Look, and rest."""
        self._reactor.removeReader(self)
        self._resting = self._reactor.callLater(REST_S, self._rested)
        with suppress(BlockingIOError):
            os.read(self._descriptor, _EVENTS_BYTES)
        self.look()

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002
        """Watch no more: the reactor ends."""
        self.close()

    def logPrefix(self) -> str:
        """Name this reader in the log."""
        return "growing"

    def _rested(self) -> None:
        self._resting = None
        self._reactor.addReader(self)
