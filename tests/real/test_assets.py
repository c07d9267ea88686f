"""The systemd unit and the build file, as far as a machine without either can tell."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .command import Place

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "assets" / "proxyreload.service"
BUILD_FILE = ROOT / "assets" / "Containerfile"
INSTALLED = "/opt/proxyreload/bin/proxyreload"

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
#: Mounts and user ids can be changed by root alone.
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")
#: What ProtectSystem, StateDirectory, DynamicUser, CapabilityBoundingSet and NoNewPrivileges come to.
CONFINED = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -o remount,bind,ro /
cd "$1"
shift
exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs "$@"
"""


def settings(name: str) -> list[str]:
    """Return a setting's values in the unit."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


def environment() -> dict[str, str]:
    """Return what the unit sets."""
    return dict(word.split("=", 1) for value in settings("Environment") for word in shlex.split(value))


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text(encoding="utf-8").replace(INSTALLED, sys.executable), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_systemd_calls_the_unit_confined() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@needs_root
def test_what_the_unit_starts_runs_confined_and_ends_in_order(place: Place) -> None:
    # pytest's folders are open to nobody but their owner, and so again whenever another pytest begins.
    state = place.temp / "state"
    state.mkdir()
    os.chown(state, 65534, 65534)
    for folder in [state, *state.parents]:
        folder.chmod(folder.stat().st_mode | 0o011)
    control = place.start("--plugin", "control", "--duration", "3600", *place.ports)
    control.until("client 0 ")
    (line,) = settings("ExecStart")
    values = environment() | {"WATCHED": place.front}
    for name, value in values.items():
        line = line.replace(f"${name}", value)
    program, *words = shlex.split(line.replace("--web 8001", "--web 0"))
    assert program == INSTALLED
    service = place.start(
        *words,
        command=("unshare", "--mount", "sh", "-c", CONFINED, "sh", str(state), sys.executable, "-m", "proxyreload"),
    )
    service.until(r"success: [1-9]")
    service.process.terminate()
    result = service.ended()
    control.signal(2)
    control.ended()
    assert result.status == 0, result.stdout + result.stderr
    assert "verdict: " in result.stdout
    (rows,) = state.glob("runs/*/data.csv")
    assert rows.stat().st_uid == 65534
    assert len(rows.read_bytes().splitlines()) > 1


def test_the_build_file_copies_what_there_is_and_asks_for_extras_that_there_are() -> None:
    text = BUILD_FILE.read_text(encoding="utf-8")
    for names in re.findall(r"^COPY (?!--from)(.*) /src\S*$", text, re.MULTILINE):
        for name in names.split():
            assert (ROOT / name).exists(), name
    extras = re.findall(r"EXTRAS=([\w,]*\w)", text)
    declared = re.findall(
        r"^(\w+) =", (ROOT / "setup.cfg").read_text().split("[options.extras_require]")[1], re.MULTILINE
    )
    assert {extra for each in extras for extra in each.split(",")} <= set(declared)
    assert "USER 10001:10001" in text
