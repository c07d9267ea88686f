"""The systemd unit, the build file and the compose file, as far as a machine without any of them can tell."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxyreload.command.options import RunOptions

from .command import Place
from .page import blocks
from .proxies import binary

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "assets" / "proxyreload.service"
BUILD_FILE = ROOT / "assets" / "Containerfile"
COMPOSE_FILE = ROOT / "assets" / "compose.yaml"
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


def copied() -> set[str]:
    """Return what the build file takes out of the checkout."""
    text = BUILD_FILE.read_text(encoding="utf-8")
    lines = re.findall(r"^COPY (?!--from)(.*) /src\S*$", text, re.MULTILINE)
    return {name for names in lines for name in names.split()}


def test_the_build_file_copies_what_there_is_and_what_builders_are_sent() -> None:
    assert "setup.cfg" in copied()
    assert [name for name in copied() if not (ROOT / name).exists()] == []
    kept = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert copied() == set(kept)


def test_the_build_file_asks_for_extras_that_there_are() -> None:
    shown = [BUILD_FILE, *(ROOT / "docs").glob("*.md")]
    extras = [found for path in shown for found in re.findall(r"EXTRAS=([\w,]*\w)", path.read_text(encoding="utf-8"))]
    declared = re.findall(
        r"^(\w+) =", (ROOT / "setup.cfg").read_text().split("[options.extras_require]")[1], re.MULTILINE
    )
    assert len(extras) > 1
    assert {extra for each in extras for extra in each.split(",")} <= set(declared)


def test_the_image_has_the_programs_of_debians_that_ci_installs_and_the_crate_that_make_has() -> None:
    text = BUILD_FILE.read_text(encoding="utf-8")
    (packages,) = re.findall(r'^ARG DEBIAN="(.*)"$', text, re.MULTILINE)
    (installed,) = re.findall(
        r"^debian=\((.*?)\)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert set(packages.split()) <= set(installed.split())
    (version,) = re.findall(r"^SOZU_VERSION = (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"sozu@([\d.]+)", text)) == {version}


def test_the_image_is_run_by_nobody_below_what_reaps_orphans() -> None:
    text = BUILD_FILE.read_text(encoding="utf-8")
    assert re.findall("^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert f'ENTRYPOINT ["/usr/bin/tini", "--", "{INSTALLED}"]' in text
    assert re.search(r"apt-get install .* tini ", text)


def services() -> dict[str, dict[str, Any]]:
    """Return the compose file's services, what they have in common put in."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))["services"]
    return found


def test_what_is_composed_is_confined_and_open_to_the_loopback_alone() -> None:
    for name, service in services().items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "network_mode", "pid", "devices"} & set(service), name
    published = [port for service in services().values() for port in service.get("ports", ())]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_what_is_composed_asks_the_proxy_beside_it_and_is_its_backends() -> None:
    options = RunOptions()
    options.parseOptions(services()["proxyreload"]["command"])
    settings = options.settings
    proxy = services()["proxy"]
    (mounted,) = proxy["volumes"]
    here, there, _how = mounted.split(":")
    configuration = (COMPOSE_FILE.parent / here / Path(proxy["entrypoint"][-1]).relative_to(there)).read_text()
    assert settings.target.url == "http://proxy:8080/"
    assert ":8080 {\n" in configuration
    asked = re.findall(r" proxyreload:(\d+)", configuration)
    backends = settings.backends
    assert asked == [str(backends.first_port + number) for number in range(backends.number)]
    assert backends.host == "0.0.0.0"
    # Published is the port that the page listens on.
    (port,) = services()["proxyreload"]["ports"]
    assert f"tcp:{port.rpartition(':')[2]}:interface=0.0.0.0" in services()["proxyreload"]["command"]


def test_caddy_takes_the_configuration_that_is_composed(place: Place) -> None:
    watched = COMPOSE_FILE.parent / "watched" / "Caddyfile"
    done = subprocess.run(
        [binary("caddy"), "validate", "--adapter", "caddyfile", "--config", watched],
        cwd=place.folder,
        env=place.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_the_page_of_the_image_runs_are_right_command_lines() -> None:
    page = ROOT / "docs" / "image.md"
    lines = [command.text for block in blocks(page) for command in block.shown]
    calls = [shlex.split(line.split("localhost/proxyreload ", 1)[1]) for line in lines if " run " in line]
    assert len(calls) > 1
    for words in calls:
        RunOptions().parseOptions(words)
