"""A child process that cannot be watched is none, and a workspace that cannot be guarded either."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from twisted.internet.defer import Deferred

from proxyreload.backend.process import BackendProcess
from proxyreload.errors import StartError
from proxyreload.history.order import History
from proxyreload.proxy.watchdog import Watchdog
from proxyreload.proxy.workspace import Workspace
from proxyreload.system.child import ChildProcess

from .clocks import Time, error_of, result_of


class Readers(Time):
    """A reactor that watches descriptors, or cannot."""

    def __init__(self, *, full: bool = False) -> None:
        super().__init__()
        self.full = full
        self.readers: set[object] = set()

    def addReader(self, reader: object) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.readers.add(reader)

    def removeReader(self, reader: object) -> None:
        self.readers.discard(reader)

    def adoptStreamConnection(self, *_arguments: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def too_many(*_arguments: object, **_more: object) -> int:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def assert_nothing_is_left(descriptors_before: set[str], children_before: set[int]) -> None:
    """Check that nothing is there that was not; what other tests have left may end meanwhile."""
    assert descriptors() == descriptors_before
    assert children() <= children_before


def spawn(reactor: Readers, folder: Path) -> ChildProcess:
    words, log = ["/bin/sleep", "1000"], folder / "log"
    return ChildProcess.spawn(cast(Any, reactor), words, folder=folder, log=log, environment=os.environ)


def test_a_process_that_cannot_be_watched_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors(), children()
    with pytest.raises(OSError, match="No space left"):
        spawn(Readers(full=True), tmp_path)
    monkeypatch.setattr(os, "pidfd_open", too_many)
    with pytest.raises(OSError, match="Too many open files"):
        spawn(Readers(), tmp_path)
    assert_nothing_is_left(*before)


def backend(reactor: Readers) -> BackendProcess:
    time = Time()
    backend = BackendProcess(3, 1, History(lambda _topic, _events: None, time.ns), time.ns)
    starting = Deferred.fromCoroutine(backend.start(cast(Any, reactor)))
    assert str(error_of(starting, StartError)) == "backend 3 cannot be started: Too many open files"
    return backend


@pytest.mark.parametrize("call", ["os.memfd_create", "socket.socketpair", "os.pidfd_open"])
def test_a_backend_that_cannot_be_started_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    before = descriptors(), children()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(call, too_many)
    result_of(Deferred.fromCoroutine(backend(Readers()).stop()))
    assert_nothing_is_left(*before)
    assert list(tmp_path.iterdir()) == []


def test_one_whose_uplink_cannot_be_had_is_ended() -> None:
    before, reactor = (descriptors(), children()), Readers()
    stopping = Deferred.fromCoroutine(backend(reactor).stop())
    (watch,) = cast(set[Any], reactor.readers)
    (pid,) = children() - before[1]
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    watch.doRead()
    result_of(stopping)
    assert_nothing_is_left(*before)


def test_a_workspace_without_a_guard_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def of(folder: Path) -> Watchdog:
        made.append(folder)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Watchdog, "of", of)

    async def answers() -> bool:
        return True

    with pytest.raises(StartError, match=r"^no guard can be started for .*: Too many open files$"):
        Workspace(cast(Any, Time()), tmp_path, "127.0.0.1", 1, "localhost", answers, lambda _child: None)
    assert not made[0].exists()
