"""The page, as far as its text shows; a browser shows the rest (`tests/real`)."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from proxyreload.command.report import make_report
from proxyreload.errors import UsageError
from proxyreload.record.csvfile import COLUMNS, CsvFile
from proxyreload.record.paths import RunPaths, find
from proxyreload.report.page import SIZE_LIMIT, page
from proxyreload.report.rowfile import read_rows
from proxyreload.report.write import DrawingError, write_report
from proxyreload.system.claim import Claim

from .happened import exchange
from .written import Row, change, lost, row, run_content, write_rows, write_run

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)</script>",
    "'; alert(1); '",
    "{{ 7 * 7 }}",
    "\x1b[31m\u202e",
    "a" * 100_000,
)


class Page(HTMLParser):
    """The parts of a page that tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.figures: dict[str, str] = {}
        self._figure: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._figure = dict(attrs).get("data-figure") or None

    def handle_data(self, data: str) -> None:
        if self._figure:
            self.figures[self._figure] = data
            self._figure = None

    @property
    def losses(self) -> dict[str, list[list[int]]]:
        found = re.search(r'<script type="application/json" class="losses-data">(.*?)</script>', self.text)
        assert found is not None
        table: dict[str, list[list[int]]] = json.loads(found[1])
        return table


def written(folder: Path, rows: list[Row], **more: object) -> RunPaths:
    folder.mkdir(exist_ok=True)
    losses = sum(each["failure"] != "" for each in rows)
    summary = {"exchanges": len(rows), "success": len(rows) - losses, "failure": losses, "verdict": "lossy"}
    run = write_run(folder / "run.json", run_content(summary, **more))
    return RunPaths(write_rows(folder / "data.csv", rows), run)


ROWS = [row(t * 1000, t % 3, instance=str(t % 2), connection=t // 1000) for t in range(1, 5000)]


def test_the_counts_are_the_run_files(tmp_path: Path) -> None:
    told = Page(page([written(tmp_path, [*ROWS, lost(2_100_000), lost(2_200_000, 1)])]))
    assert told.figures["exchanges"] == "5,001"
    assert told.figures["success"] == "4,999"
    assert told.figures["failure"] == told.figures["losses"] == "2"
    assert told.figures["verdict"] == "lossy"
    assert [(line[0], line[1], line[3]) for line in told.losses["rows"]] == [
        (2_100_000, 100_000, 0),
        (2_200_000, 200_000, 1),
    ]


def test_nothing_is_fetched(tmp_path: Path) -> None:
    told = Page(page([written(tmp_path, [*ROWS, lost(2_100_000)])]))
    for tag, attributes in told.tags:
        assert "src" not in attributes, tag
        assert (attributes.get("href") or "#").startswith(("#", "data:")), attributes


def test_what_a_proxy_or_a_file_says_stays_text(tmp_path: Path) -> None:
    rows = [*ROWS, *(lost(2_100_000, failure=text) for text in HOSTILE)]
    rows += [row(2_200_000, instance=text) for text in HOSTILE] + [lost(2_300_000, status=text) for text in HOSTILE]
    changes = [
        change(n, 2_000_000, action=text, instance=text, mechanism=text, error=text, reasons=[text])
        for n, text in enumerate(HOSTILE, 1)
    ]
    told = {text: text for text in HOSTILE}
    script, image = HOSTILE[:2]
    scenario = {"title": script, "steps": [told | {"action": image, "instance": script}]}
    more = {"scenario": scenario, "command": HOSTILE, "versions": told, "machine": told, "proxy_version": script}
    text = page([written(tmp_path, rows, plugin=script, mechanism=image, changes=changes, **more)])
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text) < SIZE_LIMIT


def test_ten_thousand_failures_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    rows = [lost(t * 100, t % 50, f"status {500 + t % 30}", connection=t) for t in range(12_000)]
    text = page([written(tmp_path, rows)])
    told = Page(text)
    assert len(told.losses["rows"]) == 10_000
    assert told.figures["losses"] == "12,000"
    assert "10,000 of 12,000" in text
    assert len(text.encode()) < SIZE_LIMIT


def test_several_runs_stand_side_by_side(tmp_path: Path) -> None:
    one = written(tmp_path / "one", ROWS)
    two = written(tmp_path / "two", [*ROWS, lost(2_100_000)], plugin="other")
    bare = RunPaths(write_rows(tmp_path / "old.csv", ROWS, COLUMNS[:6]))
    told = Page(page([one, two, bare]))
    assert sum("data-run" in attributes for _tag, attributes in told.tags) == 3
    assert [attributes["href"] for tag, attributes in told.tags if tag == "a"] == ["#run-1", "#run-2", "#run-3"]
    assert "no verdict" in told.text


def test_rows_of_another_run_are_told(tmp_path: Path) -> None:
    paths = written(tmp_path, ROWS)
    write_rows(paths.rows, ROWS[:100])
    assert "requests: 100 in the rows, 4,999 in the run file" in page([paths])


def test_a_run_without_requests_is_told(tmp_path: Path) -> None:
    assert "There are no requests in the rows" in page([written(tmp_path, [])])


def test_every_kind_of_change_is_told(tmp_path: Path) -> None:
    changes = [
        change(1, 1_000_000, action="reload", instance=""),
        change(2, 2_000_000, action="upgrade", instance="", applied_us=None, effective_us=None, error="refused"),
        change(3, 3_000_000, action="remove", instance="0", effective_us=None, verdict="lossy", failures={"x": 2}),
    ]
    text = page([written(tmp_path, ROWS, changes=changes)])
    assert [what in text for what in ("1: reload ", "2: upgrade ", "3: remove backend 0 ", "refused")] == [True] * 4


def test_the_command_writes_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, ROWS)
    monkeypatch.chdir(tmp_path)
    assert make_report(["run.json"]) == 0
    assert capsys.readouterr().out == "report.html: the report of run.json\n"
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv", "report.html", "run.json"]


def test_a_report_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    paths = written(tmp_path, ROWS)
    with pytest.raises(UsageError, match=r"missing/report\.html cannot be written: No such file"):
        write_report([paths], tmp_path / "missing" / "report.html")


def test_without_bokeh_one_line_says_what_to_install(tmp_path: Path) -> None:
    paths = written(tmp_path, ROWS)
    code = "import sys; sys.modules['bokeh'] = None; from proxyreload.entry import main; main()"
    told = subprocess.run(
        [sys.executable, "-c", code, "report", str(paths.run)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        told.stderr == "proxyreload: a report needs bokeh, which is not installed: pip install 'proxyreload[report]'\n"
    )
    assert told.returncode == 2


def drawn(paths: RunPaths, output: Path) -> str:
    """Return why a page is not drawn."""
    with pytest.raises(DrawingError) as raised:
        write_report([paths], output)
    assert not output.exists()
    return str(raised.value)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("no\n\x1b[31mhome"), "RuntimeError: no / \\x1b[31mhome"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (MemoryError("all of it"), "MemoryError: all of it"),
        (OSError(24, "Too many open files"), "OSError: [Errno 24] Too many open files"),
        (ModuleNotFoundError("No module named 'x'", name="x"), "ModuleNotFoundError: No module named 'x'"),
    ],
)
def test_whatever_is_raised_while_drawing_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def raises(_runs: object) -> str:
        raise error

    monkeypatch.setattr("proxyreload.report.page.page", raises)
    paths = written(tmp_path, ROWS)
    assert drawn(paths, tmp_path / "report.html") == f"the report cannot be drawn: {told}"


HOMELESS = """
import os, pwd, sys
from pathlib import Path

os.environ.pop("HOME", None)

def nobody(uid):
    raise KeyError(uid)

pwd.getpwuid = nobody
from proxyreload.report.write import write_run
write_run(Path("data.csv"), Path("run.json"), Path("report.html"))
assert "HOME" not in os.environ
"""


def test_a_report_is_drawn_for_a_user_without_a_home(tmp_path: Path) -> None:
    written(tmp_path, ROWS)
    subprocess.run([sys.executable, "-c", HOMELESS], cwd=tmp_path, check=True)
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("name", ["run.json", "data.csv", "./run.json", "link"])
def test_a_report_is_not_written_over_what_it_is_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    paths = written(tmp_path, ROWS[:10])
    assert paths.run is not None
    before = [paths.run.read_bytes(), paths.rows.read_bytes()]
    (tmp_path / "link").symlink_to("run.json")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^--output .* is the same file as (run\.json|the rows of run\.json)$"):
        make_report(["run.json", "--output", name])
    assert [paths.run.read_bytes(), paths.rows.read_bytes()] == before


def test_a_report_that_a_run_is_writing_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, ROWS[:10])
    monkeypatch.chdir(tmp_path)
    claim = Claim.of(Path("report.html"), whole=True)
    with pytest.raises(UsageError, match=r"report\.html cannot be written: another run is writing it"):
        make_report(["run.json"])
    claim.release()


def test_rows_are_shown_without_the_apostrophe_that_keeps_them_from_being_formulas(tmp_path: Path) -> None:
    file = CsvFile(tmp_path / "data.csv")
    file.open()
    file.exchanged([exchange(instance="=1+1"), exchange(instance="'=1+1"), exchange(instance="'plain")])
    file.close()
    assert read_rows(file.path).instances == ["", "=1+1", "'=1+1", "'plain"]


@pytest.mark.parametrize("name", ["data.csv", "run.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)  # rows are looked for where we are, too
    paths = written(tmp_path, ROWS[:10])
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    assert paths.run is not None
    with pytest.raises(UsageError, match=r"not a regular file|are not beside it"):
        find(paths.run)
    with pytest.raises(UsageError, match="not a regular file"):
        find(paths.run) if name == "run.json" else read_rows(paths.rows)
