"""Reading the peers' logs."""

import csv
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import BenchmarkError

_BLOCK = 1 << 20


def rows(path: Path, *, head: bool = True) -> Iterator[list[str]]:
    """Read a CSV file row by row, without its head."""
    with path.open(newline="", encoding="utf-8") as file:
        read = csv.reader(file)
        if head:
            next(read, None)
        yield from read


def lines(path: Path) -> int:
    """Count a file's lines."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))


def require_200(status: str) -> None:
    """Refuse any other status; oha writes the phrase, too."""
    if not status.startswith("200"):
        msg = f"an answer with status {status or 'unknown'}"
        raise BenchmarkError(msg)
