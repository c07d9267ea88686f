"""The sdist and the wheel: what is in them, and that they are the same whenever they are built."""

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePath

import pytest

from .conftest import CHECKOUT


def own_files() -> set[str]:
    """Return the program's files as the wheel should have them."""
    files = [path.relative_to(CHECKOUT) for path in (CHECKOUT / "proxyreload").rglob("*")]
    files += [path.relative_to(CHECKOUT / "plugins") for path in (CHECKOUT / "plugins").rglob("*.py")]
    return {str(file) for file in files if file.suffix not in {"", ".pyc"}}


def test_the_wheel_has_the_programs_files_and_no_others(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    manual = {name for name in names if name.endswith(".data/data/share/man/man1/proxyreload.1")}
    assert names - manual == own_files()


def test_the_wheel_says_that_it_is_typed(wheel: Path) -> None:
    assert "proxyreload/py.typed" in zipfile.ZipFile(wheel).namelist()


#: Besides the program's own: what it is built, checked and tested with, and what the tests read.
BESIDE = ("assets", "benchmarks", "buildtool", "docs", "templates", "tests", "vendors")
NO_FILES = {"__pycache__", "_trial_temp"}


def test_the_sdist_has_what_it_is_built_and_tested_with(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        paths = [PurePath(member.name) for member in archive if member.isfile()]
    names = {str(PurePath(*path.parts[1:])) for path in paths}
    needed = {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "setup.cfg", "pyproject.toml"}
    needed |= {"action.yml", "build.spec", "Makefile", "MANIFEST.in", ".dockerignore"}
    for folder in BESIDE:
        files = [path.relative_to(CHECKOUT) for path in (CHECKOUT / folder).rglob("*") if path.is_file()]
        needed |= {str(file) for file in files if not NO_FILES.intersection(file.parts) and file.name[0] != "."}
    needed |= {name if name.startswith("proxyreload/") else f"plugins/{name}" for name in own_files()}
    made = {"PKG-INFO", *(name for name in names if name.startswith("plugins/proxyreload.egg-info/"))}
    assert names - made == needed
    assert not [name for name in names if "__pycache__" in name or name.startswith(("build/", "dist/", "./"))]


@pytest.fixture(name="unpacked", scope="session")
def _unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an sdist that somebody has unpacked."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return unpacked


@pytest.mark.parametrize(
    "words",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy", "proxyreload", "plugins/*.py", "tests", "benchmarks"],
        ["pytest", "tests/memory", "tests/real", "--collect-only", "-q"],
        ["pytest", "tests/real/test_documented_names.py", "tests/real/test_assets.py", "-q", "-k", "document or build"],
    ],
    ids=" ".join,
)
def test_unpacked_it_can_be_checked_and_tested(unpacked: Path, words: list[str]) -> None:
    program, *words = words
    told = [str(path) for word in words for path in (sorted(unpacked.glob(word)) if "*" in word else [word])]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    ended = subprocess.run(
        [Path(sys.executable).with_name(program), *told], cwd=unpacked, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-5000:]


@pytest.fixture(name="build", scope="session")
def _build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the package build."""
    venv = tmp_path_factory.mktemp("build") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin" / "pip", "install", "--quiet", "build"], check=True)
    return venv / "bin" / "python"


def test_built_elsewhere_at_another_time_they_are_the_same(
    sdist: Path, wheel: Path, build: Path, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (sources,) = tmp_path.iterdir()
    for path in sources.rglob("*"):
        path.chmod(path.stat().st_mode | 0o060)
        os.utime(path, (1_600_000_000, 1_600_000_000))
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    words: list[str | Path] = [build, "-m", "build", "--outdir", tmp_path / "again", sources]
    subprocess.run(words, env=environment, umask=0o007, check=True, capture_output=True)
    for first in (sdist, wheel):
        assert digest(tmp_path / "again" / first.name) == digest(first), first.name


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
