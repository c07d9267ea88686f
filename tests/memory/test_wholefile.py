"""Files that are written whole, and files that are read without waiting."""

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from proxyreload.system.wholefile import open_regular, read_some, write_some, write_whole


def test_a_file_is_put_in_place_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with path.open() as before:
        write_whole(path, "é 漢")
        assert before.read() == "before"
    assert path.read_text(encoding="utf-8") == "é 漢"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "after")
    monkeypatch.undo()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_as_a_whole_is_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stat.S_ISBLK", lambda _mode: True)
    with pytest.raises(OSError, match="it is a disk"):
        write_whole(Path("/dev/null"), "text")


def test_a_pipe_that_takes_nothing_is_given_up() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    with pytest.raises(OSError, match="nobody has read from it for 0 s"):
        write_some(writer, b"x", 0)
    os.close(reader)
    os.close(writer)


def test_a_pipe_that_is_read_later_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    full = 0
    with suppress(BlockingIOError):
        while True:
            full += os.write(writer, b"x" * 4096)
    emptying = threading.Thread(target=lambda: os.read(reader, full))
    emptying.start()
    assert write_some(writer, b"last") == 4
    emptying.join()
    os.close(reader)
    os.close(writer)


def test_only_so_much_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_some(path, 3) == b"123"
    assert read_some(path, 5) == b"12345"
    assert read_some(path, 9) == b"12345"
    assert read_some(Path("/dev/zero"), 3_000_000) == bytes(3_000_000)


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="not all of it has come within 0 s"):
        read_some(path, 10, 0)


def test_a_pipe_whose_writer_stays_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    keeping = os.open(path, os.O_RDWR)
    os.write(keeping, b"some")
    with pytest.raises(OSError, match="not all of it has come within 0 s"):
        read_some(path, 10, 0)
    os.close(keeping)


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writing = threading.Thread(target=path.write_text, args=("some",))
    writing.start()
    assert read_some(path, 10) == b"some"
    writing.join()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_some(tmp_path, 10)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


def test_what_cannot_be_read_twice_is_no_file_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for each in (path, Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(each)
