"""What a job is told: its summary, and annotations."""

import re
from collections import Counter
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from proxyreload.command.compare import CompareOptions
from proxyreload.command.options import RunOptions
from proxyreload.comparison.jobsummary import comparison_annotations, comparison_summary
from proxyreload.comparison.row import row_of
from proxyreload.comparison.trial import Trial
from proxyreload.errors import StartError, UsageError
from proxyreload.job.again import command_again
from proxyreload.job.runsummary import JobRun
from proxyreload.job.summaryfile import SummaryFile
from proxyreload.job.workflow import Annotation
from proxyreload.ledger.cause import Cause
from proxyreload.plan.scenario import default
from proxyreload.plan.settings import FileSettings, Settings, Target
from proxyreload.proxy import registry as finding
from proxyreload.proxy.interfaces import Cure, Mechanism
from proxyreload.proxy.registry import Choice
from proxyreload.system.claim import Claim
from proxyreload.verdict.judgement import Judgement, Verdict, judge
from proxyreload.verdict.observation import Observation
from proxyreload.verdict.tally import Tallies
from proxyreload.verdict.threshold import Measured, Thresholds, decide, parsed

from .plugins import PLUGINS, FakeProxy, plugin
from .test_junit import observed

CURE = Cure("turn *it* off", "https://example.test/off")
CHOICE = Choice(plugin, Mechanism("slow", "", lambda _workspace: FakeProxy(), cure=CURE))
WORDS = ("--plugin", "fake:slow", "--summary", "/tmp/x y", "--junit", "j.xml", "--annotations", "--seed", "7 8")
RUN = Path("run.json")


def job_run(observation: Observation, thresholds: Thresholds = ()) -> JobRun:
    judgement = judge(observation)
    settings = Settings(Target.front(8080), default(), CHOICE, command=WORDS)
    decision = decide(thresholds, Measured.of(observation, judgement))
    return JobRun(settings, observation, judgement, decision, "fake 1.0 <b>")


def tables(markdown: str) -> list[list[list[str]]]:
    """Return the cells of each table, as a reader of Markdown sees them."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and token.level > 3:  # in a cell, not in a heading, a paragraph or a list
            found[-1][-1].append("".join(child.content for child in token.children or ()))
    return found


def test_a_run_is_told_by_kind_by_change_why_and_how_it_is_run_again() -> None:
    run = job_run(observed(losses=3), parsed(["lossy"]))
    text = run.summary()
    assert text.startswith("### fake:slow: lossy\n\n**lossy**: 3 failures: 3 refused")
    assert "through fake 1.0 &lt;b>" in text
    assert "decided by --fail-on: fails: lossy (the run is lossy)" in text
    kinds, changes = tables(text)
    assert kinds[0] == ["kind", "verdict", "exchanges", "lost", "most frequent cause"]
    assert kinds[1] == ["get", "lossy", "4", "3", "nobody listened 3"]
    assert changes[1][:5] == ["1: add backend 2", "lossy", "4", "3", "nobody listened 3"]
    assert "- **nobody listened**, 3 (3 get): no connection could be opened" in text
    assert "Cure: let the new process listen before" in text
    assert "- what helps with fake:slow: [turn \\*it\\* off](https://example.test/off)" in text
    assert text.endswith("```sh\nproxyreload --plugin fake:slow --seed '7 8'\n```\n")


def test_a_run_without_a_loss_is_told_with_what_it_can_show_and_no_cure() -> None:
    text = job_run(observed()).summary()
    assert text.startswith("### fake:slow: seamless\n\n**seamless**\n")
    assert "0 failures in 1 exchange" in text
    assert "Why" not in text
    assert "what helps" not in text


def test_a_kind_that_cannot_be_carried_is_in_the_table() -> None:
    options = attrs.evolve(job_run(observed()).settings, choice=None)
    assert options.left_out == {}
    run = job_run(observed())
    object.__setattr__(run, "settings", LeftOut(run.settings))
    assert ["websocket", "cannot", "", "", "it | knows none"] in tables(run.summary())[0]


class LeftOut:
    """Settings whose mechanism cannot carry something."""

    left_out = {"websocket": "it | knows none"}  # noqa: RUF012

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __getattr__(self, name: str) -> object:
        return getattr(self.settings, name)


def test_of_many_changes_the_worst_are_named_and_the_others_counted() -> None:
    run = job_run(observed(losses=1))
    (lossy,) = run.observation.changes
    quiet = attrs.evolve(lossy, kinds=Tallies())
    run.observation.changes[:] = [*(attrs.evolve(quiet, number=number) for number in range(1, 100)), lossy]
    lossy.number = 100
    text = run.summary()
    numbers = [cells[0].partition(":")[0] for cells in tables(text)[1][1:]]
    assert numbers == [*map(str, range(1, 50)), "100"]
    assert "\nAnd 50 more: 50 seamless.\n" in text


@given(st.text(max_size=30))
def test_whatever_a_proxy_says_the_tables_stay_what_they_are(words: str) -> None:
    observation = observed(losses=1)
    observation.changes[0].refused = words or "no"
    text = job_run(observation).summary()
    assert [[len(line) for line in table] for table in tables(text)] == [[5, 5], [6, 6]]
    assert text.count("\n### ") == 0
    assert all(line.isprintable() for line in text.split("\n"))


def test_an_old_summary_is_kept_and_what_came_of_the_run_is_below_it(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before", encoding="utf-8")
    for text in ("one\n", "two\n"):
        file = SummaryFile(path, "fake:slow")
        with file.claimed():
            file.append(text)
        assert file.unwritten == ""
    assert path.read_text(encoding="utf-8") == "before\none\n\ntwo\n"


def test_what_keeps_a_run_from_a_verdict_is_in_the_summary(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"

    def fails() -> None:
        message = "port 1030 | <in> use"
        raise StartError(message)

    with pytest.raises(StartError), SummaryFile(path, "fake:slow").claimed():
        fails()
    assert path.read_text(encoding="utf-8") == "### fake:slow: no verdict\n\nport 1030 \\| &lt;in> use\n"


def test_a_summary_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "summary.md"
    with (
        pytest.raises(UsageError, match="cannot be written: No such file or directory"),
        SummaryFile(path, "x").claimed(),
    ):
        pytest.fail("it was run")


def test_a_disk_that_is_full_at_the_end_is_told_and_nobody_holds_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = SummaryFile(tmp_path / "summary.md", "x")

    def full(_descriptor: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("proxyreload.job.summaryfile.write_all", full)
    with file.claimed():
        file.append("words")
    assert file.unwritten == f"{file.path} cannot be written: No space left on device"
    Claim.of(file.path).release()


# Again.


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (WORDS, "proxyreload --plugin fake:slow --seed '7 8'"),
        (("--summary", "--junit", "--junit", "x", "--seed", "1"), "proxyreload --seed 1"),
        (("compare", "--annotations", "a", "b;c"), "proxyreload compare a 'b;c'"),
        (("--otel", "http://h", "--plugin", "x"), "proxyreload --plugin x"),
    ],
)
def test_it_is_run_again_without_what_is_the_jobs(words: tuple[str, ...], line: str) -> None:
    assert command_again(words) == line


# Annotations.


def told(run: JobRun) -> list[str]:
    return [each.line for each in run.annotations()]


def test_what_fails_a_job_is_an_error_with_the_kinds_that_lost() -> None:
    first, kind = told(job_run(observed(losses=3)))
    assert first.startswith("::error title=fake%3Aslow is lossy::3 failures: 3 refused")
    assert kind.startswith("::error title=fake%3Aslow%3A get is lossy::3 of 4 requests lost, 3 by nobody listened: no ")
    assert "Cure: let the new process listen" in kind


def test_what_was_lost_and_fails_nothing_is_a_warning() -> None:
    levels = {line.split(" ")[0] for line in told(job_run(observed(losses=3), parsed(["failures-per-change>9"])))}
    assert levels == {"::warning"}


def test_where_nothing_was_lost_there_is_none() -> None:
    assert told(job_run(observed())) == []


def test_a_run_that_is_not_valid_is_an_error() -> None:
    observation = observed()
    observation.broken.append("the proxy died:\nkilled by signal 11, 100 % CPU")
    (line,) = told(job_run(observation))
    assert line == "::error title=fake%3Aslow is invalid::the proxy died:%0Akilled by signal 11, 100 %25 CPU"


@given(st.text(max_size=50), st.text(max_size=50), st.booleans())
def test_whatever_is_said_an_annotation_is_one_line_and_one_command(title: str, message: str, error: bool) -> None:  # noqa: FBT001
    line = Annotation(error, title, message).line
    assert line.isprintable()
    found = re.fullmatch(r"::(error|warning) title=([^:,]*)::(.*)", line)
    assert found is not None
    assert not re.search("%(?!25|0D|0A|3A|2C)", line)


@pytest.fixture
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "entry_points", lambda group: PLUGINS)


@pytest.mark.usefixtures("_plugins")
@pytest.mark.parametrize(
    ("environment", "words", "expected"),
    [("", [], False), ("true", [], True), ("", ["--annotations"], True), ("false", [], False)],
)
def test_they_are_made_if_asked_for_or_in_a_job_of_githubs(
    monkeypatch: pytest.MonkeyPatch, environment: str, words: list[str], *, expected: bool
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", environment)
    run, comparison = RunOptions(), CompareOptions()
    run.parseOptions(["--plugin", "fake", *words, "--summary", "s.md"])
    comparison.parseOptions(["fake", *words])
    assert (run.settings.annotations, comparison.annotates) == (expected, expected)
    assert run.settings.files == attrs.evolve(FileSettings(), report=Path("report.html"), summary=Path("s.md"))


# A comparison.


def trial(verdict: Verdict, **more: object) -> Trial:
    made = Trial(1, RUN, Judgement(verdict, ()), proxy_version="fake 1.2", exchanges=1000, losses=(0,) * 5)
    for name, value in more.items():
        object.__setattr__(made, name, value)
    return made


LOST = trial(
    Verdict.LOSSY,
    failures=Counter({"timeout": 4}),
    kinds={"get": (900, 4), "post": (100, 0)},
    verdicts={"get": Verdict.LOSSY, "post": Verdict.RACY},
    causes={"get": Counter({Cause.KEEP_ALIVE_RACE: 3, Cause.UNKNOWN: 1})},
)
ROWS = [
    row_of("fake:quick", [trial(Verdict.RACY, kinds={"get": (1000, 0)}, verdicts={"get": Verdict.RACY})]),
    row_of("fake:slow", [LOST, LOST], {Verdict.LOSSY: CURE}),
    row_of("fake:old", [Trial(1, RUN, why="cannot | <b>", cannot=True)]),
    row_of("fake:gone", [Trial(1, RUN, why="fake is not installed")]),
]


def test_a_comparison_is_told_by_mechanism_and_kind_why_and_how_it_is_run_again() -> None:
    words = ("compare", "--summary", "x", "fake:quick", "fake:slow")
    text = comparison_summary(ROWS, ["compared", ""], parsed(["lossy"]), words)
    assert text.startswith("### compare: 1 cannot, 1 lossy, 1 not run, 1 racy\n\ncompared\n\n| mechanism |")
    mechanisms, kinds = tables(text)
    assert [line[:4] for line in mechanisms[1:]] == [
        ["fake:quick", "racy", "1,000", "0"],
        ["fake:slow", "lossy", "2,000", "8"],
        ["fake:old", "cannot", "", ""],
        ["fake:gone", "not run", "", ""],
    ]
    assert [line[-1] for line in mechanisms[1:]] == ["", "keep-alive race 6", "", ""]
    assert kinds == [
        ["mechanism", "get", "post"],
        ["fake:quick", "racy", ""],
        ["fake:slow", "lossy 8 of 1,800", "racy"],
    ]
    assert "- fake:old: cannot \\| &lt;b>" in text
    assert "- fake:slow: decided by --fail-on: fails: lossy (the run is lossy)" in text
    assert "- **keep-alive race**, 6 (6 get): " in text
    assert "what helps with fake:slow: [turn \\*it\\* off]" in text
    assert text.endswith("proxyreload compare fake:quick fake:slow\n```\n")


def test_of_a_comparison_each_mechanism_that_failed_is_an_error_and_what_lost_a_warning() -> None:
    lines = [each.line for each in comparison_annotations(ROWS, parsed(["lossy"]))]
    assert [line.partition("::")[2].partition("::")[0] for line in lines] == [
        "error title=fake%3Agone%3A not run",
        "error title=fake%3Aslow%3A lossy",
        "warning title=fake%3Aquick%3A racy",
    ]


def test_no_more_mechanisms_are_annotated_than_are_shown() -> None:
    rows = [row_of(f"fake:{number}", [LOST]) for number in range(300)]
    assert len(list(comparison_annotations(rows, ()))) == 10
    text = comparison_summary(rows, [], (), ())
    assert "And 150 more." in text
    assert len(text) < 100_000
