"""Every command in README.md and docs/ is run, and prints what the page says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from .command import Place
from .page import Block, Command, blocks, pattern
from .shims import write_shims

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
WITH_COMMANDS = [page for page in PAGES if any(block.commands for block in blocks(page))]


def with_ports(text: str, place: Place) -> str:
    """Return text with the default ports replaced."""
    named = {"8080": place.front_port, **{str(1030 + number): place.first_port + number for number in range(4)}}
    return re.sub(r"\b(8080|103[0-3])\b", lambda found: str(named[found[1]]), text)


def run(command: Command, folder: Path, environment: dict[str, str], place: Place) -> None:
    """Run one and compare."""
    done = subprocess.run(
        ["bash", "-c", with_ports(command.text, place)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode in command.statuses, f"{command.text}: status {done.returncode}\n{done.stdout}"
    assert "Traceback" not in done.stdout
    if command.output:
        said = done.stdout if done.stdout.endswith("\n") else f"{done.stdout}\n"
        assert pattern(command.output).fullmatch(said), f"{command.text} printed:\n{done.stdout}"


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_every_command_does_what_the_page_says(page: Path, place: Place, tmp_path: Path) -> None:
    shims = tmp_path / "bin"
    write_shims(shims, place, ROOT)
    folder = place.temp / "page"  # where a daemon that a page starts is found and ended
    folder.mkdir()
    # Where a page says "in a checkout", or has one beside it.
    (folder / "proxyreload").symlink_to(ROOT)
    (folder / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    environment = {**place.environment, "PATH": os.pathsep.join([str(shims), os.environ["PATH"]])}
    for block in blocks(page):
        if block.name:
            write(folder, block, place)
        for command in block.commands:
            run(command, folder, environment, place)
        if block.language == "yaml":
            end_daemons(place)
    shutil.rmtree(folder)
    assert place.left() == []


def end_daemons(place: Place) -> None:
    """End what a CI job leaves, as its machine does."""
    left = place._processes()
    for process in left:
        process.kill()
    assert not psutil.wait_procs(left)[1]


def write(folder: Path, block: Block, place: Place) -> None:
    """Write a file that the page shows."""
    path = folder / block.name
    path.write_text(with_ports(block.text, place), encoding="utf-8")
    path.chmod(0o755 if block.text.startswith("#!") else 0o644)


def test_what_another_test_runs_is_run_by_it() -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.run_by:
                assert page.name in (ROOT / block.run_by).read_text(encoding="utf-8")
            elif block.mark:
                assert block.mark.startswith("status "), f"{page.name}: {block.mark!r} says nothing"
