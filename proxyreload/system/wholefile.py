"""Files that are written whole: whoever reads one never sees half of it."""

import errno
import fcntl
import os
import secrets
import select
import stat
import time
from contextlib import suppress
from pathlib import Path

#: How long a pipe may take no byte, or give none, before it is given up.
PIPE_LIMIT_S = 10.0
#: Opening never waits: a pipe without anybody at its other end is an error, or is found empty.
NEVER_WAIT = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
#: Some 240 bytes at most, whatever the characters: what is added to a name must still fit.
_NAME_KEPT = 60
#: Some filesystems of networks have none, or none for who may only read.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EINVAL}


def write_whole(path: Path, text: str) -> None:
    """Write `text`, renamed into place where `path` is no device or pipe; raises `OSError` if that fails."""
    if is_special(path):
        descriptor = open_written(path, os.O_WRONLY)
        try:
            write_all(descriptor, encoded(text))
        finally:
            os.close(descriptor)
        return
    os.close(put_in_place(Path(os.path.realpath(path)), encoded(text)))


def encoded(text: str) -> bytes:
    """Return text as it is written; what UTF-8 has no bytes for is escaped."""
    return text.encode("utf-8", "backslashreplace")


def is_special(path: Path) -> bool:
    """Whether something is there that can be written to, but not be replaced: a device, a pipe, a file without a name.

    Raises `OSError` if that cannot be told.
    """
    try:
        status = path.stat()
        return not stat.S_ISREG(status.st_mode) or not os.path.samestat(status, os.stat(os.path.realpath(path)))  # noqa: PTH116
    except FileNotFoundError:
        return path.exists()  # behind a descriptor (/dev/fd/3) there may be a file that was removed


def open_written(path: Path, flags: int) -> int:
    """Open a file for writing without waiting for a reader; raises `OSError`, also for a disk as a whole."""
    try:
        descriptor = os.open(path, flags | NEVER_WAIT, 0o644)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "nobody reads from it") from error
        raise
    if stat.S_ISBLK(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a disk")
    return descriptor


def put_in_place(path: Path, data: bytes, claim: int = -1) -> int:
    """Write a file beside `path` and rename it into place; return its descriptor. Raises `OSError` if that fails.

    What it takes the place of stays as it is until then, and if that fails. With `claim`, an operation of ``flock``,
    the new file has that before anybody else can have it.
    """
    descriptor, beside = beside_of(path)
    try:
        if claim >= 0:
            lock(descriptor, claim)
        write_all(descriptor, data)
        beside.replace(path)
    except BaseException:
        os.close(descriptor)
        with suppress(OSError):
            beside.unlink()
        raise
    return descriptor


def beside_of(path: Path) -> tuple[int, Path]:
    """Make a new file beside `path`, for what is to take its place; raises `OSError`."""
    beside = path.with_name(f"{path.name[:_NAME_KEPT]}.{os.getpid()}.{secrets.token_hex(4)}.new")
    return os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NEVER_WAIT, 0o666), beside


def lock(descriptor: int, operation: int) -> None:
    """Lock a file, where its filesystem knows locks; raises `BlockingIOError` if somebody else has."""
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def write_all(descriptor: int, data: bytes, limit_s: float = PIPE_LIMIT_S) -> None:
    """Write all of it; raises `OSError`, also if a pipe takes nothing for `limit_s`."""
    left = memoryview(data)
    while left:
        left = left[write_some(descriptor, left, limit_s) :]


def write_some(descriptor: int, data: bytes | memoryview, limit_s: float = PIPE_LIMIT_S) -> int:
    """Write as much as is taken at once, and return how much; raises `OSError`, likewise."""
    while True:
        try:
            return os.write(descriptor, data)
        except BlockingIOError as error:
            if not _ready(descriptor, select.POLLOUT, limit_s):
                raise OSError(errno.ETIMEDOUT, f"nobody has read from it for {limit_s:g} s") from error


def read_some(path: Path, most: int, limit_s: float = PIPE_LIMIT_S) -> bytes:
    """Return what is in a file, `most` bytes of it at most.

    Raises `OSError`, also if it is a pipe and not all has come within `limit_s`.
    """
    descriptor = os.open(path, os.O_RDONLY | NEVER_WAIT)
    until_s = time.monotonic() + limit_s
    pieces: list[bytes] = []
    try:
        while most > 0:
            # A pipe that nobody has opened for writing yet reads as if it were at its end: it is waited for, too.
            if not _ready(descriptor, select.POLLIN, until_s - time.monotonic()):
                raise OSError(errno.ETIMEDOUT, f"not all of it has come within {limit_s:g} s")
            with suppress(BlockingIOError):
                piece = os.read(descriptor, min(most, 1 << 20))
                if not piece:
                    break
                pieces.append(piece)
                most -= len(piece)
    finally:
        os.close(descriptor)
    return b"".join(pieces)


def open_regular(path: Path) -> int:
    """Open a file for reading, of which any part can be read again; raises `OSError` if it is none."""
    descriptor = os.open(path, os.O_RDONLY | NEVER_WAIT)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "not a regular file")


def _ready(descriptor: int, what: int, limit_s: float) -> bool:
    waiting = select.poll()
    waiting.register(descriptor, what)
    return bool(waiting.poll(max(0, limit_s) * 1000))
