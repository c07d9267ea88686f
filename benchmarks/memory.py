"""How much memory a long run takes: `python -m benchmarks.memory [EXCHANGES]`.

A real run, clients and backend in one process, with every record written; its resident memory at every million rows.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import psutil

from benchmarks.ours import program
from benchmarks.processes import BenchmarkError, Cores, end, free_ports, last_words, pinned
from benchmarks.rounds import temporary
from benchmarks.servers import url

EXCHANGES = 10_000_000
STEP = 1_000_000
ALLOWED_MB = 20
#: A run that is slower than this many exchanges/s is given up.
_SLOWEST_PER_S = 5_000
_LOOK_S = 0.05
_BLOCK = 1 << 22
_MB = 1e6


@attrs.frozen
class Memory:
    """Resident bytes at each step of exchanges."""

    step: int
    rss: tuple[int, ...]

    @property
    def growth_mb(self) -> float:
        """From the first step to the highest of the later ones."""
        return (max(self.rss) - self.rss[0]) / _MB


def memory(cores: Cores, exchanges: int, say: Callable[[str], None]) -> Memory:
    """Watch one run until it has written so many rows."""
    port, step = free_ports(2), min(STEP, exchanges)
    with temporary() as folder:
        log, said = folder / "log", folder / "output"
        options = ["--backends", "2", "--first-port", str(port), "--duration", str(exchanges // _SLOWEST_PER_S + 10)]
        command = [program(), url(port), *options, "--log", "none", "--csv", str(log), "--run", "run"]
        with said.open("wb") as output:
            process = subprocess.Popen(
                pinned(command, cores.measured), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder
            )
            try:
                rss = tuple(_watch(process, log, said, exchanges, step, say))
            finally:
                end(process)
        return Memory(step, rss)


def _watch(
    process: subprocess.Popen[bytes], log: Path, said: Path, exchanges: int, step: int, say: Callable[[str], None]
) -> Iterator[int]:
    """Give the resident bytes at every step of rows."""
    watched = psutil.Process(process.pid)
    rows = Rows(log)
    for aim in range(step, exchanges + 1, step):
        while rows.count() < aim:
            if process.poll() is not None:
                msg = f"the run ended after {rows.count()} exchanges"
                raise BenchmarkError(msg, last_words(said))
            time.sleep(_LOOK_S)
        rss: int = watched.memory_info().rss
        say(f"{aim:>11,} exchanges  {rss / _MB:7.1f} MB")
        yield rss


@attrs.define
class Rows:
    """Counts the rows of a file that grows."""

    path: Path
    _offset: int = 0
    _rows: int = -1  # the head is none

    def count(self) -> int:
        """Count what has come since the last time."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                for block in iter(lambda: file.read(_BLOCK), b""):
                    self._rows += block.count(b"\n")
                self._offset = file.tell()
        return self._rows


def main() -> None:
    """Measure by itself."""
    exchanges = int(sys.argv[1]) if len(sys.argv) > 1 else EXCHANGES
    try:
        used = memory(Cores.choose(), exchanges, print)
    except BenchmarkError as error:
        sys.exit(f"memory: {error}: {error.said}")
    print(f"growth after the first {used.step:,}: {used.growth_mb:.1f} MB (to be under {ALLOWED_MB} MB)")


if __name__ == "__main__":
    main()
