"""The live page's Unix socket: whose it is, and what may stand in its place."""

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyreload.errors import StartError
from proxyreload.web.socketfile import path_of, private


@pytest.fixture(name="path")
def _path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # a test's folder may be too long for a socket
    return Path("page.sock")


@pytest.fixture(name="bound")
def _bound(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        yield bound


def why_not(path: Path) -> str:
    with pytest.raises(StartError) as raised, private(path):
        pytest.fail("it may be bound")
    return str(raised.value).removeprefix(f"the page cannot be served at {path}: ")


def test_it_is_the_owners_alone_from_when_it_is_bound(path: Path) -> None:
    before = os.umask(0)
    try:
        with socket.socket(socket.AF_UNIX) as bound, private(path):
            bound.bind(str(path))
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.umask(0) == 0
    finally:
        os.umask(before)


def test_what_a_dead_one_has_left_makes_room(path: Path, bound: socket.socket) -> None:
    bound.close()
    with private(path):
        assert not path.exists()


def test_one_that_is_served_is_left_alone(path: Path, bound: socket.socket) -> None:
    bound.listen(1)
    assert why_not(path) == "somebody serves there"
    assert path.is_socket()


def test_one_that_is_too_busy_to_answer_is_left_alone(path: Path, bound: socket.socket) -> None:
    bound.listen(0)
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as another:
        for each in (one, another):
            each.settimeout(0)
            each.connect_ex(str(path))
        assert why_not(path) == "somebody serves there"
    assert path.is_socket()


def test_nothing_but_a_socket_is_removed(path: Path) -> None:
    path.write_text("mine")
    assert why_not(path) == "something else stands there"
    assert path.read_text() == "mine"


def test_a_link_is_not_followed(path: Path, bound: socket.socket) -> None:
    bound.close()
    link = Path("link.sock")
    link.symlink_to(path)
    assert why_not(link) == "something else stands there"
    assert link.is_symlink()
    assert path.is_socket()


def test_where_there_is_no_folder_it_says_so(path: Path) -> None:
    path.touch()
    assert why_not(Path("none/page.sock")) == "No such file or directory"
    assert why_not(path / "page.sock") == "Not a directory"
    assert "embedded null" in why_not(Path("\0/page.sock"))  # as each Python has it
    assert "too long" in why_not(Path("x" * 300))


def test_two_that_begin_at_once_do_not_remove_each_others(path: Path, bound: socket.socket) -> None:
    bound.close()
    folder = os.open(".", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    assert why_not(path) == "another one begins to be, in the same folder"
    os.close(folder)
    assert path.is_socket()


@pytest.mark.parametrize(
    ("description", "path"),
    [
        ("unix:page.sock", "page.sock"),
        ("unix:/run/page.sock:mode=660", "/run/page.sock"),
        ("unix:address=/run/page.sock:mode=660", "/run/page.sock"),
        (r"unix:a\:b\\c:backlog=5", r"a:b\c"),
        ("tcp:8090", None),
        ("8090", None),
        ("systemd:domain=UNIX:index=0", None),
    ],
)
def test_it_knows_the_path_of_an_endpoint(description: str, path: str | None) -> None:
    assert path_of(description) == (None if path is None else Path(path))
