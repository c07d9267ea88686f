"""The processes under a process."""

import os
from contextlib import suppress
from pathlib import Path

import psutil


def children(pid: int) -> list[int]:
    """Return the children of `pid`; on Linux from one small file, for it is asked while clients are measured."""
    with suppress(OSError, ValueError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    with suppress(psutil.Error):
        return [child.pid for child in psutil.Process(pid).children()]
    return []


def title(pid: int) -> str:
    """Return what a process calls itself, empty if it is gone."""
    with suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline()).strip()
    return ""


def strangers() -> list[psutil.Process]:
    """Return our descendants in sessions other than ours: what workspaces started, and what that left behind."""
    session = os.getsid(0)
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) != session:
                found.append(process)
    return found


def reap(pid: int) -> None:
    """Collect an adopted orphan that has exited."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
