"""The one file as its user has it: alone in a folder, with no Python that it could lean on."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from proxyreload.proxy.registry import installed

from .commands import Place, free_ports, until_line

MEGABYTE = 1_000_000


def test_it_is_small(frozen: Path) -> None:
    assert frozen.stat().st_size < 70 * MEGABYTE


def test_version_names_the_build(place: Place, frozen: Path) -> None:
    said = place.run([frozen, "--version"])
    assert (said.status, said.stderr) == (0, "")
    assert re.fullmatch(r"proxyreload \d+\.\d+\.\d+ \(frozen, Python 3\.\d+\.\d+, linux-\w+\)\n", said.stdout)
    place.assert_nothing_left()


def test_it_has_every_built_in_plugin(place: Place, frozen: Path) -> None:
    said = place.run([frozen, "plugins"])
    assert (said.status, said.stderr) == (0, "")
    assert "cannot be loaded" not in said.stdout
    listed = [line.split()[0] for line in said.stdout.splitlines() if not line.startswith(" ")]
    assert listed == list(installed())


@pytest.mark.parametrize("name", ["haproxy", "nginx:reload-min-timeout", "envoy:ads"])
def test_the_main_job(place: Place, frozen: Path, proxies: dict[str, Path], name: str) -> None:
    binary = proxies[name.partition(":")[0]]
    said = place.run([frozen, "--plugin", name, "--binary", binary, "--duration", "4", *place.ports])
    assert (said.status, said.stderr) == (0, "")
    place.assert_seamless()
    place.assert_nothing_left()


def test_backends_in_processes_of_their_own(place: Place, frozen: Path) -> None:
    said = place.run([frozen, "--plugin", "control", "--backend-processes", "--duration", "4", *place.ports])
    assert (said.status, said.stderr) == (0, "")
    place.assert_seamless()
    place.assert_nothing_left()


def test_selftest(place: Place, frozen: Path) -> None:
    said = place.run([frozen, "selftest", "--exchanges", "20000", *place.ports])
    assert (said.status, said.stderr) == (0, "")
    assert "\nexact, over " in said.stdout
    place.assert_nothing_left()


def test_report(place: Place, frozen: Path) -> None:
    place.run([frozen, "--plugin", "control", "--duration", "4", *place.ports])
    said = place.run([frozen, "report", "run.json"])
    assert (said.status, said.stderr) == (0, "")
    page = (place.folder / "report.html").read_text(encoding="utf-8")
    assert "Bokeh" in page
    assert "control:runtime" in page


def test_compare(place: Place, frozen: Path, proxies: dict[str, Path]) -> None:
    place.environment["PATH"] = os.pathsep.join([str(proxies["haproxy"].parent), "/usr/bin", "/bin"])
    said = place.run([frozen, "compare", "control", "haproxy", "--repeat", "2", *place.ports])
    assert said.status == 0, said.stderr
    assert re.search(r"control:runtime.*\n.*haproxy:runtime", said.stdout)
    place.assert_nothing_left()


def test_as_a_service_until_a_signal(place: Place, frozen: Path) -> None:
    words: list[str | Path] = [
        frozen,
        "twistd",
        "proxyreload",
        "--plugin",
        "control",
        "--duration",
        "3600",
        *place.ports,
    ]
    with place.running(words) as process:
        until_line(process, "client 0 ")
        process.send_signal(signal.SIGTERM)
        said, _none = process.communicate()
    assert process.returncode == 3  # it was ended before its changes
    assert "Traceback" not in said
    assert "Unhandled" not in said
    assert place.run_json["finished"] is True
    assert not list(place.folder.glob("*.pid"))
    place.assert_nothing_left()


def test_as_a_service_it_stays_in_the_foreground(place: Place, frozen: Path) -> None:
    said = place.run([frozen, "twistd", "proxyreload", "--plugin", "control", "--duration", "3", *place.ports])
    assert said.status == 0
    assert "Server Shut Down" in said.stdout
    place.assert_nothing_left()


def test_the_live_page(place: Place, frozen: Path) -> None:
    port = free_ports(1)
    words: list[str | Path] = [frozen, "--plugin", "control", "--web", str(port), *place.ports]
    with place.running(words) as process:
        until_line(process, f"the page is http://127.0.0.1:{port}/")
        page = get(port, "/")
        for script in re.findall(r'src="(/[^"]+)"', page):
            assert len(get(port, script)) > 100
        assert json.loads(get(port, "/api/state"))
        until_line(process, "client 0 ")
        assert "proxyreload_exchanges_total" in get(port, "/metrics")
        process.send_signal(signal.SIGTERM)
        process.communicate()
    place.assert_nothing_left()


def get(port: int, path: str) -> str:
    """Return what the live page has there."""
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        text: str = answer.read().decode()
    return text


def test_ctrl_c_in_the_whole_process_group_is_one(place: Place, frozen: Path) -> None:
    # A second Ctrl-C would abort what is under way; the bootloader passes on what the terminal told everyone.
    with place.running([frozen, "--plugin", "control", "--duration", "3600", *place.ports]) as process:
        until_line(process, "client 0 ")
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()
    run = place.run_json
    assert run["finished"] is True
    assert "aborted" not in run["summary"]["failures"]
    place.assert_nothing_left()


def test_killed_it_ends_what_it_started(place: Place, frozen: Path, proxies: dict[str, Path]) -> None:
    words: list[str | Path] = [
        frozen,
        "--plugin",
        "haproxy",
        "--binary",
        proxies["haproxy"],
        "--duration",
        "3600",
        *place.ports,
    ]
    with place.running(words) as process:
        until_line(process, "client 0 ")
        below = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        _gone, alive = psutil.wait_procs(below, timeout=60)
    assert alive == []


PRINTS_ENVIRONMENT = """\
import pathlib, subprocess
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import ProxyPlugin, Mechanism
class Proxy: pass
plugin = ProxyPlugin("spy", Binary("env", "", version_args=("-0",)), (Mechanism("only", "prints", Proxy),))
pathlib.Path("seen").write_bytes(subprocess.run(["env"], capture_output=True).stdout)
"""


@pytest.mark.parametrize("mine", [None, "/mine"])
def test_proxies_do_not_get_its_libraries(place: Place, frozen: Path, mine: str | None) -> None:
    (place.folder / "more").mkdir()
    (place.folder / "more" / "proxyreload_spy.py").write_text(PRINTS_ENVIRONMENT, encoding="utf-8")
    environment = {} if mine is None else {"LD_LIBRARY_PATH": mine}
    assert place.run([frozen, "--plugin-path", "more", "plugins"], environment).status == 0
    seen = dict(line.split("=", 1) for line in (place.folder / "seen").read_text(encoding="utf-8").splitlines())
    assert seen.get("LD_LIBRARY_PATH") == mine
    assert not [name for name in seen if name.startswith("_PYI_")]


def test_a_distribution_installed_into_a_folder_is_found(place: Place, frozen: Path) -> None:
    described = place.folder / "more" / "somebodys-1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys\nVersion: 1\n", encoding="utf-8")
    points = "[proxyreload.plugins]\nspy = somebodys_spy:plugin\n"
    (described / "entry_points.txt").write_text(points, encoding="utf-8")
    (place.folder / "more" / "somebodys_spy.py").write_text(PRINTS_ENVIRONMENT, encoding="utf-8")
    said = place.run([frozen, "plugins"], {"PROXYRELOAD_PLUGIN_PATH": "more"})
    assert (said.status, said.stderr) == (0, "")
    assert "spy:only" in said.stdout


def test_wrong_usage_is_one_line(place: Place, frozen: Path) -> None:
    said = place.run([frozen, "--plugin", "nonesuch"])
    assert (said.status, said.stdout) == (2, "")
    assert said.stderr.startswith("proxyreload: no plugin 'nonesuch'; there are: ")
    assert said.stderr.count("\n") == 1


def test_it_is_built_of_nothing_that_finds_python(frozen: Path) -> None:
    said = subprocess.run(["/usr/bin/ldd", frozen], capture_output=True, text=True, check=True)
    assert "python" not in said.stdout
