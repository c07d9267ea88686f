"""Where a run keeps what is private: the folder that is named is taken or refused, before anything is started."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyreload.errors import StartError, UsageError
from proxyreload.proxy.folder import PATH_BYTES, SOCKET_NAME_BYTES, VARIABLES, exposure, new_folder, require_parent


@pytest.fixture(name="short")
def _short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a folder whose path leaves room, and unset what names another."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    folder = Path(tempfile.mkdtemp(prefix="prt-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def refused(monkeypatch: pytest.MonkeyPatch, value: str | Path) -> str:
    monkeypatch.setenv("TMPDIR", str(value))
    with pytest.raises(UsageError) as raised:
        require_parent()
    said = str(raised.value)
    assert said.startswith("TMPDIR=")
    assert "\n" not in said
    return said.rpartition(": ")[2]


def test_a_folder_is_made_that_only_its_user_may_enter(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(short))
    before = os.umask(0)
    try:
        folder = new_folder()
    finally:
        os.umask(before)
    assert folder.parent == short
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_is_not_named_is_the_systems(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert require_parent() == Path(tempfile.gettempdir()).resolve()
    monkeypatch.setenv("TMP", str(short))
    assert require_parent() == short
    monkeypatch.setenv("TMPDIR", "")
    assert require_parent() == short


def test_one_that_is_named_and_is_not_there_is_no_other(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(monkeypatch, short / "none") == "No such file or directory"
    assert refused(monkeypatch, "none\x1b[2J") == "No such file or directory"


def test_a_file_is_no_folder(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (short / "file").touch()
    assert refused(monkeypatch, short / "file") == "not a directory"
    assert refused(monkeypatch, short / "file" / "below") == "Not a directory"


def test_a_folder_that_takes_nothing(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: path != short)  # root may write everywhere
    assert refused(monkeypatch, short) == "no folder can be made in it"


def test_a_link_is_followed_and_one_that_leads_nowhere_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (short / "link").symlink_to(short)
    monkeypatch.setenv("TMPDIR", str(short / "link"))
    assert new_folder().parent == short
    (short / "loop").symlink_to("loop")
    assert refused(monkeypatch, short / "loop")


def test_a_socket_below_the_longest_that_is_taken_can_be_bound(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = PATH_BYTES - len("/proxyreload-12345678/") - SOCKET_NAME_BYTES - len(os.fsencode(short)) - len("/")
    longest = short / ("ü" * (room // 2) + "x" * (room % 2))
    longest.mkdir()
    monkeypatch.setenv("TMPDIR", str(longest))
    path = new_folder() / ("s" * SOCKET_NAME_BYTES)
    assert len(os.fsencode(path)) == PATH_BYTES
    too_long = longest.with_name(longest.name + "x")
    too_long.mkdir()
    said = refused(monkeypatch, too_long)
    assert said == "its path has 54 bytes, and those of the proxy's sockets below it have room for 53"


def test_a_name_that_no_configuration_can_have(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(os.fsdecode(os.fsencode(short) + b"/\xff"))
    path.mkdir()
    assert "UTF-8" in refused(monkeypatch, path)


def test_no_room_left(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(short))

    def full(**_more: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(StartError, match=f"no folder can be made in {short}: No space left on device"):
        new_folder()


def test_who_could_replace_it_is_said(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = short / "below"
    below.mkdir()
    monkeypatch.setenv("TMPDIR", str(below))
    assert exposure() == ""
    for mode in (0o777, 0o1777):
        short.chmod(mode)
        assert bool(exposure()) is (mode == 0o777)
    short.chmod(0o700)
    below.chmod(0o777)
    assert exposure().startswith(f"{below} is open to every user and has no sticky bit")
