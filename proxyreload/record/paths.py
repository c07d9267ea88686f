"""Where a run's files are."""

import os
from pathlib import Path

import attrs

from proxyreload.errors import UsageError
from proxyreload.record.jsonfile import read_table
from proxyreload.record.rundata import read_record
from proxyreload.system.wholefile import open_regular

#: A run file begins with this.
_OPENING = b"{"


@attrs.frozen
class RunPaths:
    """Where a run was written; without a run file the rows are all there is."""

    rows: Path
    run: Path | None = None

    @property
    def named(self) -> Path:
        """The file that stands for it."""
        return self.rows if self.run is None else self.run


def is_comparison(path: Path) -> bool:
    """Whether a file is what ``compare`` writes; raises `UsageError` where it cannot be read."""
    return _is_json(path) and "rows" in read_table(path).content


def find(path: Path) -> RunPaths:
    """Return a run's files by one of them: its ``run.json``, or bare rows; raises `UsageError`."""
    if not _is_json(path):
        return RunPaths(path)
    written = Path(read_record(path).csv or "data.csv")
    rows = beside(path, written)
    if rows is None:
        msg = f"{path}: its rows, {str(written)!r}, are not beside it"
        raise UsageError(msg)
    return RunPaths(rows, path)


def beside(path: Path, written: Path) -> Path | None:
    """Return where the file is that a run file at `path` calls `written`; None if it is nowhere.

    That is told relative to where the run was started, which is seldom known: beside its run file is the first guess.
    A name alone is nowhere else: what is called so where this program was started may be of any run.
    """
    elsewhere = [] if written == Path(written.name) else [written]
    for there in (path.parent / written, path.parent / written.name, *elsewhere):
        if os.path.isfile(there):  # noqa: PTH113  (which raises nothing, however long the name is)
            return there
    return None


def _is_json(path: Path) -> bool:
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return file.read(64).lstrip().startswith(_OPENING)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise UsageError(msg) from error
