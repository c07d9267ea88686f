"""Writes a report, where what draws it is installed."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from proxyreload.errors import ProxyreloadError, UsageError
from proxyreload.record.paths import RunPaths
from proxyreload.system.home import some_home
from proxyreload.system.untrusted import one_line
from proxyreload.system.wholefile import write_whole


class ReportUnavailable(UsageError):
    """The libraries that draw it are not installed."""


_LIBRARIES = ("bokeh", "jinja2", "markupsafe", "numpy")


class OutputError(UsageError):
    """The page cannot be written, whatever is in it."""


class DrawingError(ProxyreloadError):
    """The page cannot be drawn; the text says what was raised."""


def require_libraries() -> None:
    """Raise `ReportUnavailable` if a library is not installed; imports none, for that takes a second."""
    for library in _LIBRARIES:
        if find_spec(library) is None:
            raise _unavailable(library)


def write_report(runs: Sequence[RunPaths], output: Path) -> None:
    """Write one page of these runs to `output`.

    Raises `ReportUnavailable` where the libraries that draw it are missing, `UsageError` where a run's file is not
    what it should be, `OutputError` if `output` cannot be written, and `DrawingError` for whatever else is raised.
    """

    def drawn() -> str:
        from proxyreload.report.page import page

        return page(runs)

    _written(output, _drawn(drawn))


def write_matrix(comparison: Path, output: Path) -> None:
    """Write the page of a comparison by its JSON file; raises likewise."""

    def drawn() -> str:
        from proxyreload.report.matrix import matrix_page, read_matrix

        return matrix_page(read_matrix(comparison))

    _written(output, _drawn(drawn))


def write_run(rows: Path, run: Path, output: Path) -> None:
    """Write the page of one run; raises likewise."""
    write_report([RunPaths(rows, run)], output)


def _drawn(draw: Callable[[], str]) -> str:
    try:
        with some_home():
            return draw()
    except ProxyreloadError:
        raise
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        raise (_unavailable(library) if library in _LIBRARIES else _undrawn(error)) from error
    except Exception as error:
        raise _undrawn(error) from error


def _unavailable(library: str) -> ReportUnavailable:
    return ReportUnavailable(f"a report needs {library}, which is not installed: pip install 'proxyreload[report]'")


def _undrawn(error: Exception) -> DrawingError:
    return DrawingError(f"the report cannot be drawn: {one_line(f'{type(error).__name__}: {error}')}")


def _written(output: Path, text: str) -> None:
    try:
        write_whole(output, text)
    except OSError as error:
        msg = f"{output} cannot be written: {error.strerror}"
        raise OutputError(msg) from error
