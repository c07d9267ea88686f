"""Which process has which TCP connection, as Linux tells it (proc_pid_net(5), proc_pid_fd(5))."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
#: Both sides can still be heard of: established, and closed by one of them.
_OPEN = frozenset({"01", "04", "05", "08"})
_LISTENS = "0A"
_LOCAL, _REMOTE, _STATE, _INODE = 1, 2, 3, 9
_SOCKET = "socket:["


def peers(port: int) -> dict[int, int]:
    """Return the ports at the other end of the connections to a local port, by the inodes of their sockets there."""
    found, local = {}, f":{port:04X} "
    for table in _TABLES:
        with suppress(OSError):
            for line in table.read_text(encoding="ascii").splitlines():
                if local not in line:  # nearly all, of which there may be thousands
                    continue
                words = line.split()
                if f"{words[_LOCAL]} ".endswith(local) and words[_STATE] in _OPEN and words[_INODE] != "0":
                    found[int(words[_INODE])] = int(words[_REMOTE].rpartition(":")[2], 16)
    return found


def inodes(pid: int) -> Iterator[int]:
    """Yield the inodes of a process's sockets; none of one that is gone, or somebody else's."""
    folder = f"/proc/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208  (there may be thousands, while clients are measured)
            with suppress(OSError):
                target = os.readlink(f"{folder}/{name}")  # noqa: PTH115
                if target.startswith(_SOCKET):
                    yield int(target[len(_SOCKET) : -1])


def listening_at(port: int) -> set[int]:
    """Return the inodes of the sockets that listen on a local port."""
    found, local = set(), f":{port:04X} "
    for table in _TABLES:
        with suppress(OSError):
            for line in table.read_text(encoding="ascii").splitlines():
                if local not in line:
                    continue
                words = line.split()
                if f"{words[_LOCAL]} ".endswith(local) and words[_STATE] == _LISTENS:
                    found.add(int(words[_INODE]))
    return found
