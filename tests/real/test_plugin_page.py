"""The plugin of ``docs/plugins.md``, outside the project's tree: built, installed, found and run."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from .command import Place
from .mechanisms import assert_shown, assert_whole

pytestmark = pytest.mark.real

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


@pytest.fixture(name="installed", scope="module")
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install what the page shows into a folder, as any distribution is installed."""
    folder = tmp_path_factory.mktemp("caddyfile")
    text = PAGE.read_text(encoding="utf-8")
    for language, name in (("python", "proxyreload_caddyfile.py"), ("toml", "pyproject.toml")):
        block = re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        assert block is not None
        (folder / name).write_text(block[1], encoding="utf-8")
    site = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(folder)]
    subprocess.run(command, check=True)
    return site


@pytest.fixture(name="environment")
def _environment(place: Place, installed: Path) -> Mapping[str, str]:
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))
    return {**place.environment, "PYTHONPATH": path}


def test_it_is_listed(place: Place, environment: Mapping[str, str]) -> None:
    result = place.run("plugins", environment=environment)
    assert re.search(r"^caddyfile +v2\S* ", result.stdout, re.MULTILINE)
    assert re.search(r"^ +caddyfile:reload +caddy reload with a changed Caddyfile", result.stdout, re.MULTILINE)


def test_it_changes_its_proxy(place: Place, environment: Mapping[str, str]) -> None:
    result = place.run("--plugin", "caddyfile", "--duration", "4", *place.ports, environment=environment)
    assert_whole(place, result)
    assert_shown(result)


def test_it_reloads(place: Place, environment: Mapping[str, str]) -> None:
    path = place.write("reload.toml", "duration = 4\n[[step]]\nat = 0.5\nreload = true\n")
    result = place.run("--plugin", "caddyfile", "--scenario", path, *place.ports, environment=environment)
    assert_whole(place, result)
    (change,) = result.changes
    assert (change["action"], change["instance"], change["error"]) == ("reload", "", None)
    assert change["verdict"] in {"seamless", "graceful", "racy", "lossy"}
    assert change["effective_us"] > change["applied_us"]


def test_it_stands_beside_the_built_in_ones(place: Place, environment: Mapping[str, str]) -> None:
    short = ("--repeat", "1", "--pace", "0.2", "--rate", "500")
    result = place.run("compare", "caddyfile", "control", *short, *place.ports, environment=environment)
    assert result.status in {0, 1}
    assert re.search(r"^caddyfile:reload +\w+", result.stdout, re.MULTILINE)
    assert place.left() == []
