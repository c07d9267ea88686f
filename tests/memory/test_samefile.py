"""Several names of one file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxyreload.errors import UsageError
from proxyreload.system.samefile import require_apart


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def clash(one: str, other: str, read: str = "") -> str:
    """Return what is said of two files that are written, and one that is read."""
    with pytest.raises(UsageError) as raised:
        require_apart({"--csv": Path(one), "--run": Path(other)}, {"--ca": Path(read)} if read else {})
    return str(raised.value)


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("other", ["x", "./x", "../{folder}/x", "y/../x", "soft", "{whole}"])
def test_one_file_by_two_names_is_named_by_both_options(tmp_path: Path, other: str, *, there: bool) -> None:
    Path("y").mkdir()
    Path("soft").symlink_to("x")
    if there:
        Path("x").touch()
    other = other.format(folder=tmp_path.name, whole=tmp_path / "x")
    assert clash("x", other) == f"--run {Path(other)} is the same file as --csv x"


def test_a_hard_link_is_the_same_file() -> None:
    Path("x").touch()
    os.link("x", "hard")
    assert clash("x", "hard") == "--run hard is the same file as --csv x"


def test_what_is_read_is_not_written_over() -> None:
    Path("x").touch()
    assert clash("x", "y", "./x") == "--csv x is the same file as --ca"
    assert clash("y", "x", "x") == "--run x is the same file as --ca"


def test_two_that_are_read_may_be_one() -> None:
    require_apart({"--csv": Path("x")}, {"--binary": Path("/bin/sh"), "--upgrade-to": Path("/bin/sh")})


def test_files_apart_are_fine() -> None:
    Path("x").touch()
    Path("y").touch()
    require_apart({"--csv": Path("x"), "--run": Path("y"), "--report": Path("z"), "--junit": Path("a/z")}, {})


def test_a_device_may_have_many_uses() -> None:
    require_apart({"--csv": Path("/dev/null"), "--run": Path("/dev/null")}, {"--ca": Path("/dev/null")})


def test_a_name_that_cannot_be_is_no_clash() -> None:
    require_apart({"--csv": Path("x" * 300), "--run": Path("x/" * 3000)}, {})


def test_where_the_standard_output_goes_is_written_already() -> None:
    code = (
        "from pathlib import Path; from proxyreload.system.samefile import require_apart; "
        "require_apart({'--csv': Path('rows')}, {})"
    )
    with Path("rows").open("wb") as rows:
        done = subprocess.run([sys.executable, "-c", code], stdout=rows, stderr=subprocess.PIPE, text=True, check=False)
    assert "--csv rows is the same file as standard output" in done.stderr
