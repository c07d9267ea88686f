"""The one file in a root directory with nothing in it but C libraries, a shell and the proxy."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .commands import Place

#: A mount namespace of our own; who is not root becomes it inside.
UNSHARE = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
ENTER = 'mount --rbind /proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$@"'
#: What the program itself asks of the system besides.
TOOLS = ("/bin/sh", "/bin/rm", "/bin/env")


def libraries(program: Path) -> list[Path]:
    """Return the shared libraries that a program is linked to, the loader included."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    found = [Path(path) for path in re.findall(r"(/\S+) \(0x", said.stdout)]
    # The C library loads this one when a thread ends.
    return found + [path.with_name("libgcc_s.so.1") for path in found if path.name == "libc.so.6"]


def copy_into(root: Path, file: Path) -> None:
    """Copy a file to the place that it has in the system."""
    copy = root / file.relative_to("/")
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, copy)


@pytest.fixture(name="root")
def _root(place: Place, one_file: Path, proxies: dict[str, Path]) -> Path:
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace can be made here")
    root = place.folder / "root"
    for name in ("proc", "dev", "run", "bin", "work", "etc"):
        (root / name).mkdir(parents=True)
    for program in (*map(Path, TOOLS), *proxies.values()):
        for file in (program, *libraries(program)):
            copy_into(root, file)
    for library in libraries(one_file):
        copy_into(root, library)
    shutil.copy(one_file, root / "bin")
    for name, program in proxies.items():  # these find their libraries relative to where they are
        (root / "bin" / name).symlink_to(program)
    for name in ("passwd", "group"):  # nginx looks for its user
        shutil.copy(Path("/etc", name), root / "etc" / name)
    assert not [path for path in root.rglob("*") if path.is_file() and ("python" in path.name or path.suffix == ".py")]
    return root


def enter(root: Path, *words: str) -> list[str | Path]:
    """Return the words that run a command in that root, in an environment that has only PATH."""
    clean = ["/bin/env", "-i", "-C", "/work", "PATH=/bin", "TMPDIR=/run"]
    return [*UNSHARE, "sh", "-c", ENTER, "sh", root, *clean, *words]


@pytest.mark.parametrize("name", ["haproxy", "nginx:reload-min-timeout", "control"])
def test_the_main_job(place: Place, root: Path, name: str) -> None:
    place.environment["PATH"] = os.environ["PATH"]
    said = place.run(enter(root, "proxyreload", "--plugin", name, "--duration", "4", *place.ports))
    assert (said.status, said.stderr) == (0, "")
    Place(root / "work", temp=place.temp).assert_seamless()
    assert list((root / "run").iterdir()) == []


def test_a_user_without_name_and_home(place: Place, root: Path) -> None:
    place.environment["PATH"] = os.environ["PATH"]
    (root / "etc" / "passwd").unlink()
    said = place.run(enter(root, "proxyreload", "plugins"))
    assert (said.status, said.stderr) == (0, "")
    assert re.search(r"^haproxy +HAProxy version .* /bin/haproxy$", said.stdout, re.MULTILINE)
    assert re.search(r"^sozu +sozu is not installed: ", said.stdout, re.MULTILINE)
