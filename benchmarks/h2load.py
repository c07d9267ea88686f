"""h2load, of nghttp2: how many requests a second there are over HTTP/2; it checks statuses alone."""

import re

import attrs

from benchmarks.peer import Job
from benchmarks.versions import asked
from benchmarks.witness import Said, Witness

#: At once on each connection, as the kind `h2` has it.
STREAMS = 10


@attrs.frozen
class H2loadSays(Witness):
    """It says how many requests it has done and how many of them have failed."""

    name = "h2load"
    log = "none"
    connections = 10

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop, with prior knowledge."""
        return [[self.program, "-D", str(job.seconds), "-c", str(job.connections), "-m", str(STREAMS), job.url]]

    def said(self, text: str) -> Said:
        """Take its summary."""
        took = re.search(r"finished in ([\d.]+)(ms|s)", text)
        told = re.search(r"requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, (\d+) failed", text)
        if took is None or told is None:
            raise ValueError(text[:80])
        return Said(int(told[1]), int(told[2]), float(took[1]) / (1000 if took[2] == "ms" else 1))

    def version(self) -> str:
        """Return what it says of itself."""
        return asked(self.program, "--version")
