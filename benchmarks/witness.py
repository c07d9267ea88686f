"""Load generators as witnesses: what each of them says of errors.

Each runs with its own default number of connections (k6, whose is one, with ten), and asks for the name that the proxy
serves.
"""

import json
import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs

from benchmarks.peer import PATIENCE_S, Job, Measured, Peer
from benchmarks.peers import K6, Hey, Oha, Wrk, find
from benchmarks.processes import BenchmarkError, pinned, run
from proxyreload.proxy.recipe import HOSTNAME


@attrs.frozen
class Said:
    """What one run of a witness says at its end."""

    requests: int  #: that it has sent, those with an error included
    errors: int
    seconds: float  #: that it has sent for


class Witness(Peer):
    """A load generator beside a proxy that is changed."""

    connections: ClassVar[int]
    #: Whether it ends with the first error; the others say only at their end that there was one.
    ends_itself: ClassVar[bool] = False
    statuses: ClassVar[tuple[int, ...]] = (0,)

    @abstractmethod
    def said(self, text: str) -> Said:
        """Return what its standard output says; raises `ValueError` or `LookupError` where it says nothing."""

    def read(self, job: Job) -> Measured:
        """Return its rate, errors or not."""
        said = self.said(job.output.read_text("utf-8"))
        return Measured(said.requests, said.seconds)

    def look(self, job: Job, more: Sequence[str] = ()) -> Said:
        """Send for as long as the job says, or until the first error; `more` are options of this time."""
        *options, last = self.commands(job)[0]
        run(
            [pinned([*options, *more, last], *job.cores)],
            job.output,
            job.seconds + PATIENCE_S,
            self.environment,
            self.statuses,
        )
        try:
            return self.said(job.output.read_text("utf-8"))
        except (LookupError, TypeError, ValueError) as error:
            msg = f"{self.name} says otherwise than expected ({error!r})"
            raise BenchmarkError(msg) from error


@attrs.frozen
class WrkSays(Witness, Wrk):
    """wrk counts as `Socket errors` what ended without an answer, and as `Non-2xx` what was none."""

    connections = 10

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop."""
        options = ["-t", "1", "-c", str(job.connections), "-d", f"{job.seconds}s", "-H", f"Host: {HOSTNAME}"]
        return [[self.program, *options, job.url]]

    def said(self, text: str) -> Said:
        """Take its summary; a request without an answer is none of its requests."""
        total = _needed(re.search(r"(\d+) requests in", text))
        rate = _needed(re.search(r"Requests/sec: +([\d.]+)", text))
        sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        lost = sum(map(int, sockets.groups())) if sockets else 0
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        answered, per_s = int(total[1]), float(rate[1])
        return Said(answered + lost, lost + int(refused[1] if refused else 0), answered / per_s if per_s else 0.0)


@attrs.frozen
class HeySays(Witness, Hey):
    """hey lists statuses and errors. Go sends a GET again, unseen, where a connection it used before was closed."""

    connections = 50

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop, with the summary: its CSV leaves errors out."""
        options = ["-z", f"{job.seconds}s", "-c", str(job.connections), "-host", HOSTNAME]
        return [[self.program, *options, job.url]]

    def said(self, text: str) -> Said:
        """Add its two lists up."""
        took = _needed(re.search(r"Total:\s+([\d.]+) secs", text))
        statuses, _heading, errors = text.partition("Error distribution:")
        answers = {int(status): int(count) for status, count in re.findall(r"\[(\d+)\]\s+(\d+) responses", statuses)}
        lost = sum(int(count) for count in re.findall(r"^\s+\[(\d+)\]", errors, re.MULTILINE))
        if not answers and not lost:
            raise ValueError(text[:80])
        refused = sum(count for status, count in answers.items() if not _is_success(status))
        return Said(sum(answers.values()) + lost, refused + lost, float(took[1]))


@attrs.frozen
class OhaSays(Witness, Oha):
    """oha gives statuses and errors as JSON; what it gave up itself at its end stands among the errors."""

    connections = 50
    _own: ClassVar[tuple[str, ...]] = ("aborted due to deadline",)

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop, with the summary: its CSV leaves errors out."""
        options = ["--no-tui", "--output-format", "json", "-c", str(job.connections), "-z", f"{job.seconds}s"]
        return [[self.program, *options, "--host", HOSTNAME, job.url]]

    def said(self, text: str) -> Said:
        """Add its two lists up."""
        told: dict[str, Any] = json.loads(text)
        answers = {int(status): int(count) for status, count in told["statusCodeDistribution"].items()}
        errors = {what: int(count) for what, count in told["errorDistribution"].items()}
        lost = sum(count for what, count in errors.items() if what not in self._own)
        refused = sum(count for status, count in answers.items() if not _is_success(status))
        return Said(sum(answers.values()) + sum(errors.values()), refused + lost, float(told["summary"]["total"]))


@attrs.frozen
class K6Says(Witness, K6):
    """k6 counts `http_req_failed`, and its script ends the test with the first. Go sends a GET again, as in hey."""

    connections = 10
    ends_itself = True
    statuses = (0, 108)  #: of a test that was ended by its script
    _script = """\
import http from 'k6/http';
import exec from 'k6/execution';
export const options = {{ vus: {connections}, duration: '{seconds}s', discardResponseBodies: true }};
export default function () {{
  const answer = http.get('{url}', {{ headers: {{ Host: '{host}' }} }});
  if (answer.error_code || answer.status !== 200) exec.test.abort();
}}
export function handleSummary(data) {{
  return {{ stdout: JSON.stringify({{
    requests: data.metrics.http_reqs.values.count,
    failed: data.metrics.http_req_failed.values.passes,
    ms: data.state.testRunDurationMs,
  }}) }};
}}
"""

    def commands(self, job: Job) -> list[list[str]]:
        """Closed loop, with nothing but the summary."""
        text = self._script.format(connections=job.connections, seconds=job.seconds, url=job.url, host=HOSTNAME)
        return [[self.program, "run", "--quiet", "--no-usage-report", job.write("script.js", text)]]

    def said(self, text: str) -> Said:
        """Take what its script prints."""
        told: dict[str, float] = json.loads(text)
        return Said(int(told["requests"]), int(told["failed"]), told["ms"] / 1000)


WITNESSES: tuple[type[Witness], ...] = (WrkSays, HeySays, OhaSays, K6Says)


def witnesses() -> tuple[list[Witness], list[str]]:
    """Return those that are installed, and the names of those that are not."""
    found = [(kind, find(kind)) for kind in WITNESSES]
    return (
        [peer for _kind, peer in found if isinstance(peer, Witness)],
        [kind.name for kind, peer in found if peer is None],
    )


def _is_success(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004


def _needed(found: re.Match[str] | None) -> re.Match[str]:
    if found is None:
        msg = "no summary"
        raise ValueError(msg)
    return found
