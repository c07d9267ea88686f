"""Files that one process writes alone."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxyreload.system import claim as claiming
from proxyreload.system import wholefile
from proxyreload.system.claim import Claim, claim_folder, holder


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "run.json"


def refused(path: Path, *, whole: bool = True) -> str:
    """Return why a file cannot be claimed."""
    with pytest.raises(BlockingIOError) as raised:
        Claim.of(path, whole=whole)
    return str(raised.value.strerror)


@pytest.mark.parametrize("whole", [False, True])
def test_a_file_is_claimed_once_and_by_whom_is_said(path: Path, *, whole: bool) -> None:
    claim = Claim.of(path, whole=whole)
    assert refused(path, whole=not whole) == f"another run is writing it (pid {os.getpid()})"
    claim.release()
    Claim.of(path, whole=whole).release()


def test_what_is_there_stays_until_it_is_replaced(path: Path) -> None:
    path.write_text("before")
    claim = Claim.of(path, whole=True)
    assert path.read_text() == "before"
    claim.replace("after")
    assert path.read_text() == "after"
    claim.release()
    assert path.read_text() == "after"


def test_a_file_that_was_put_in_place_is_claimed_like_the_one_before(path: Path) -> None:
    before = path.with_name("before")
    path.write_text("")
    os.link(path, before)
    claim = Claim.of(path, whole=True)
    claim.replace("one")
    assert not before.samefile(path)
    refused(path)
    claim.replace("two")
    refused(path)
    claim.release()
    Claim.of(path).release()


def test_who_has_opened_the_file_before_it_was_replaced_claims_the_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Claim.of(path, whole=True)
    lock = wholefile.lock

    def late(descriptor: int, operation: int) -> None:
        """Lock it when it has just been replaced, and let go of."""
        monkeypatch.setattr(claiming, "lock", lock)
        first.replace("new")
        first.release()
        lock(descriptor, operation)

    monkeypatch.setattr(claiming, "lock", late)
    second = Claim.of(path, whole=True)
    assert os.fstat(second.descriptor).st_ino == path.stat().st_ino
    refused(path)
    second.release()


@pytest.mark.parametrize("whole", [False, True])
def test_a_file_that_was_made_for_the_claim_alone_is_removed(path: Path, *, whole: bool) -> None:
    claim = Claim.of(path, whole=whole)
    assert path.read_bytes() == b""
    claim.release()
    assert not path.exists()


def test_an_empty_file_of_somebody_elses_stays(path: Path) -> None:
    path.touch()
    Claim.of(path).release()
    assert path.exists()


def test_what_was_written_stays(path: Path) -> None:
    claim = Claim.of(path)
    os.write(claim.descriptor, b"row")
    claim.release()
    assert path.read_bytes() == b"row"


def test_links_lead_to_one_file(tmp_path: Path) -> None:
    path, soft, hard = tmp_path / "path", tmp_path / "soft", tmp_path / "hard"
    path.touch()
    soft.symlink_to("path")
    os.link(path, hard)
    claim = Claim.of(soft, whole=True)
    refused(path)
    refused(hard)
    claim.replace("text")
    assert soft.is_symlink()
    assert path.read_text() == "text"
    claim.release()


def test_a_link_to_nothing_yet_is_followed(tmp_path: Path) -> None:
    soft = tmp_path / "soft"
    soft.symlink_to("path")
    claim = Claim.of(soft, whole=True)
    claim.replace("text")
    claim.release()
    assert (tmp_path / "path").read_text() == "text"


def test_no_child_has_the_lock(path: Path) -> None:
    claim = Claim.of(path)
    assert not os.get_inheritable(claim.descriptor)
    claim.replace("text")
    assert not os.get_inheritable(claim.descriptor)
    child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, close_fds=False)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"x")
    assert child.stdout.read(1) == b"x"  # it is another program by now
    claim.release()
    Claim.of(path).release()
    child.communicate()


def test_a_lock_ends_with_its_process(path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from proxyreload.system.claim import Claim; "
        "claim = Claim.of(Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    )
    holding = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=True
    )
    assert holding.stdout is not None
    holding.stdout.readline()
    assert refused(path) == f"another run is writing it (pid {holding.pid})"
    holding.kill()
    holding.communicate()
    Claim.of(path).release()


def test_devices_are_for_everybody() -> None:
    claims = [Claim.of(Path("/dev/null"), whole=True), Claim.of(Path("/dev/null"))]
    for claim in claims:
        claim.replace("")
        claim.clear()
        claim.release()


def test_a_file_that_has_no_name_any_more_is_written_to_as_it_is(path: Path) -> None:
    with path.open("w+") as file:
        path.unlink()
        claim = Claim.of(Path(f"/dev/fd/{file.fileno()}"), whole=True)
        claim.replace("text")
        claim.release()
        assert file.read() == "text"
    assert list(path.parent.iterdir()) == []


def test_a_pipe_that_nobody_reads_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for whole in (False, True):
        with pytest.raises(OSError, match="nobody reads from it"):
            Claim.of(path, whole=whole)


def test_a_pipe_that_is_read_gets_all_of_it_and_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    claim = Claim.of(path, whole=True)
    claim.replace("one\n")
    claim.replace("two\n")
    assert os.read(reader, 100) == b"one\ntwo\n"
    claim.release()
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_a_folder_that_nothing_can_be_put_into_is_known_before(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Claim.of(tmp_path / "missing" / "run.json", whole=True)
    with pytest.raises(IsADirectoryError):
        Claim.of(tmp_path, whole=True)
    with pytest.raises(OSError, match="File name too long"):
        Claim.of(tmp_path / ("x" * 256), whole=True)


def test_the_longest_name_there_is_can_be_put_in_place(tmp_path: Path) -> None:
    for name in ("x" * 255, "漢" * 85):
        claim = Claim.of(tmp_path / name, whole=True)
        claim.replace("text")
        claim.release()
        assert (tmp_path / name).read_text() == "text"


def test_text_that_utf_8_has_no_bytes_for_is_escaped(path: Path) -> None:
    claim = Claim.of(path, whole=True)
    claim.replace("\udc80")
    claim.release()
    assert path.read_text() == "\\udc80"


def test_a_file_that_was_moved_is_not_there_any_more(path: Path) -> None:
    claim = Claim.of(path)
    os.write(claim.descriptor, b"row")
    assert claim.size() == 3
    path.rename(path.with_name("moved"))
    assert claim.size() == -1
    path.write_text("row")
    assert claim.size() == -1
    claim.release()


def test_a_filesystem_without_locks_is_written_to_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    claim = Claim.of(path, whole=True)
    claim.replace("text")
    claim.release()
    assert path.read_text() == "text"


@pytest.mark.parametrize(
    ("lines", "pid"),
    [
        (["1: FLOCK  ADVISORY  WRITE 4711 {device}:{inode} 0 EOF"], "4711"),
        (["1: POSIX  ADVISORY  WRITE 4711 {device}:{inode} 0 EOF"], ""),
        (["1: FLOCK  ADVISORY  WRITE 4711 {device}:1 0 EOF"], ""),
        (["1: FLOCK  ADVISORY  WRITE 4711 ff:ff:{inode} 0 EOF"], "4711"),  # btrfs has another number there
        (["1: FLOCK  ADVISORY  WRITE 1 fe:ff:{inode} 0 EOF", "2: FLOCK  ADVISORY  WRITE 2 ff:ff:{inode} 0 EOF"], ""),
        (
            ["1: FLOCK  ADVISORY  WRITE 1 ff:ff:{inode} 0 EOF", "2: FLOCK  ADVISORY  WRITE 2 {device}:{inode} 0 EOF"],
            "2",
        ),
        (["1: FLOCK  ADVISORY  WRITE 0 {device}:{inode} 0 EOF"], ""),  # of another namespace
        (["1: FLOCK  ADVISORY  WRITE -1 {device}:{inode} 0 EOF"], ""),
        (["", "nonsense", "1: -> FLOCK"], ""),
    ],
)
def test_who_has_a_lock_is_told_by_the_kernel(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: list[str], pid: str
) -> None:
    path.touch()
    status = path.stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    told = tmp_path / "locks"
    told.write_text("\n".join(line.format(device=device, inode=status.st_ino) for line in lines))
    monkeypatch.setattr(claiming, "_LOCKS", told)
    assert holder(status) == pid


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    descriptor = claim_folder(folder)
    with pytest.raises(BlockingIOError, match=rf"another run is writing it \(pid {os.getpid()}\)"):
        claim_folder(folder)
    os.close(descriptor)
    os.close(claim_folder(folder))
