"""Whether a run's report can be written is known before the run."""

from importlib.util import find_spec
from pathlib import Path
from typing import cast

import pytest
from twisted.internet.defer import Deferred

from proxyreload.errors import UsageError
from proxyreload.report import write
from proxyreload.report.write import ReportUnavailable
from proxyreload.service import report_file
from proxyreload.service.report_file import ReportFile
from proxyreload.system.claim import Claim
from proxyreload.system.reactor import IReactor

from .clocks import result_of


@pytest.fixture(name="rows")
def _rows(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.touch()
    return path


def draws(monkeypatch: pytest.MonkeyPatch, why_not: str = "") -> None:
    """Let a report be drawn, or not."""

    async def draw(_reactor: object, _rows: Path, _run: Path, output: Path) -> str:
        if not why_not:
            output.write_text("a page")  # noqa: ASYNC240
        return why_not

    monkeypatch.setattr(report_file, "draw", draw)


def written(report: ReportFile, rows: Path) -> str:
    """Write it, and return what is said of that."""
    return result_of(Deferred.fromCoroutine(report.write(cast(IReactor, None), rows, rows)))


@pytest.mark.parametrize("required", [False, True])
def test_a_report_is_written(tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch, *, required: bool) -> None:
    draws(monkeypatch)
    report = ReportFile(tmp_path / "report.html", required)
    report.claim()
    assert written(report, rows) == ""
    report.close()
    assert (report.failed, report.path.read_text()) == (False, "a page")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("missing/report.html", "No such file or directory"),
        (".", "Is a directory"),
        ("data.csv/report.html", "Not a directory"),
        ("x" * 256, "File name too long"),
    ],
)
def test_one_that_cannot_be_written_costs_the_run_if_it_was_asked_for(
    tmp_path: Path, rows: Path, path: str, why: str
) -> None:
    with pytest.raises(UsageError, match=rf"cannot be written: {why}$"):
        ReportFile(tmp_path / path, required=True).claim()
    report = ReportFile(tmp_path / path, required=False)
    report.claim()
    assert written(report, rows) == f"not written: {tmp_path / path}: {why}"
    assert not report.failed
    report.close()


def test_so_it_is_where_another_run_writes_it(tmp_path: Path, rows: Path) -> None:
    path = tmp_path / "report.html"
    claim = Claim.of(path, whole=True)
    with pytest.raises(UsageError, match="cannot be written: another run is writing it"):
        ReportFile(path, required=True).claim()
    report = ReportFile(path, required=False)
    report.claim()
    assert written(report, rows).startswith(f"not written: {path}: another run is writing it (pid ")
    claim.release()


@pytest.mark.parametrize("library", ["bokeh", "jinja2", "markupsafe", "numpy"])
def test_so_it_is_where_a_library_is_missing(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setattr(write, "find_spec", lambda name: None if name == library else find_spec(name))
    why = f"a report needs {library}, which is not installed: pip install 'proxyreload[report]'"
    with pytest.raises(ReportUnavailable) as raised:
        ReportFile(tmp_path / "report.html", required=True).claim()
    assert str(raised.value) == why
    report = ReportFile(tmp_path / "report.html", required=False)
    report.claim()
    assert written(report, rows) == f"not written: {tmp_path}/report.html: {why}"
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("line", ["the report cannot be drawn: RuntimeError: x", "data.csv:3: not a row"])
def test_one_that_cannot_be_drawn_is_a_line_and_no_more(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch, line: str, *, required: bool
) -> None:
    draws(monkeypatch, line)
    report = ReportFile(tmp_path / "report.html", required)
    report.claim()
    assert written(report, rows) == f"not written: {report.path}: {line}"
    report.close()
    assert (report.failed, report.path.exists()) == (False, False)


@pytest.mark.parametrize("required", [False, True])
def test_a_disk_that_is_full_at_the_end_costs_what_was_asked_for(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch, *, required: bool
) -> None:
    why_not = f"{tmp_path}/report.html cannot be written: No space left on device"
    draws(monkeypatch, why_not)
    report = ReportFile(tmp_path / "report.html", required)
    report.claim()
    assert written(report, rows) == why_not
    assert report.failed is required
    report.close()


def test_of_rows_that_went_into_a_device_there_is_none(tmp_path: Path) -> None:
    report = ReportFile(tmp_path / "report.html", required=True)
    report.claim()
    line = written(report, Path("/dev/null"))
    assert line == f"not written: {report.path}: /dev/null cannot be read again"
    report.close()


def test_the_report_of_the_run_before_stays_until_there_is_another(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("before")
    report = ReportFile(path, required=False)
    report.claim()
    assert path.read_text() == "before"
    report.close()
    assert path.read_text() == "before"
