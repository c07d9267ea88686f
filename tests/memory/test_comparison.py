"""Rows and tables of a comparison."""

import json
import re
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import cast

import attrs
import pytest
from rich.console import Console
from twisted.internet.defer import Deferred

from proxyreload.command.compare import CompareOptions, status
from proxyreload.command.manyruns import settings_of
from proxyreload.comparison.comparison import Comparison, file_name
from proxyreload.comparison.contender import contenders, everyone
from proxyreload.comparison.markdown import markdown
from proxyreload.comparison.row import Row, row_of
from proxyreload.comparison.scoreboard import scoreboard
from proxyreload.comparison.table import as_json, notes, print_table, short_versions, versions
from proxyreload.comparison.trial import Trial
from proxyreload.errors import ExitStatus, RefusedError, UsageError
from proxyreload.plan.scenario import default
from proxyreload.plan.settings import Settings, Target
from proxyreload.proxy import registry as finding
from proxyreload.proxy.interfaces import Cure
from proxyreload.run import runs as runs_module
from proxyreload.system.reactor import IReactor
from proxyreload.verdict.judgement import Judgement, Verdict
from proxyreload.verdict.proof import Proof

from .clocks import result_of
from .compared import RUN, FakeRun, trial
from .plugins import PLUGINS

CURE = Cure("turn it off", "https://example.test/off")
CURES = {Verdict.LOSSY: CURE, Verdict.INEFFECTIVE: None}
SEAMLESS = row_of("fake:quick", [trial(Verdict.SEAMLESS, *[0] * 10)], CURES)
LOSSY = row_of("fake:slow", [trial(Verdict.SEAMLESS, *[0] * 5), trial(Verdict.LOSSY, 0, 3, 0, 1, 0)], CURES)
CANNOT = row_of("fake:old", [Trial(1, RUN, why="cannot upgrade: it has no way", cannot=True)])
MISSING = row_of("fake:gone", [Trial(1, RUN, why="fake is not installed")])
ROWS = [SEAMLESS, LOSSY, CANNOT, MISSING]


def test_a_row_sums_up_its_trials() -> None:
    assert (LOSSY.exchanges, LOSSY.losses, LOSSY.failures) == (2000, [0] * 6 + [3, 0, 1, 0], {"timeout": 4})
    assert (LOSSY.front_closed, LOSSY.back_closed, LOSSY.stragglers) == ({"announced": 4, "idle": 2}, 8, 10)
    assert (LOSSY.applied_ms, LOSSY.effective_ms) == (2, 2)
    assert (LOSSY.steady_p99_us, LOSSY.around_p99_us, LOSSY.baseline_p99_us) == (100, 300, 50)
    assert LOSSY.repetition is not None
    assert (LOSSY.repetition.changes, LOSSY.repetition.per_change, LOSSY.repetition.per_million) == (10, 0.4, 2000)


def test_a_row_has_the_worst_verdict_of_its_trials() -> None:
    assert (SEAMLESS.verdict, LOSSY.verdict, MISSING.verdict) == (Verdict.SEAMLESS, Verdict.LOSSY, None)


def test_only_a_lossy_row_needs_a_cure_or_one_that_is_ineffective_and_has_one() -> None:
    assert [row.cure for row in ROWS] == [None, CURE, None, None]
    kept = [trial(Verdict.INEFFECTIVE)]
    assert [row_of("fake:old", kept, cures).cure for cures in (CURES, {Verdict.INEFFECTIVE: CURE})] == [None, CURE]


def test_a_row_says_why_it_came_to_nothing() -> None:
    spoilt = row_of("fake:odd", [trial(Verdict.INVALID, reasons=("the proxy died",))])
    assert [row.why for row in (*ROWS, spoilt)] == [
        *("", "", "cannot upgrade: it has no way", "fake is not installed", "the proxy died")
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], ExitStatus.LOSSLESS),
        ([SEAMLESS], ExitStatus.LOSSLESS),
        ([SEAMLESS, CANNOT], ExitStatus.LOSSLESS),
        ([LOSSY, SEAMLESS], ExitStatus.LOST),
        ([LOSSY, MISSING], ExitStatus.INVALID),
        ([row_of("fake:odd", [trial(Verdict.INEFFECTIVE)])], ExitStatus.INVALID),
    ],
)
def test_the_exit_status_is_the_worst_rows(rows: list[Row], expected: ExitStatus) -> None:
    assert status(rows) is expected


def printed(width: int) -> str:
    console = Console(file=StringIO(), width=width, highlight=False)
    print_table(console, ROWS)
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def test_the_table_shows_every_row() -> None:
    losses, times, costs, below = re.split(r"\n\s*\n", printed(200), maxsplit=3)
    assert [line.split()[:3] for line in losses.splitlines()[2:]] == [
        ["fake:quick", "seamless", "0"],
        ["fake:slow", "lossy", "4"],
        ["fake:old", "cannot"],
        ["fake:gone", "not", "run"],
    ]
    for table in (times, costs):
        assert [line.split()[0] for line in table.splitlines()[2:]] == ["fake:quick", "fake:slow"]
    assert "0.4 (0 to " in losses
    assert "6 (4)" in losses
    assert below.splitlines() == notes(ROWS)


def test_the_table_fits_80_columns() -> None:
    tables = [line for line in printed(80).splitlines() if line not in notes(ROWS)]
    assert max(map(len, tables)) <= 80
    assert any("fake:quick" in line for line in tables)


def test_notes_say_what_was_lost_and_what_helps() -> None:
    assert notes(ROWS) == [
        "fake:slow: lost 4 timeout",
        "fake:slow: what helps: turn it off, https://example.test/off",
        "fake:old: cannot upgrade: it has no way",
        "fake:gone: fake is not installed",
    ]


def test_what_was_aimed_stands_apart_and_who_lost_is_told() -> None:
    aimed = attrs.evolve(
        trial(Verdict.LOSSY, *[1] * 5),
        kinds={"get": (900, 5), "aimed": (100, 40)},
        verdicts={"aimed": Verdict.LOSSY},
        failures=Counter({"timeout": 45}),
        proof=Proof(100, 40, 5, 4),
    )
    row = row_of("fake:slow", [aimed, aimed])
    assert (row.proof, row.kinds) == (Proof(200, 80, 10, 8), {"get": (1800, 10), "aimed": (200, 80)})
    assert notes([row]) == ["fake:slow: lost 90 timeout (aimed 80 of 200, get 10 of 1800)"]
    assert "| 10 (80) |" in markdown([row], [])
    assert "| 90 timeout | aimed 80 of 200, get 10 of 1800 |\n" in markdown([row], [])
    [told] = json.loads(as_json([row], {}))["rows"]
    counts = {kind: (each["verdict"], each["exchanges"], each["failures"]) for kind, each in told["kinds"].items()}
    assert counts == {"get": (None, 1800, 10), "aimed": ("lossy", 200, 80)}
    assert told["proof"] == {"exchanges": 200, "failures": 80, "changes": 10, "lossy": 8}


def test_in_markdown_a_row_is_a_line_and_the_proxys_words_are_only_text() -> None:
    hostile = row_of("fake:bad", [Trial(1, RUN, why="<b>|x\\")])
    text = markdown([SEAMLESS, hostile], ["compared"])
    assert text.startswith("compared\n\n| mechanism | verdict |")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert "- fake:bad: &lt;b>\\|x\\\\" in text


def test_in_markdown_a_cure_is_told_once_for_all_that_it_helps() -> None:
    other = row_of("fake:slower", LOSSY.trials, CURES)
    *_table, helps = markdown([LOSSY, other], []).splitlines()
    assert helps == "- fake:slow, fake:slower: what helps: [turn it off](https://example.test/off)"


def test_json_has_every_figure() -> None:
    content = json.loads(as_json(ROWS, {"what": "compared"}))
    assert (content["format"], content["what"]) == (1, "compared")
    quick, slow, old, gone = content["rows"]
    assert (quick["verdict"], old["verdict"], gone["verdict"]) == ("seamless", "cannot", "not run")
    assert slow["failures"] == {"timeout": 4}
    assert (slow["p99_steady_us"], slow["p99_around_us"], slow["p99_baseline_us"]) == (100, 300, 50)
    assert [row["p99_floor_us"] for row in content["rows"]] == [row["p99_baseline_us"] for row in content["rows"]]
    assert slow["cure"] == {"advice": "turn it off", "link": "https://example.test/off"}
    assert [each["verdict"] for each in slow["trials"]] == ["seamless", "lossy"]
    assert gone["trials"] == [{"round": 1, "verdict": None, "why": "fake is not installed", "run": None, "wall_s": 0}]


def test_each_proxys_version_is_told_once() -> None:
    assert versions(ROWS) == ["fake: fake 1.2"]
    assert short_versions(ROWS) == "fake 1.2"


@pytest.mark.parametrize(
    ("said", "short"),
    [
        ("HAProxy version 2.8.25-5cf5d0683 2026/06/26", "2.8.25-5cf5d0683"),
        ("v2.11.7 h1:yj0=", "2.11.7"),
        ("version: 9e55809337/1.40.0/Clean", "1.40.0"),
        ("build 7", "build 7"),
    ],
)
def test_of_a_version_the_number_is_told(said: str, short: str) -> None:
    row = row_of("fake:odd", [attrs.evolve(trial(Verdict.SEAMLESS), proxy_version=said)])
    assert short_versions([row]) == f"fake {short}"


@pytest.fixture(name="_plugins")
def _fixture_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "entry_points", lambda group: PLUGINS if group == "proxyreload.plugins" else ())


@pytest.mark.usefixtures("_plugins")
def test_contenders_are_named_with_or_without_a_program_and_once() -> None:
    found = contenders(["fake:slow", "fake", "fake:quick", "fake:quick@/opt/fake"])
    assert [each.name for each in found] == ["fake:slow", "fake:quick", "fake:quick@/opt/fake"]
    assert found[2].binary == "/opt/fake"
    with pytest.raises(UsageError, match="no plugin 'bogus'"):
        contenders(["bogus"])


@pytest.mark.usefixtures("_plugins")
def test_everyone_is_every_mechanism_and_every_broken_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "fakeproxy").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    left_out: list[str] = []
    found = list(everyone(left_out.append))
    assert left_out == []
    assert [each if isinstance(each, str) else each.name for each in found][1:3] == ["fake:quick", "fake:slow"]
    assert [str(each).partition(":")[0] for each in (found[0], found[3])] == [
        "plugin broken of an unknown distribution cannot be loaded",
        "plugin incomplete of an unknown distribution cannot be loaded",
    ]


@pytest.mark.usefixtures("_plugins")
def test_a_proxy_that_is_not_there_is_left_out_of_everyone_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    left_out: list[str] = []
    assert all(isinstance(each, str) for each in everyone(left_out.append))
    assert left_out == [
        "fake is left out: fakeproxy is not installed: build it yourself, or say where it is with --binary"
    ]


@pytest.mark.usefixtures("_plugins")
def test_a_contender_tells_what_it_cannot_do() -> None:
    (contender,) = contenders(["fake"])
    assert contender.choice.why_not(["add", "remove"]) == ""
    assert contender.choice.why_not(["upgrade"]) == "cannot upgrade: its plugin knows no way"
    assert contender.choice.why_not([], tls=True) == "cannot speak TLS: its plugin knows no way"


@pytest.mark.parametrize(
    ("name", "file"), [("haproxy:reload 1", "haproxy-reload-1"), ("nginx@../../opt/nginx 2", "nginx-..-..-opt-nginx-2")]
)
def test_a_runs_folder_is_one_folder(name: str, file: str) -> None:
    assert file_name(name) == file


# Running them.


@pytest.mark.usefixtures("_plugins")
@pytest.mark.parametrize("drawn", [True, False])
def test_a_page_is_drawn_of_each_run_that_came_to_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, drawn: bool
) -> None:
    monkeypatch.setattr(runs_module, "Run", FakeRun)
    settings = Settings(Target.front(8080), default())
    pages: list[tuple[Path, Path, Path]] = []
    lines: list[str] = []

    async def draw(_reactor: IReactor, *paths: Path) -> str:
        pages.append(cast(tuple[Path, Path, Path], paths))
        return "" if drawn else "data.csv: No such file or directory"

    comparison = Comparison(
        cast(IReactor, object()),
        lambda: 0,
        contenders(["fake:slow", "fake"]),
        settings,
        tmp_path,
        2,
        lines.append,
        draw,
    )
    rows = result_of(Deferred.fromCoroutine(comparison.execute()))
    assert [(row.name, row.verdict, row.why) for row in rows] == [
        ("fake:slow", None, "fake is not installed"),
        ("fake:quick", Verdict.SEAMLESS, ""),
    ]
    assert pages == [
        tuple(tmp_path / f"fake-quick-{number}" / name for name in ("data.csv", "run.json", "report.html"))
        for number in (1, 2)
    ]
    assert len(lines) == comparison.total == 4
    assert comparison.share == 1


@pytest.mark.usefixtures("_plugins")
def test_without_a_way_to_draw_no_page_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "Run", FakeRun)
    settings = Settings(Target.front(8080), default())
    comparison = Comparison(cast(IReactor, object()), lambda: 0, contenders(["fake"]), settings, tmp_path, 1)
    (row,) = result_of(Deferred.fromCoroutine(comparison.execute()))
    assert row.verdict is Verdict.SEAMLESS
    assert [path.name for path in (tmp_path / "fake-quick-1").iterdir()] == ["trial.json"]


@pytest.mark.usefixtures("_plugins")
def test_a_folder_that_cannot_be_made_is_that_trials_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "Run", FakeRun)
    (tmp_path / "fake-quick-1").write_text("a file in its place")
    settings = Settings(Target.front(8080), default())
    comparison = Comparison(cast(IReactor, object()), lambda: 0, contenders(["fake"]), settings, tmp_path, 2)
    (row,) = result_of(Deferred.fromCoroutine(comparison.execute()))
    assert row.why == f"{tmp_path}/fake-quick-1 cannot be made: File exists"
    assert [trial.judgement is None for trial in row.trials] == [True, False]


@attrs.define(eq=False)
class RefusingRun(FakeRun):
    """A run whose proxy refuses what it is to start with, whatever the version."""

    async def execute(self) -> Judgement:
        message, words = "fake exited with status 1 at the start", "unknown option 'x'"
        raise RefusedError(message, words)


@pytest.mark.usefixtures("_plugins")
@pytest.mark.parametrize("versioned", [True, False])
def test_what_a_version_that_was_asked_for_does_not_know_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, versioned: bool
) -> None:
    monkeypatch.setattr(runs_module, "Run", RefusingRun)
    (contender,) = contenders(["fake"])
    asked = [attrs.evolve(contender, binary=each, fetched=f"/{each}") for each in ("1.0", "2.0")]
    compared = asked if versioned else [contender]
    settings = Settings(Target.front(8080), default())
    comparison = Comparison(cast(IReactor, object()), lambda: 0, compared, settings, tmp_path, 1)
    rows = result_of(Deferred.fromCoroutine(comparison.execute()))
    board = scoreboard(rows)
    if not versioned:
        assert (rows[0].cannot, rows[0].why, board) == (False, "fake exited with status 1 at the start", None)
        assert status(rows) is ExitStatus.INVALID
        return
    assert {row.why for row in rows} == {"it refuses its configuration: unknown option 'x'"}
    assert [each["verdict"] for each in json.loads(as_json(rows, {}))["rows"]] == ["cannot", "cannot"]
    assert board is not None
    assert [line[1] for line in board.lines()[1:]] == ["cannot", "cannot"]
    assert status(rows) is ExitStatus.LOSSLESS


def test_words_of_others_are_printable_in_every_table() -> None:
    row = row_of("a:one@\x1b[2J", [trial(Verdict.INVALID, reasons=("it said \x1b[31m\n\x9b",))])
    console = Console(width=200, file=StringIO(), highlight=False)
    print_table(console, [row])
    for text in (cast(StringIO, console.file).getvalue(), markdown([row], ["title \x1b\n# one"])):
        assert "\\x1b[2J" in text.replace("\\\\", "\\").replace("\\[", "[")
        assert "\x1b" not in text
        assert "\x9b" not in text
        assert "\n# one" not in text


def test_a_scenarios_traffic_is_compared_under_too(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[[traffic]]\nkind = 'idle'\nclients = 3\n[[step]]\nadd = 2\n", encoding="utf-8")
    options = CompareOptions()
    options.parseOptions(["fake:quick", "--scenario", str(path)])
    assert [(group.kind.name, group.clients) for group in settings_of(options).load.groups] == [("idle", 3)]


def test_how_long_old_processes_are_waited_for_is_said() -> None:
    options = CompareOptions()
    options.parseOptions(["haproxy"])
    assert settings_of(options).wait_old_s == 15
    options.parseOptions(["haproxy", "--wait-old", "0"])
    assert settings_of(options).wait_old_s == 0
    options.parseOptions(["haproxy", "--wait-old", "soon"])
    with pytest.raises(UsageError, match="--wait-old"):
        settings_of(options)
