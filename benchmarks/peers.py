"""The peers: one class each, with its command and how its rate is read.

Every rate counts successes that the program itself has logged (or, where it keeps no log, summed up), over the time
from its first request to its last answer: neither its start nor writing its log afterwards is held against it. An
answer that is not 200 ends the measurement.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import attrs

from benchmarks.logs import require_200, rows
from benchmarks.peer import Job, Measured, Peer
from benchmarks.processes import BenchmarkError
from benchmarks.versions import asked, built_in


@attrs.frozen
class Hey(Peer):
    """hey (Go): keeps its results in memory and writes them at the end, a million at most."""

    name = "hey"
    log = "CSV, no ports"
    _kept = 1_000_000

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop."""
        return [[self.program, "-z", f"{job.seconds}s", "-c", str(job.connections), "-o", "csv", job.url]]

    def read(self, job: Job) -> Measured:
        """Count the rows; offsets count from the start."""
        count, last_s = 0, 0.0
        for row in rows(job.output):
            require_200(row[6])
            count += 1
            last_s = max(last_s, float(row[7]) + float(row[0]))
        if count >= self._kept:
            msg = f"hey keeps no more than {self._kept} results: measure for fewer seconds"
            raise BenchmarkError(msg)
        return Measured(count, last_s)

    def version(self) -> str:
        """It has no option for that."""
        return built_in(self.program)


@attrs.frozen
class Vegeta(Peer):
    """vegeta (Go): attacks, and a second process makes CSV of it, on the same core."""

    name = "vegeta"
    log = "CSV, no ports"

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop: rate 0 is as fast as the workers can."""
        workers = str(job.connections)
        target = job.write("target", f"GET {job.url}\n")
        rate = ["-rate", "0", "-workers", workers, "-max-workers", workers, "-connections", workers]
        attack = [self.program, "attack", "-targets", target, *rate, "-duration", f"{job.seconds}s"]
        return [attack, [self.program, "encode", "-to", "csv"]]

    def read(self, job: Job) -> Measured:
        """Count the rows: when (ns), status, how long (ns), …"""
        count, first_ns, last_ns = 0, sys.maxsize, 0
        for row in rows(job.output, head=False):
            require_200(row[1])
            count += 1
            began_ns = int(row[0])
            first_ns, last_ns = min(first_ns, began_ns), max(last_ns, began_ns + int(row[2]))
        return Measured(count, (last_ns - first_ns) / 1e9)

    def version(self) -> str:
        """Its own option says nothing where `go install` built it."""
        return built_in(self.program)


@attrs.frozen
class K6(Peer):
    """k6 (Go): a script in JavaScript, and a dozen rows for each request."""

    name = "k6"
    log = "CSV, no ports"
    environment: ClassVar[Mapping[str, str]] = {"K6_CSV_TIME_FORMAT": "unix_micro"}
    _script = """\
import http from 'k6/http';
export const options = {{ vus: {connections}, duration: '{seconds}s', discardResponseBodies: true }};
export default function () {{ http.get('{url}'); }}
"""

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop."""
        text = self._script.format(connections=job.connections, seconds=job.seconds, url=job.url)
        options = ["--quiet", "--no-usage-report", "--out", f"csv={job.folder / 'log'}"]
        return [[self.program, "run", *options, job.write("script.js", text)]]

    def read(self, job: Job) -> Measured:
        """Count the rows of one metric, stamped when each answer has come; all begin with the first one's request."""
        count, first_us, last_us = 0, 0.0, 0.0
        for row in rows(job.folder / "log"):
            if row[0] == "http_reqs":
                require_200(row[13])
                count += 1
                last_us = max(last_us, float(row[1]))
            elif row[0] == "http_req_duration":
                began_us = float(row[1]) - float(row[2]) * 1000
                first_us = min(first_us, began_us) if first_us else began_us
        return Measured(count, (last_us - first_us) / 1e6)

    def version(self) -> str:
        """Ask it."""
        return asked(self.program, "version")


@attrs.frozen
class Oha(Peer):
    """oha (Rust, hyper): keeps its results in memory, successes only, and writes them at the end."""

    name = "oha"
    log = "CSV, successes only, no ports"

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop."""
        return [[self.program, *self.options(job), job.url]]

    @staticmethod
    def options(job: Job) -> list[str]:
        """Return what every run of it takes."""
        return ["--no-tui", "--output-format", "csv", "-c", str(job.connections), "-z", f"{job.seconds}s"]

    def read(self, job: Job) -> Measured:
        """Count the rows: start, …, duration, bytes, status."""
        count, last_s = 0, 0.0
        for row in rows(job.output):
            require_200(row[6])
            count += 1
            last_s = max(last_s, float(row[0]) + float(row[4]))
        return Measured(count, last_s)

    def version(self) -> str:
        """Ask it."""
        return asked(self.program, "--version")


@attrs.frozen
class Wrk(Peer):
    """wrk (C): what the server and the kernel can do."""

    name = "wrk"
    log = "none"

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop, one thread: one core is all it gets."""
        seconds = f"{job.seconds}s"
        return [[self.program, "-t", "1", "-c", str(job.connections), "-d", seconds, job.url]]

    def read(self, job: Job) -> Measured:
        """Take its summary, where it counts all answers and says which were not successes."""
        text = job.output.read_text("utf-8")
        trouble = re.search(r"Non-2xx.*|Socket errors.*", text)
        rate = re.search(r"Requests/sec: +([\d.]+)", text)
        total = re.search(r"(\d+) requests in", text)
        if trouble or not rate or not total:
            msg = f"{trouble[0] if trouble else 'no summary'}"
            raise BenchmarkError(msg)
        return Measured(int(total[1]), int(total[1]) / float(rate[1]))

    def version(self) -> str:
        """Ask it."""
        return asked(self.program, "-v")


@attrs.frozen
class Locust(Peer):
    """locust (Python, gevent), with its fast client."""

    name = "locust"
    log = "none"
    _script = """\
from locust import FastHttpUser, constant, task
class Client(FastHttpUser):
    wait_time = constant(0)
    @task
    def get(self):
        self.client.get("/")
"""

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop, in one process."""
        users, seconds = str(job.connections), f"{job.seconds}s"
        script = job.write("locustfile.py", self._script)
        options = ["--headless", "--only-summary", "--json", "--loglevel", "WARNING"]
        return [[self.program, "-f", script, *options, "-u", users, "-r", users, "-t", seconds, "--host", job.url[:-1]]]

    def read(self, job: Job) -> Measured:
        """Take its summary."""
        (requests,) = json.loads(job.output.read_text("utf-8"))
        if requests["num_failures"]:
            msg = f"{requests['num_failures']} failures"
            raise BenchmarkError(msg)
        return Measured(requests["num_requests"], requests["last_request_timestamp"] - requests["start_time"])

    def version(self) -> str:
        """Ask it."""
        return asked(self.program, "--version")


#: All that are not of this checkout.
PEERS: tuple[type[Peer], ...] = (Hey, Vegeta, K6, Oha, Wrk, Locust)


def find(kind: type[Peer]) -> Peer | None:
    """Find a peer on PATH, where go and cargo install, and beside this Python."""
    home = Path.home()
    places = [os.environ.get("PATH", ""), home / "go/bin", home / ".cargo/bin", Path(sys.executable).parent]
    program = shutil.which(kind.name, path=os.pathsep.join(map(str, places)))
    return None if program is None else kind(program)
