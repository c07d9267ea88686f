"""The wheel in an environment that has nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

from .commands import Place
from .conftest import CHECKOUT


def test_the_main_job(place: Place, venv: Path, proxies: dict[str, Path]) -> None:
    words: list[str | Path] = ["--plugin", "haproxy", "--binary", proxies["haproxy"], "--duration", "4", *place.ports]
    said = place.run([venv / "bin" / "proxyreload", *words])
    assert (said.status, said.stderr) == (0, "")
    place.assert_seamless()
    place.assert_nothing_left()


def test_as_a_service(place: Place, venv: Path) -> None:
    twistd: list[str | Path] = [venv / "bin" / "twistd", "-n", "--pidfile=", "proxyreload"]
    said = place.run([*twistd, "--plugin", "control", "--duration", "4", *place.ports])
    assert said.status == 0
    place.assert_seamless()
    place.assert_nothing_left()


def test_without_the_extra_a_report_says_what_is_missing(place: Place, venv: Path) -> None:
    place.run([venv / "bin" / "proxyreload", "--plugin", "control", "--duration", "4", *place.ports])
    said = place.run([venv / "bin" / "proxyreload", "report", "run.json"])
    assert said.status == 2
    assert "proxyreload[report]" in said.stderr
    assert said.stderr.count("\n") == 1


def test_its_types_are_seen(venv: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("from proxyreload.errors import ExitStatus\nstatus: str = ExitStatus.LOST\n", encoding="utf-8")
    words: list[str | Path] = ["mypy", "--python-executable", venv / "bin" / "python", "--cache-dir", tmp_path, program]
    said = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 'expression has type "ExitStatus", variable has type "str"' in said.stdout


def test_the_tests_in_memory_pass_on_it(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip: list[str | Path] = [tmp_path / "venv" / "bin" / "pip", "install", "--quiet", "--only-binary", ":all:"]
    # Of the extra "ads" without the proxy that is its other part.
    others = ("h2", "websockets", "wsproto", "grpcio", "pytest", "pytest-xdist", "hypothesis", "jsonschema")
    subprocess.run([*pip, f"{wheel}[otel,report,web]", *others], check=True)
    tests = shutil.copytree(CHECKOUT / "tests" / "memory", tmp_path / "tests" / "memory")
    words: list[str | Path] = [
        tmp_path / "venv" / "bin" / "python",
        "-P",
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "-c",
        "/dev/null",
        "--ignore",
        tests / "test_links.py",  # of the pages, which are not in the wheel
        tests,
    ]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout
