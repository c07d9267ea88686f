"""Mechanisms over versions."""

import json
from importlib.metadata import EntryPoint
from io import StringIO
from pathlib import Path
from typing import cast

import attrs
import pytest
from rich.console import Console

from proxyreload.command.compare import CompareOptions, run_comparison
from proxyreload.comparison.contender import Contender, contenders, in_versions, require_unversioned
from proxyreload.comparison.markdown import markdown
from proxyreload.comparison.row import row_of
from proxyreload.comparison.scoreboard import print_scoreboard, scoreboard
from proxyreload.comparison.table import as_json
from proxyreload.comparison.trial import Trial
from proxyreload.errors import UsageError
from proxyreload.proxy import registry as finding
from proxyreload.proxy.interfaces import ProxyPlugin
from proxyreload.report.matrix import matrix_page, read_matrix
from proxyreload.sources.version import Span
from proxyreload.system.cachefolder import CACHE_VARIABLE
from proxyreload.verdict.judgement import Verdict

from .compared import RUN, trial
from .plugins import BINARY
from .plugins import plugin as fake
from .sourced import FakeSource

SOURCE = FakeSource(["2.2.9", "2.8.20", "2.8.25", "3.0.11", "3.4.7", "3.5.0"])
versioned = ProxyPlugin("versioned", attrs.evolve(BINARY, sources=(SOURCE,)), fake.mechanisms)

LOST = [trial(Verdict.LOSSY, 1, 1, 0, 0, 0)]
CLEAN = [trial(Verdict.SEAMLESS, *[0] * 5)]
ROWS = [
    row_of("fake:slow@2.8.25", LOST),
    row_of("fake:slow@2.10.0", CLEAN),
    row_of("fake:quick@2.10.0", CLEAN),
    row_of("fake:quick@3.0.1", [Trial(1, RUN, why="cannot", cannot=True)]),
    row_of("fake:odd@./mine", CLEAN),
    row_of("fake:once@2.8.25", CLEAN),
    row_of("fake:usual", CLEAN),
]


def test_it_has_a_line_for_each_version_in_their_order() -> None:
    board = scoreboard(ROWS)
    assert board is not None
    assert board.lines() == [
        ["version", "fake:slow", "fake:quick"],
        ["2.8.25", "lossy 0.4", ""],
        ["2.10.0", "seamless", "seamless"],
        ["3.0.1", "", "cannot"],
    ]


def test_a_configuration_of_ones_own_has_a_column_of_its_own() -> None:
    board = scoreboard([row_of(f"fake:slow@{version}+my.cfg", CLEAN) for version in ("2.8", "3.0")])
    assert board is not None
    assert (board.mechanisms, board.versions) == (["fake:slow+my.cfg"], ["2.8", "3.0"])


def test_without_versions_there_is_none() -> None:
    assert scoreboard(ROWS[4:]) is None
    assert "Over versions" not in markdown(ROWS[4:], [])


def test_it_is_printed_and_written() -> None:
    board = scoreboard(ROWS)
    assert board is not None
    console = Console(file=StringIO(), width=100, highlight=False)
    print_scoreboard(console, board)
    assert "2.8.25    lossy 0.4" in cast(StringIO, console.file).getvalue()
    assert "| 2.8.25 | lossy 0.4 |  |" in markdown(ROWS, [])


def test_the_page_shows_it(tmp_path: Path) -> None:
    board = scoreboard(ROWS)
    assert board is not None
    path = tmp_path / "compare.json"
    path.write_text(as_json(ROWS, {"what": "x", "scoreboard": board.as_plain()}), encoding="utf-8")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [row["version"] for row in content["rows"]][:5] == ["2.8.25", "2.10.0", "2.10.0", "3.0.1", None]
    assert content["scoreboard"][0]["verdicts"]["fake:slow"]["per_change"]["failures"] == 0.4
    matrix = read_matrix(path)
    assert matrix.board.mechanisms == ("fake:slow", "fake:quick")
    assert (matrix.board.most, [version for version, _standings in matrix.board.lines]) == (
        0.4,
        ["2.8.25", "2.10.0", "3.0.1"],
    )
    page = matrix_page(matrix)
    assert '<meter min="0" max="0.4" value="0.4">' in page
    assert page.count("<tr data-version=") == 3


# Which ones are run.


@pytest.fixture(name="_plugins")
def _fixture_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = (
        EntryPoint("versioned", f"{__name__}:versioned", finding.GROUP),
        EntryPoint("fake", f"{__name__}:fake", finding.GROUP),
    )
    monkeypatch.setattr(finding, "entry_points", lambda group: points if group == finding.GROUP else ())
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))


@pytest.mark.usefixtures("_plugins")
def test_each_mechanism_is_run_in_every_version_of_the_range() -> None:
    found = in_versions([*contenders(["versioned:slow", "versioned:quick"]), "broken"], Span.of("", "2.8..3.4"))
    names = [each.name if isinstance(each, Contender) else each for each in found]
    versions = ["2.8.25", "3.0.11", "3.4.7"]
    assert names == [f"versioned:{name}@{each}" for name in ("slow", "quick") for each in versions] + ["broken"]


@pytest.mark.usefixtures("_plugins")
def test_what_goes_with_no_versions_is_told() -> None:
    with pytest.raises(UsageError, match=r"versioned:quick@2\.8 says which program: --versions does not go with it"):
        require_unversioned(contenders(["versioned@2.8"]))
    with pytest.raises(UsageError, match="fake:quick cannot be had in versions: its plugin names no source of them"):
        require_unversioned(contenders(["fake"]))
    with pytest.raises(UsageError, match=r"--versions takes FIRST\.\.LAST"):
        run_comparison(["versioned", "--versions", "2.8"])
    with pytest.raises(Exception, match="--versions is for mechanisms that are named"):
        CompareOptions().parseOptions(["--all", "--versions", "1..2"])
