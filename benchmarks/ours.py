"""This project's own load generators: proxyreload, and what it would be on treq and `Agent` alone."""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import attrs

from benchmarks.logs import lines
from benchmarks.peer import Job, Measured, Peer
from benchmarks.processes import BenchmarkError, free_ports
from benchmarks.servers import haproxy_program
from benchmarks.versions import asked


def program() -> str:
    """Return proxyreload's own program, beside this Python."""
    path = Path(sys.executable).with_name("proxyreload")
    if not path.exists():
        msg = "proxyreload is not installed beside this Python"
        raise BenchmarkError(msg)
    return str(path)


@attrs.frozen
class Proxyreload(Peer):
    """This program: it watches a server that somebody else runs."""

    name = "proxyreload"
    log = "CSV, with ports"

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop, everything recorded, nothing shown."""
        return [[self.program, job.url, "--no-backends", *self.options(job)]]

    @staticmethod
    def options(job: Job) -> list[str]:
        """Return what every run of it takes."""
        traffic = ["--clients", str(job.connections), "--duration", str(job.seconds)]
        return [*traffic, "--log", "none", "--csv", str(job.folder / "log"), "--run", str(job.folder / "run")]

    def read(self, job: Job) -> Measured:
        """Take the run's summary, and hold the CSV file against it."""
        summary = json.loads((job.folder / "run").read_text("utf-8"))["summary"]
        logged = lines(job.folder / "log") - 1
        if summary["failure"] or logged != summary["success"]:
            msg = f"{summary['failure']} failures, {summary['success']} successes, {logged} rows"
            raise BenchmarkError(msg)
        return Measured(self.exchanges(summary), summary["duration_us"] / 1e6)

    def exchanges(self, summary: Mapping[str, Any]) -> int:
        """Return how many count."""
        return int(summary["success"])

    def version(self) -> str:
        """Ask it."""
        return asked(self.program, "--version")


@attrs.frozen
class WholeRun(Proxyreload):
    """A run that starts haproxy and two backends of its own, and changes nothing."""

    name = "proxyreload, whole"
    _scenario = "title = 'no change'\nbackends = [0, 1]\n"
    _more: ClassVar[tuple[str, ...]] = ()

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop through haproxy, everything recorded, nothing shown."""
        first = free_ports(3)
        scenario = ["--scenario", job.write("scenario.toml", self._scenario), "--backends", "2", *self._more]
        where = ["--binary", haproxy_program(), "--first-port", str(first), "--front-port", str(first + 2)]
        return [[self.program, "--plugin", "haproxy", *scenario, *where, *self.options(job), *self._alone(job)]]

    def _alone(self, job: Job) -> list[str]:
        """Ask for no other kinds of traffic; a proxyreload before there were any needs not be asked."""
        said = subprocess.run([self.program, "--help"], capture_output=True, text=True, check=True).stdout
        return ["--traffic", f"get={job.connections}"] if "--traffic=" in said else []


@attrs.frozen
class ApartRun(WholeRun):
    """The same with each backend in a process of its own."""

    name = "proxyreload, backends apart"
    _more: ClassVar[tuple[str, ...]] = ("--backend-processes",)


@attrs.frozen
class TreqAgent(Peer):
    """treq over Twisted's own `Agent`, on this Python: what proxyreload would be without its own connections."""

    name = "treq over Agent"
    log = "none"

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop, in this folder's script."""
        script = Path(__file__).with_name("treq_agent.py")
        return [[self.program, str(script), job.url, str(job.connections), str(job.seconds)]]

    def read(self, job: Job) -> Measured:
        """Take the counts that the script prints."""
        return Measured(**json.loads(job.output.read_text("utf-8")))

    def version(self) -> str:
        """Ask the packages."""
        return f"{version('treq')}, Twisted {version('twisted')}"
