"""What a load generator is: a command, and how its rate is read."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import attrs

from benchmarks.processes import BenchmarkError, pinned, run

#: How much longer than asked a program may take, for its start and for writing its log.
PATIENCE_S = 60.0


@attrs.frozen
class Job:
    """What one program is to do."""

    url: str
    seconds: int
    cores: tuple[int, ...]
    folder: Path  #: an empty one for its log
    connections: int = 10

    @property
    def output(self) -> Path:
        """Where its standard output goes."""
        return self.folder / "output"

    def write(self, name: str, text: str) -> str:
        """Write a file that it needs; returns its path."""
        path = self.folder / name
        path.write_text(text, "utf-8")
        return str(path)


@attrs.frozen
class Measured:
    """What it has done."""

    requests: int
    seconds: float

    @property
    def per_s(self) -> float:
        """Requests a second."""
        if not self.requests or self.seconds <= 0:
            msg = "no request succeeded"
            raise BenchmarkError(msg)
        return self.requests / self.seconds


@attrs.frozen
class Peer(ABC):
    """A load generator that was found on this machine."""

    program: str

    name: ClassVar[str]
    #: What it writes of each request.
    log: ClassVar[str]
    environment: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def commands(self, job: Job) -> list[list[str]]:
        """Return the pipeline that does the job."""

    @abstractmethod
    def read(self, job: Job) -> Measured:
        """Return what the job's log says; raises `BenchmarkError` unless all was answered with 200."""

    @abstractmethod
    def version(self) -> str:
        """Return its version."""

    def measure(self, job: Job) -> Measured:
        """Do the job, and read what came of it."""
        commands = [pinned(command, *job.cores) for command in self.commands(job)]
        run(commands, job.output, job.seconds + PATIENCE_S, self.environment)
        try:
            return self.read(job)
        except (LookupError, OSError, TypeError, ValueError) as error:
            msg = f"its log reads otherwise than expected ({error!r})"
            raise BenchmarkError(msg) from error
