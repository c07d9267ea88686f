"""Files that this process alone writes."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

import attrs

from proxyreload.system.wholefile import (
    beside_of,
    encoded,
    is_special,
    lock,
    open_written,
    put_in_place,
    write_all,
)

_ALONE = fcntl.LOCK_EX | fcntl.LOCK_NB
_LOCKS = Path("/proc/locks")
#: Each time somebody else has put another file in its place, between our opening it and our locking it.
_ATTEMPTS = 100


@attrs.define(eq=False)
class Claim:
    """A file that nobody else who claims it can write until it is let go, or this process has ended.

    It is made if it is not there, and is not changed by being claimed. The lock is one of ``flock``: it ends with the
    process, however that ends, and no child has it. Devices and pipes are for everybody.
    """

    path: Path
    descriptor: int = attrs.field(default=-1, init=False)  #: open for writing, at its end
    special: bool = attrs.field(default=False, init=False)  #: a device or a pipe
    _target: Path = attrs.field(init=False)  # where the file is, behind links
    _made: bool = attrs.field(default=False, init=False)  # by us, and nothing is in it yet

    @classmethod
    def of(cls, path: Path, *, whole: bool = False) -> "Claim":
        """Claim a file, one that is put in place `whole` or one that is written to.

        Raises `OSError` if it cannot be written, `BlockingIOError` if somebody else has claimed it.
        """
        claim = cls(path)
        claim._open(whole=whole)
        return claim

    def replace(self, text: str) -> None:
        """Put a file with this text in its place, or write it, where nothing can be replaced; raises `OSError`."""
        if self.special:
            write_all(self.descriptor, encoded(text))
            return
        before, self.descriptor = self.descriptor, put_in_place(self._target, encoded(text), _ALONE)
        self._made = False
        if before >= 0:
            os.close(before)

    def clear(self) -> None:
        """Leave nothing of what was in it; raises `OSError`."""
        self._made = False
        if not self.special:
            os.ftruncate(self.descriptor, 0)

    def size(self) -> int:
        """Return how many bytes the file at its path has; -1 if that is not the one that was claimed."""
        try:
            there, ours = self._target.stat(), os.fstat(self.descriptor)
        except OSError:
            return -1
        return there.st_size if _identity(there) == _identity(ours) else -1

    def release(self) -> None:
        """Let go of it; one that was made for the claim alone is removed."""
        if self.descriptor < 0:
            return
        if self._made and self.size() == 0:
            with suppress(OSError):
                self._target.unlink()
        os.close(self.descriptor)
        self.descriptor = -1

    def _open(self, *, whole: bool) -> None:
        self.special = is_special(self.path)
        if self.special:
            self._target, self.descriptor = self.path, open_written(self.path, os.O_WRONLY | os.O_APPEND)
            return
        self._target = Path(os.path.realpath(self.path))
        if whole:  # it is not written to, but what takes its place is
            descriptor, beside = beside_of(self._target)
            os.close(descriptor)
            beside.unlink()
        for _attempt in range(_ATTEMPTS):
            if self._locked(whole=whole):
                return
        raise BlockingIOError(errno.EWOULDBLOCK, "it is replaced all the time")

    def _locked(self, *, whole: bool) -> bool:
        """Open the file and lock it; False if it is not the one at its path any more."""
        descriptor = self._opened(whole=whole)
        try:
            _lock_alone(descriptor)
            if _identity(self._target.stat()) == _identity(os.fstat(descriptor)):
                self.descriptor = descriptor
                return True
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return False

    def _opened(self, *, whole: bool) -> int:
        flags = os.O_WRONLY | os.O_APPEND
        try:
            descriptor = open_written(self._target, flags | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            self._made = False
        else:
            self._made = True
            return descriptor
        try:
            return open_written(self._target, flags)
        except PermissionError:
            if not whole:
                raise
            return open_written(self._target, os.O_RDONLY)  # another one can take its place all the same


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def holder(status: os.stat_result) -> str:
    """Return the process that has locked a file, by what the kernel tells of all locks; empty if that is not told.

    Where the file's device goes by another number there (some filesystems have two), its inode must be enough; if
    that is told of several processes, it is not.
    """
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = [line.split() for line in _LOCKS.read_text(encoding="ascii", errors="replace").splitlines()]
    except OSError:
        return ""
    # 1: FLOCK  ADVISORY  WRITE 4711 fe:00:1311 0 EOF
    told = [(words[5], words[4]) for words in lines if len(words) > 5 and words[1] == "FLOCK"]  # noqa: PLR2004
    exact = {pid for where, pid in told if where == place}
    alike = {pid for where, pid in told if where.rpartition(":")[2] == str(status.st_ino)}
    found = exact or alike
    pid = found.pop() if len(found) == 1 else ""
    return pid if pid.isdigit() and pid != "0" else ""


def claim_folder(path: Path) -> int:
    """Make a folder if it is not there, and claim it; return its descriptor, to be closed. Raises `OSError`."""
    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock_alone(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock_alone(descriptor: int) -> None:
    """Lock a file for this process alone; raises `BlockingIOError`, with the pid of who else has, if that is told."""
    try:
        lock(descriptor, _ALONE)
    except BlockingIOError as error:
        pid = holder(os.fstat(descriptor))
        raise BlockingIOError(error.errno, f"another run is writing it{pid and f' (pid {pid})'}") from error
