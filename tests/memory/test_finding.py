"""Plugins are found by their entry points, and those that are broken are named."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from proxyreload.command.plugins import list_plugins
from proxyreload.errors import StartError, UsageError
from proxyreload.proxy import registry as finding
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import IProxyPlugin
from proxyreload.proxy.registry import choose, installed, load
from proxyreload.system.cachefolder import CACHE_VARIABLE, cache_folder

from .plugins import BINARY, PLUGINS, plugin


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "entry_points", lambda group: PLUGINS if group == "proxyreload.plugins" else ())


def test_they_are_found_in_the_order_of_their_names() -> None:
    assert list(installed()) == ["broken", "fake", "incomplete"]


def test_a_name_alone_chooses_the_first_mechanism() -> None:
    choice = choose("fake")
    assert choice.plugin is plugin
    assert (choice.mechanism.name, choice.name) == ("quick", "fake:quick")


def test_a_mechanism_is_chosen_by_its_name() -> None:
    assert choose("fake:slow").name == "fake:slow"


@pytest.mark.parametrize("name", ["bogus", "", ":quick", "Fake", "fake "])
def test_an_unknown_name_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(UsageError, match="there are: broken, fake, incomplete"):
        choose(name)


@pytest.mark.parametrize("name", ["fake:", "fake:bogus", "fake:quick:slow"])
def test_an_unknown_mechanism_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(UsageError, match="there are: quick, slow"):
        choose(name)


def test_without_any_plugin_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "entry_points", lambda group: ())
    with pytest.raises(UsageError, match="there are: none"):
        choose("fake")


def test_one_that_cannot_be_imported_is_named_with_its_reason() -> None:
    with pytest.raises(UsageError, match=r"plugin broken of an unknown distribution .*: ModuleNotFoundError: "):
        choose("broken")


def test_one_that_is_not_what_it_should_be_is_named() -> None:
    with pytest.raises(UsageError, match="plugin incomplete of an unknown distribution cannot be loaded"):
        choose("incomplete")


def test_one_that_raises_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(_point: EntryPoint) -> object:
        msg = "it needs a newer kernel"
        raise RuntimeError(msg)

    monkeypatch.setattr(EntryPoint, "load", raising)
    with pytest.raises(UsageError, match="RuntimeError: it needs a newer kernel"):
        load(PLUGINS[0])


def test_a_broken_one_does_not_keep_the_others_from_being_used() -> None:
    assert choose("fake").plugin is plugin


def test_plain_data_is_a_plugin() -> None:
    assert verifyObject(IProxyPlugin, plugin)


def test_the_list_shows_mechanisms_and_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list_plugins([]) == 0
    said = capsys.readouterr().out
    assert "broken     plugin broken of an unknown distribution cannot be loaded" in said
    assert "fake       fakeproxy is not installed: build it yourself" in said
    assert "fake:quick" in said
    assert said.count("(recommended)") == 1


# Where a proxy's program is found.


@pytest.fixture(name="program")
def _program(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "fakeproxy"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide every place where a program could be."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))


def test_the_path_that_was_asked_for_is_taken(program: Path) -> None:
    assert BINARY.find(str(program)) == program


@pytest.mark.parametrize("name", ["no/such/program", "/dev/null", ""])
def test_a_path_that_is_no_program_is_told_with_its_option(name: str) -> None:
    with pytest.raises(UsageError, match=rf"--binary {name}: no such program"):
        BINARY.find(name)


def test_a_packages_program_comes_first(program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nowhere(monkeypatch, tmp_path)
    assert Binary("fakeproxy", "", packaged=lambda: str(program)).find() == program


def test_a_package_that_is_not_installed_is_passed_over(
    program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def packaged() -> str | None:
        raise ImportError

    nowhere(monkeypatch, tmp_path)
    monkeypatch.setenv("PATH", str(program.parent))
    assert Binary("fakeproxy", "", packaged=packaged).find() == program


def test_one_beside_this_python_is_found(program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nowhere(monkeypatch, tmp_path)
    monkeypatch.setattr(sys, "executable", str(program.parent / "python"))
    assert BINARY.find() == program


def test_one_that_was_built_by_hand_is_found_in_the_cache(
    program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nowhere(monkeypatch, tmp_path)
    built = cache_folder() / "bin" / "fakeproxy"
    built.parent.mkdir(parents=True)
    built.symlink_to(program)
    assert BINARY.find() == built


def test_one_that_is_nowhere_is_told_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nowhere(monkeypatch, tmp_path)
    with pytest.raises(
        StartError, match="fakeproxy is not installed: build it yourself, or say where it is with --binary"
    ):
        BINARY.find()


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo Usage; echo 'fakeproxy 1.2.3'; echo 4", "fakeproxy 1.2.3"),
        ("echo 'fakeproxy/1.2' >&2", "fakeproxy/1.2"),
        ("echo none", ""),
        ("exit 1", ""),
        ("printf '1\\033[2J'", r"1\x1b[2J"),
    ],
)
def test_a_version_is_the_first_line_with_a_digit(program: Path, script: str, version: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    assert BINARY.version(program) == version


def test_a_program_that_cannot_be_run_has_no_version(tmp_path: Path) -> None:
    assert BINARY.version(tmp_path / "nothing") == ""
