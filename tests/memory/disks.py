"""Disks that take what the test lets them, or are counted."""

import errno
import os

import pytest


def cut_short(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Let the disk take so many bytes more."""
    write = os.write

    def limited(descriptor: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = write(descriptor, data[:room])
        room -= taken
        return taken

    monkeypatch.setattr(os, "write", limited)


def calls_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the length of what is written, call by call."""
    calls: list[int] = []
    write = os.write

    def counting(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", counting)
    return calls
