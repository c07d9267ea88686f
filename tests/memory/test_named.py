"""A mechanism as it is named, with a version or a program."""

from importlib.metadata import EntryPoint
from pathlib import Path

import attrs
import pytest

from proxyreload.command.options import RunOptions
from proxyreload.command.versions import list_versions
from proxyreload.comparison.contender import Contender, contenders, with_versions
from proxyreload.errors import FetchError, UsageError
from proxyreload.proxy import registry as finding
from proxyreload.proxy.interfaces import ProxyPlugin
from proxyreload.proxy.named import Named, parted
from proxyreload.system.cachefolder import CACHE_VARIABLE

from .plugins import BINARY
from .plugins import plugin as fake
from .sourced import FakeSource

SOURCE = FakeSource()
versioned = ProxyPlugin("versioned", attrs.evolve(BINARY, sources=(SOURCE,)), fake.mechanisms)
nobodys = ProxyPlugin("nobodys", None, fake.mechanisms)


@pytest.fixture(name="source", autouse=True)
def _fixture_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    names = {"versioned": "versioned", "nobodys": "nobodys"}
    points = tuple(EntryPoint(name, f"{__name__}:{value}", finding.GROUP) for name, value in names.items())
    monkeypatch.setattr(finding, "entry_points", lambda group: points if group == finding.GROUP else ())
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    SOURCE.names, SOURCE.fetched, SOURCE.places, SOURCE.asked = ["3.0.1", "3.2.9", "3.2.26"], [], [], 0
    return SOURCE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("haproxy", ("haproxy", None)),
        ("haproxy@", ("haproxy", None)),
        ("haproxy:reload@3.2", ("haproxy:reload", "3.2")),
        ("haproxy@./a@b", ("haproxy", "./a@b")),
    ],
)
def test_what_stands_behind_the_at(text: str, expected: tuple[str, str | None]) -> None:
    assert parted(text) == expected


def test_a_name_has_its_version() -> None:
    assert Named.of("versioned:slow@3.2").name == "versioned:slow@3.2"
    assert Named.of("versioned").name == "versioned:quick"
    with pytest.raises(UsageError, match=r"nobodys:quick@3\.2 cannot be run: somebody else runs the proxy"):
        Named.of("nobodys@3.2")


def options(*words: str) -> RunOptions:
    made = RunOptions()
    made.parseOptions(words)
    return made


def test_a_run_has_the_program_of_the_version_that_is_named(source: FakeSource) -> None:
    made = options("--plugin", "versioned:slow@3.2", "--upgrade-to", "3.0")
    assert source.fetched == ["3.2.26", "3.0.1"]
    assert (made.settings.binary, made.settings.upgrade_to) == tuple(
        str(place / "bin" / "fakeproxy") for place in source.places
    )
    told = made.settings.as_run()
    assert (told["plugin"], told["mechanism"]) == ("versioned", "slow")
    assert told["command"] == ["--plugin", "versioned:slow@3.2", "--upgrade-to", "3.0"]


def test_a_program_is_named_as_by_binary(source: FakeSource) -> None:
    assert options("--plugin", "versioned@./mine").settings.binary == "./mine"
    assert options("--plugin", "versioned", "--binary", "3.2.9").settings.binary is not None
    assert source.fetched == ["3.2.9"]
    with pytest.raises(Exception, match=r"versioned@3\.2 says which program: --binary does not go with it"):
        options("--plugin", "versioned@3.2", "--binary", "x")


def test_nothing_is_fetched_for_what_is_wrong(source: FakeSource) -> None:
    with pytest.raises(Exception, match="--rate"):
        options("--plugin", "versioned@3.2", "--rate", "x")
    assert (source.fetched, source.asked) == ([], 0)


def test_a_version_that_nobody_has_is_no_wrong_usage() -> None:
    with pytest.raises(FetchError, match="no fakeproxy 4 can be had"):
        options("--plugin", "versioned@4")


def test_contenders_have_the_programs_of_their_versions(source: FakeSource) -> None:
    found = contenders(["versioned", "versioned@3.2", "versioned@./mine"])
    assert source.asked == 0
    made = [each for each in with_versions([*found, "broken"]) if isinstance(each, Contender)]
    assert [(each.name, each.fetched) for each in made] == [
        ("versioned:quick", None),
        ("versioned:quick@3.2", str(source.places[0] / "bin" / "fakeproxy")),
        ("versioned:quick@./mine", None),
    ]


# The command.


def test_versions_are_listed_the_newest_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert list_versions(["--get", "versioned@3.2"]) == 0
    assert list_versions(["versioned"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line[:1] in "3v"]
    assert lines == [
        ["versioned", "3.2.26:", str(SOURCE.places[0] / "bin" / "fakeproxy")],
        ["versioned", "from", "in", "the", "cache"],
        ["3.2.26", "Fake", "fakeproxy", "yes"],
        ["3.2.9", "Fake", "fakeproxy"],
        ["3.0.1", "Fake", "fakeproxy"],
    ]


def test_what_cannot_be_had_is_a_line_and_its_status(source: FakeSource, capsys: pytest.CaptureFixture[str]) -> None:
    source.names = []
    assert list_versions(["versioned"]) == 3
    assert "Fake fakeproxy: no route to host" in capsys.readouterr().out
    assert list_versions(["--get", "versioned@3.2"]) == 3
    assert "no fakeproxy 3.2 can be had" in capsys.readouterr().err


def test_what_is_missing_is_fetched(
    source: FakeSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert list_versions(["--get", "--missing"]) == 0
    assert source.fetched == ["3.2.26"]
    assert list_versions(["--get", "--missing"]) == 0
    assert source.fetched == ["3.2.26"]
    assert "versioned 3.2.26: " in capsys.readouterr().out


def test_what_has_to_be_built_is_not_missing_but_told(
    source: FakeSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(source, "builds", True)
    assert list_versions(["--get", "--missing"]) == 0
    assert source.fetched == []
    assert capsys.readouterr().out == "versioned has to be built: proxyreload versions --get versioned\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name the plugins"),
        (["--missing"], "--missing fetches"),
        (["nobodys"], "plugin nobodys names no source of versions"),
        (["versioned@./mine"], "is no version"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(words: list[str], said: str) -> None:
    with pytest.raises(Exception, match=said):
        list_versions(words)
