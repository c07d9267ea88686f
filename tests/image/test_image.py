"""The image, run confined by what runs containers here: what make test-image has built."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

#: A safety net: whatever is waited for comes long before, or never.
TIMEOUT_S = 300.0
CONFINED = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--network", "none")
NUMBER = 10001


def said(*words: str, statuses: tuple[int, ...] = (0,)) -> str:
    """Return what the program that runs containers says to these words, both ways."""
    program = shutil.which("podman") or shutil.which("docker")
    if program is None:
        pytest.fail("neither podman nor docker is installed", pytrace=False)
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode in statuses, done.stdout + done.stderr
    return done.stdout + done.stderr


def image() -> str:
    """Return which."""
    return os.environ.get("PROXYRELOAD_IMAGE", "localhost/proxyreload")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder that is the image's user's."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    return folder


@pytest.fixture
def container() -> Iterator[str]:
    """A name, and no container of it afterwards."""
    name = f"proxyreload-{uuid4().hex}"
    yield name
    said("rm", "--force", name, statuses=(0, 1))


def test_nobody_can_write_but_to_data_and_where_everybody_can(container: str) -> None:
    script = "find / -xdev \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o -writable ! -type l -print; id -u; id -g"
    words = ("run", "--name", container, "--entrypoint", "sh", image(), "-c", f"({script}) 2>/dev/null")
    lines = said(*words).split()
    assert lines[-2:] == [str(NUMBER)] * 2
    assert "/data" in lines
    assert set(lines[:-2]) <= {"/data", "/tmp", "/var/tmp", "/run/lock"}


def test_a_run_writes_its_files_in_a_place_that_is_read_only_otherwise(container: str, data: Path) -> None:
    words = ("--plugin", "haproxy", "--log", "none", "--traffic", "get=5", "--repeat", "1")
    told = said("run", "--name", container, *CONFINED, "--volume", f"{data}:/data", image(), *words, statuses=(0, 1))
    assert "verdict: " in told
    assert {"data.csv", "losses.csv", "run.json", "report.html"} <= {path.name for path in data.iterdir()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_process_ends_in_order_and_leaves_no_zombie(
    number: signal.Signals, container: str, data: Path
) -> None:
    words = ("--plugin", "nginx:reload", "--log", "changes", "--traffic", "get=5", "--duration", "3600")
    said("run", "--detach", "--name", container, *CONFINED, "--volume", f"{data}:/data", image(), *words)
    with subprocess.Popen(
        [shutil.which("podman") or "docker", "logs", "--follow", container],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as log:
        assert log.stdout is not None
        assert any("remove" in line for line in log.stdout), "no change was made"
        # What is run in the container beside the run leaves an orphan: soon nobody is a zombie, or never.
        said("exec", container, "sh", "-c", "(true &)")
        said("exec", container, "sh", "-c", "while cat /proc/[0-9]*/stat | grep -q ') Z '; do :; done")
        said("kill", "--signal", number.name, container)
        rest = log.stdout.read()
    assert said("wait", container).split()[-1] in {"0", "1", "3"}
    assert "verdict: " in rest
    assert (data / "run.json").stat().st_uid == NUMBER
    assert len((data / "data.csv").read_bytes().splitlines()) > 1
