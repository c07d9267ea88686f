"""The plugin path: where else plugins are found, and what is said when that goes wrong."""

import os
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from twisted.python.usage import UsageError as WrongUsage

from proxyreload.cli.base import Options
from proxyreload.errors import UsageError
from proxyreload.proxy import registry as finding
from proxyreload.proxy.pluginpath import VARIABLE, search, searched
from proxyreload.proxy.registry import choose, installed

from .exits import status_of
from .plugins import PLUGINS

PLUGIN = "from memory.plugins import plugin"


@pytest.fixture(autouse=True)
def _nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "entry_points", lambda group: PLUGINS[1:2])
    monkeypatch.setattr(sys, "path", list(sys.path))
    # Set and taken away, so that it is again as it was when the test is over.
    monkeypatch.setenv(VARIABLE, "")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "more"
    folder.mkdir()
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


def add(folder: Path, name: str, text: str = PLUGIN) -> None:
    (folder / f"proxyreload_{name}.py").write_text(text, encoding="utf-8")


def describe(folder: Path, name: str, *files: str) -> None:
    """Make it look as if a distribution were installed in the folder."""
    described = folder / f"{name}-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n", encoding="utf-8")
    (described / "RECORD").write_text("".join(f"{file},,\n" for file in files), encoding="utf-8")


def test_a_module_is_found_by_its_name(folder: Path) -> None:
    add(folder, "found_one")
    assert list(installed()) == ["fake", "found_one"]
    assert choose("found_one").plugin is choose("fake").plugin


def test_without_a_path_nothing_is_searched() -> None:
    assert searched() == []
    assert list(installed()) == ["fake"]


def test_several_folders_are_searched_and_each_once(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    add(folder, "one")
    add(other, "two")
    search(f"{folder}:{other}::{folder}")
    assert searched() == [folder, other]
    assert list(installed()) == ["fake", "one", "two"]


def test_what_is_asked_for_takes_the_place_of_the_environments(folder: Path, tmp_path: Path) -> None:
    add(folder, "one")
    search(str(tmp_path))
    assert list(installed()) == ["fake"]


def test_children_in_other_folders_find_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    search("more")
    assert os.environ[VARIABLE] == str(folder)


def test_a_folder_comes_behind_all_other_modules(folder: Path) -> None:
    before = list(sys.path)
    searched()
    assert sys.path == [*before, str(folder)]


def test_what_a_distribution_brought_is_no_plugin_by_its_file_name(folder: Path) -> None:
    add(folder, "brought")
    add(folder, "own")
    describe(folder, "somebodys", "proxyreload_brought.py", "somebodys-1.dist-info/RECORD")
    assert list(installed()) == ["fake", "own"]


def test_what_is_no_module_is_passed_over(folder: Path) -> None:
    add(folder, "not-a-name")
    (folder / "other.py").write_text(PLUGIN, encoding="utf-8")
    (folder / "proxyreload_text.txt").write_text(PLUGIN, encoding="utf-8")
    assert list(installed()) == ["fake"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    search(f"{tmp_path}/missing")
    with pytest.raises(UsageError, match=rf"^the plugin path names {tmp_path}/missing: no such folder$"):
        installed()


def test_two_of_one_name_are_told_with_their_homes(folder: Path) -> None:
    add(folder, "fake")
    expected = f"there are two plugins fake: one of an unknown distribution, one of {folder}/proxyreload_fake.py"
    with pytest.raises(UsageError) as raised:
        installed()
    assert str(raised.value) == expected


def test_two_installed_ones_of_one_name_are_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    other = EntryPoint("fake", "elsewhere:plugin", finding.GROUP)
    monkeypatch.setattr(finding, "entry_points", lambda group: (PLUGINS[1], other))
    with pytest.raises(UsageError, match="there are two plugins fake"):
        installed()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("plugin = ", "SyntaxError: "), ("", "AttributeError: "), ("plugin = 3", ""), ("1 / 0", "ZeroDivisionError: ")],
)
def test_one_that_is_broken_is_named_by_its_file(folder: Path, text: str, reason: str) -> None:
    name = f"broken_{len(text)}"
    add(folder, name, text)
    with pytest.raises(UsageError) as raised:
        choose(name)
    assert str(raised.value).startswith(f"plugin {name} of {folder}/proxyreload_{name}.py cannot be loaded: {reason}")


def test_it_is_an_option_of_every_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    Options().parseOptions(["--plugin-path", str(folder)])
    assert searched() == [folder]


@pytest.mark.parametrize("ahead", [("--plugin-path", "{}"), ("--plugin-path={}",)])
def test_it_may_stand_before_a_commands_name(
    folder: Path, ahead: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(folder, "ahead")
    monkeypatch.setenv(VARIABLE, "")
    assert status_of(*(word.format(folder) for word in ahead), "plugins") == 0
    assert "fake:quick" in capsys.readouterr().out
    assert searched() == [folder]


def test_without_its_value_it_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="--plugin-path requires argument"):
        Options().parseOptions(["--plugin-path"])


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "\udcff", "a\nb"])
def test_a_folder_that_can_be_none_is_named_in_a_short_line(name: str) -> None:
    search(name)
    with pytest.raises(UsageError, match=r"^the plugin path names [ -~…]+: no such folder$"):
        installed()
