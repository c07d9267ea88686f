"""Writes a report, where what draws it is installed."""

from collections.abc import Sequence
from pathlib import Path

from proxyreload.errors import UsageError
from proxyreload.report.paths import RunPaths
from proxyreload.system.wholefile import write_whole


class ReportUnavailable(UsageError):
    """The libraries that draw it are not installed."""


_LIBRARIES = ("bokeh", "jinja2", "markupsafe", "numpy")


def write_report(runs: Sequence[RunPaths], output: Path) -> None:
    """Write one page of these runs to `output`.

    Raises `ReportUnavailable` where the libraries that draw it are missing, and `UsageError` where a run's file is
    not what it should be or `output` cannot be written.
    """
    try:
        from proxyreload.report.page import page
    except ModuleNotFoundError as error:
        raise _unavailable(error) from error
    _written(output, page(runs))


def write_matrix(comparison: Path, output: Path) -> None:
    """Write the page of a comparison by its JSON file, likewise; raises `ReportUnavailable`."""
    try:
        from proxyreload.report.matrix import matrix_page, read_matrix
    except ModuleNotFoundError as error:
        raise _unavailable(error) from error
    _written(output, matrix_page(read_matrix(comparison)))


def _unavailable(error: ModuleNotFoundError) -> Exception:
    library = (error.name or "").partition(".")[0]
    if library not in _LIBRARIES:
        return error
    return ReportUnavailable(f"a report needs {library}, which is not installed: pip install 'proxyreload[report]'")


def write_run(rows: Path, run: Path, output: Path) -> None:
    """Write the page of one run, likewise."""
    write_report([RunPaths(rows, run)], output)


def _written(output: Path, text: str) -> None:
    try:
        write_whole(output, text)
    except OSError as error:
        msg = f"{output} cannot be written: {error.strerror}"
        raise UsageError(msg) from error
