"""What is tested, and where it is run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyreload.proxy.registry import choose

from .commands import Place

CHECKOUT = Path(__file__).parents[2]


def built(variable: str, default: Path, target: str) -> Path:
    """Return what a variable names, or what make makes: without it these tests have nothing to test, and fail."""
    path = Path(os.environ.get(variable) or default)
    if not path.exists():
        pytest.fail(f"{path} is missing: {target} makes it, or say in {variable} where it is", pytrace=False)
    return path.absolute()


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder with the sdist and the wheel."""
    return built("PROXYRELOAD_PACKAGES", CHECKOUT / "dist" / "packages", "make package")


@pytest.fixture(scope="session")
def wheel(packages: Path) -> Path:
    (path,) = packages.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def sdist(packages: Path) -> Path:
    (path,) = packages.glob("*.tar.gz")
    return path


@pytest.fixture(scope="session")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the wheel and what it needs, nothing of it compiled here."""
    venv = tmp_path_factory.mktemp("wheel") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip: list[str | Path] = [venv / "bin" / "pip", "install", "--quiet", "--only-binary", ":all:"]
    # Nothing on PATH: no compiler.
    subprocess.run([*pip, wheel], env={**os.environ, "PATH": ""}, check=True)
    return venv


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    shutil.rmtree(place.temp, ignore_errors=True)


@pytest.fixture(name="one_file", scope="session")
def _one_file() -> Path:
    """What make dist has made."""
    return built("PROXYRELOAD_FROZEN", CHECKOUT / "dist" / "proxyreload", "make dist")


@pytest.fixture
def frozen(one_file: Path, place: Place) -> Path:
    """Return the one file, copied alone into an empty folder, with nothing on PATH but what the system has."""
    place.environment["PATH"] = "/usr/bin:/bin"
    return Path(shutil.copy(one_file, place.folder))


@pytest.fixture(scope="session")
def proxies() -> dict[str, Path]:
    """Return real proxies, which lie elsewhere."""
    binaries = {name: choose(name).plugin.binary for name in ("haproxy", "nginx", "envoy")}
    return {name: binary.find() for name, binary in binaries.items() if binary is not None}
