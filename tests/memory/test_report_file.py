"""Whether a run's report can be written is known before the run."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from proxyreload.errors import UsageError
from proxyreload.report import write
from proxyreload.report.write import DrawingError, OutputError, ReportUnavailable
from proxyreload.service import report_file
from proxyreload.service.report_file import ReportFile
from proxyreload.system.claim import Claim


@pytest.fixture(name="rows")
def _rows(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.touch()
    return path


def draws(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    """Let a report be drawn, or not."""

    def write_run(_rows: Path, _run: Path, output: Path) -> None:
        if error is not None:
            raise error
        output.write_text("a page")

    monkeypatch.setattr(report_file, "write_run", write_run)


@pytest.mark.parametrize("required", [False, True])
def test_a_report_is_written(tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch, *, required: bool) -> None:
    draws(monkeypatch)
    report = ReportFile(tmp_path / "report.html", required)
    report.claim()
    assert report.write(rows, rows) == ""
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
    assert report.write(rows, rows) == f"not written: {tmp_path / path}: {why}"
    assert not report.failed
    report.close()


def test_so_it_is_where_another_run_writes_it(tmp_path: Path, rows: Path) -> None:
    path = tmp_path / "report.html"
    claim = Claim.of(path, whole=True)
    with pytest.raises(UsageError, match="cannot be written: another run is writing it"):
        ReportFile(path, required=True).claim()
    report = ReportFile(path, required=False)
    report.claim()
    assert report.write(rows, rows).startswith(f"not written: {path}: another run is writing it (pid ")
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
    assert report.write(rows, rows) == f"not written: {tmp_path}/report.html: {why}"
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DrawingError("the report cannot be drawn: RuntimeError: x"), "the report cannot be drawn: RuntimeError: x"),
        (UsageError("data.csv:3: not a row"), "data.csv:3: not a row"),
    ],
)
def test_one_that_cannot_be_drawn_is_a_line_and_no_more(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str, *, required: bool
) -> None:
    draws(monkeypatch, error)
    report = ReportFile(tmp_path / "report.html", required)
    report.claim()
    assert report.write(rows, rows) == f"not written: {report.path}: {line}"
    report.close()
    assert (report.failed, report.path.exists()) == (False, False)


@pytest.mark.parametrize("required", [False, True])
def test_a_disk_that_is_full_at_the_end_costs_what_was_asked_for(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch, *, required: bool
) -> None:
    draws(monkeypatch, OutputError("report.html cannot be written: No space left on device"))
    report = ReportFile(tmp_path / "report.html", required)
    report.claim()
    assert report.write(rows, rows) == "report.html cannot be written: No space left on device"
    assert report.failed is required
    report.close()


def test_of_rows_that_went_into_a_device_there_is_none(tmp_path: Path) -> None:
    report = ReportFile(tmp_path / "report.html", required=True)
    report.claim()
    line = report.write(Path("/dev/null"), tmp_path / "run.json")
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
