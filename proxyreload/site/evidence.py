"""What a run has left, put beside its page: whoever doubts a cell has all that it was told from."""

import gzip
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import attrs

from proxyreload.site.address import plain_part
from proxyreload.site.edition import RowTold, TrialTold
from proxyreload.system.untrusted import printable
from proxyreload.system.wholefile import open_regular

_MB = 1_000_000
RUN, ROWS, LOSSES, REPORT, LOG = "run.json", "data.csv", "losses.csv", "report.html", "proxy.log"
CONFIGURATION = "configuration"
#: What is copied as it is, and how long it may be.
_COPIED = {RUN: 64 * _MB, LOSSES: 64 * _MB}
_REPORT_LIMIT = 16 * _MB
_LOG_LIMIT = 2 * _MB
#: A browser shows these as the text they are, whatever is in them.
_AS_TEXT = ".txt"
_FILES_AT_MOST = 200
_FILE_LIMIT = _MB
_DEPTH_AT_MOST = 6
#: A report has scripts of its own. It is not ours any more once somebody else has had it: whatever is in it by then,
#: it loads nothing and sends nothing.
_FENCE = (
    b'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="'
    b"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    b"base-uri 'none'; form-action 'none'\">\n"
)


@attrs.frozen
class Wanted:
    """What goes into the site besides what is always in it."""

    rows_mb: float = 5.0  #: rows that are longer, gzipped, stay out
    reports: bool = True


@attrs.frozen
class Evidence:
    """What there is of one run, by its names within the run's folder; empty where there is none."""

    round: int
    folder: str  #: in the site
    run: str
    rows: str
    losses: str
    report: str
    log: str
    configuration: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Every name."""
        return (*filter(None, (self.run, self.rows, self.losses, self.report, self.log)), *self.configuration)


def folder_of(row: RowTold, trial: TrialTold) -> str:
    """Return where a run's files are in the site."""
    return f"cell/{row.part}/round-{trial.round}"


def evidence_in(site: Path, folder: str, number: int) -> Evidence:
    """Return what a folder of the site has of a run."""
    place = site / folder
    configuration = sorted(path for path in (place / CONFIGURATION).rglob(f"*{_AS_TEXT}") if path.is_file())
    return Evidence(
        round=number,
        folder=folder,
        run=_there(place, RUN),
        rows=_there(place, f"{ROWS}.gz"),
        losses=_there(place, LOSSES),
        report=_there(place, REPORT),
        log=_there(place, LOG + _AS_TEXT),
        configuration=tuple(path.relative_to(place).as_posix() for path in configuration[:_FILES_AT_MOST]),
    )


def _there(place: Path, name: str) -> str:
    return name if (place / name).is_file() else ""


def put_evidence(comparison: Path, trial: TrialTold, into: Path, wanted: Wanted) -> Iterator[str]:
    """Copy what a run has left into a folder; yield what had to stay out, and why, a line each.

    Nothing is read but what is in the folder of the comparison's file: its paths are somebody else's words. Raises
    `OSError` if the copy cannot be written.
    """
    within = Path(os.path.realpath(comparison.parent))
    run = comparison.parent / trial.run
    if not trial.run or run.name != RUN or not _readable(run, within):
        if trial.run:
            yield f"{printable(trial.run)}: no {RUN} in the folder of {comparison.name}"
        return
    place = run.parent
    for name, limit in _COPIED.items():
        yield from _copy(place / name, within, into / name, limit)
    if wanted.reports:
        yield from _copy(place / REPORT, within, into / REPORT, _REPORT_LIMIT, before=_FENCE)
    yield from _copy(place / LOG, within, into / (LOG + _AS_TEXT), _LOG_LIMIT)
    for file in _configuration(place / CONFIGURATION):
        parts = [plain_part(part) for part in file.parts]
        copy = into.joinpath(CONFIGURATION, *parts[:-1], parts[-1] + _AS_TEXT)
        yield from _copy(place / CONFIGURATION / file, within, copy, _FILE_LIMIT)
    if wanted.rows_mb:
        yield from _pack(place / ROWS, within, into / f"{ROWS}.gz", int(wanted.rows_mb * _MB))


def _configuration(folder: Path) -> list[Path]:
    """Return the names of the files in it, a bounded number, and none from a folder that is a link."""
    found: list[Path] = []
    for place, below, names in os.walk(folder):
        here = Path(place).relative_to(folder)
        below.sort()
        if len(here.parts) >= _DEPTH_AT_MOST:
            below.clear()
        found += [here / name for name in sorted(names)]
        if len(found) >= _FILES_AT_MOST:
            break
    return found[:_FILES_AT_MOST]


def _readable(path: Path, within: Path) -> bool:
    """Whether it is a file that is, behind links, in the folder."""
    try:
        real = Path(os.path.realpath(path))
    except ValueError:  # a name that no file can have
        return False
    return real.is_relative_to(within) and os.path.isfile(real)  # noqa: PTH113  (which raises nothing)


def _copy(path: Path, within: Path, to: Path, limit: int, before: bytes = b"") -> Iterator[str]:
    if not _readable(path, within):
        return
    if path.stat().st_size > limit:
        yield f"{path}: longer than {limit} bytes"
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as file, to.open("wb") as copy:
        copy.write(before)
        copy.write(file.read(limit))


def _pack(path: Path, within: Path, to: Path, limit: int) -> Iterator[str]:
    """Copy rows gzipped, the same bytes whenever that is done."""
    if not _readable(path, within):
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as file, to.open("wb") as copy:
        with gzip.GzipFile(filename="", mode="wb", fileobj=copy, mtime=0) as packed:
            shutil.copyfileobj(file, packed)
        length = copy.tell()
    if length > limit:
        to.unlink()
        yield f"{path}: longer than {limit} bytes when gzipped"


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(open_regular(path), "rb")
