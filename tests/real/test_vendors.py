"""A vendor's proxy in the comparison, and on the site, by one file that names his package, as docs/publishing.md says."""

import hashlib
import json
import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.memory.sitelinks import dead_links

from .command import Place

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
#: The project's own small proxy, with one mechanism that does what it should, and one that raises.
PLUGIN = """\
import sys
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin
from proxyreload_control_proxy import Runtime

class Broken(Runtime):
    async def add_backend(self, upstream):
        raise RuntimeError("not today")

def packaged():
    return sys.executable

plugin = ProxyPlugin(
    "ant", Binary("control", "", packaged=packaged), (Mechanism("quick", "", Runtime), Mechanism("odd", "", Broken))
)
"""
INFO = "proxyreload_ant-1.5.dist-info"
FILES = {
    "proxyreload_ant.py": PLUGIN,
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: proxyreload-ant\nVersion: 1.5\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/entry_points.txt": "[proxyreload.plugins]\nant = proxyreload_ant:plugin\n",
}


def digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def write_wheel(folder: Path) -> None:
    """Write the vendor's package."""
    folder.mkdir()
    record = [f"{name},sha256={digest(text)},{len(text.encode())}" for name, text in FILES.items()]
    with ZipFile(folder / "proxyreload_ant-1.5-py3-none-any.whl", "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{INFO}/RECORD", "\n".join([*record, f"{INFO}/RECORD,,", ""]))


def test_a_package_that_one_file_names_is_installed_compared_and_published(place: Place) -> None:
    vendors, wheels, packages = (place.folder / name for name in ("vendors", "wheels", "packages"))
    vendors.mkdir()
    told = 'package = "proxyreload-ant>=1.2"\nplugin = "ant"\nurl = "https://example.test/"\n'
    (vendors / "ant.toml").write_text(told, encoding="utf-8")
    write_wheel(wheels)
    listed = place.run("vendors", "--missing")
    assert (listed.status, listed.stdout) == (0, "proxyreload-ant>=1.2\n")
    (place.folder / "vendors.txt").write_text(listed.stdout, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(wheels)]
    pip += ["--target", str(packages), "--requirement", str(place.folder / "vendors.txt")]
    subprocess.run(pip, check=True)
    environment = {**place.environment, "PYTHONPATH": os.fspath(packages)}

    def run(*words: str) -> int:
        return place.start(*words, environment=environment).ended().status

    assert place.start("vendors", "--missing", environment=environment).ended().stdout == ""
    short = ("--repeat", "1", "--pace", "0.2", "--rate", "100", "--no-report")
    assert run("compare", "ant:quick", "ant:odd", *short, *place.ports) == 3
    assert run("publish", "site") == 0
    index = json.loads((place.folder / "site" / "index.json").read_text(encoding="utf-8"))
    verdicts = {each["mechanism"]: each["verdict"] for each in index["mechanisms"]}
    assert verdicts["ant:quick"] in {"seamless", "graceful"}
    assert verdicts["ant:odd"] == "ineffective"
    assert dead_links(place.folder / "site") == []
    assert place.left() == []


#: Stands for both programs: writes down what it was asked for, and fails as either may.
PROGRAM = """\
#!/bin/sh
echo "${0##*/} $*" >>asked
case "$*" in
    "vendors vendors") printf 'gone-package\\nproxyreload-ant>=1.2\\n' ;;
    *gone-package | compare*) exit 1 ;;
esac
"""


def test_the_matrix_is_made_whatever_one_package_or_one_mechanism_does(tmp_path: Path) -> None:
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("proxyreload", "pip"):
        (programs / name).write_text(PROGRAM, encoding="utf-8")
        (programs / name).chmod(0o755)
    venv = programs.parent
    words = [
        "make",
        "-f",
        str(ROOT / "Makefile"),
        "-o",
        str(venv / "installed"),
        f"VENV={venv}",
        "PUBLISHED=out",
        "matrix",
    ]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "asked").read_text(encoding="utf-8").splitlines() == [
        "proxyreload vendors vendors",
        "pip install --quiet gone-package",
        "pip install --quiet proxyreload-ant>=1.2",
        "proxyreload vendors vendors --missing",
        "proxyreload compare --all --repeat 4 --rate 500",
        "proxyreload publish out",
    ]
