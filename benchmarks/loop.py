"""A proxy of ours that is changed again and again, at fixed times, while something sends to it."""

import csv
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from benchmarks.ours import program
from benchmarks.processes import BenchmarkError, end, free_ports, last_words, pinned

#: Between two changes, whoever sends.
EVERY_S = 1.0
#: So many that one which was removed stays away for longer than a proxy goes on trying it.
BACKENDS = 8
_READY_S = 60.0
_ENDS_WITHIN_S = 60.0
_LOOK_S = 0.05
_FAILURE = "failure"


@attrs.define
class Rows:
    """The rows of a run's `data.csv`, as they come."""

    path: Path
    _offset: int = 0
    _head: list[str] = attrs.field(factory=list)

    def more(self) -> Iterator[dict[str, str]]:
        """Give those that have come since the last time, by column."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self._offset)
            whole = file.read().rpartition(b"\n")[0] + b"\n"
            if len(whole) > 1:
                self._offset += len(whole)
                lines = whole.decode("utf-8").splitlines()
                if not self._head:
                    self._head = next(csv.reader([lines.pop(0)]))
                yield from csv.DictReader(lines, fieldnames=self._head)


@attrs.frozen
class Loop:
    """The run while its block runs."""

    process: subprocess.Popen[bytes]
    port: int  #: of the proxy
    log: Path
    said: Path

    def require_alive(self) -> None:
        """Raise `BenchmarkError` if the run has ended by itself."""
        if self.process.poll() is not None:
            msg = f"the run ended with {self.process.returncode}"
            raise BenchmarkError(msg, last_words(self.said))

    def wait_for(self, *, failure: bool, limit_s: float) -> bool:
        """Wait until a row is there, or one with a failure; returns whether it is."""
        rows, until = Rows(self.log), time.monotonic() + limit_s
        while time.monotonic() < until:
            if any(not failure or row[_FAILURE] for row in rows.more()):
                return True
            self.require_alive()
            time.sleep(_LOOK_S)
        return False

    def stop(self) -> None:
        """End it in order: what is under way gets its answers, the proxy is stopped as its plugin does it."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_ENDS_WITHIN_S)


def scenario(seconds: float) -> str:
    """Return what is changed when: one more backend, one less, and so on."""
    text = [f"title = 'a change every {EVERY_S:g} s'", f"duration = {seconds}", "backends = [0, 1]"]
    for number in range(int((seconds - 0.1) / EVERY_S)):
        cycle, removes = divmod(number, 2)
        what = f"remove = {cycle % BACKENDS}" if removes else f"add = {(cycle + 2) % BACKENDS}"
        text += ["[[step]]", f"at = {(number + 1) * EVERY_S}", what]
    return "\n".join(text) + "\n"


@contextmanager
def changing(mechanism: str, traffic: Sequence[str], seconds: float, folder: Path, *cores: int) -> Iterator[Loop]:
    """Run it; the block begins when the run's own clients have sent, a second before its first change.

    Raises `BenchmarkError` if it does not start.
    """
    first = free_ports(BACKENDS + 1)
    port = first + BACKENDS
    steps, log, said = folder / "loop.toml", folder / "loop.csv", folder / "loop.log"
    steps.write_text(scenario(seconds), "utf-8")
    where = ["--backends", str(BACKENDS), "--first-port", str(first), "--front-port", str(port)]
    written = ["--csv", str(log), "--run", str(folder / "loop.json"), "--no-report", "--log", "none"]
    command = [program(), "--plugin", mechanism, "--scenario", str(steps), *where, *written, *traffic]
    with said.open("wb") as output:
        process = subprocess.Popen(
            pinned(command, *cores), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder
        )
        loop = Loop(process, port, log, said)
        try:
            if not loop.wait_for(failure=False, limit_s=_READY_S):
                msg = f"{mechanism} did not start"
                raise BenchmarkError(msg, last_words(said))
            yield loop
            loop.stop()
        finally:
            end(process)
