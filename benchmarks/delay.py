"""How exact the delay line is at 2,000 far requests/s, and that no distance costs nothing.

`python -m benchmarks.delay`, against nginx on the other core. The line's own count of its error is held against what
the clients see: a hundred far ones and ten near ones share a run, at the same rate; by how much longer than the round
trip the far ones wait beyond the near ones is the error of both ways together.

A client sends one request at a time: at a round trip of 20 ms forty of them carry less than 2,000/s, and then it is the
answers that decide when they send, all in one bunch after a while. A hundred keep to the schedule.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import attrs

from benchmarks.logs import rows
from benchmarks.ours import Proxyreload, program
from benchmarks.peer import Job
from benchmarks.processes import BenchmarkError, Cores, pinned, run, tell
from benchmarks.quiet import watched
from benchmarks.rounds import Contestant, play, temporary
from benchmarks.servers import nginx, url
from benchmarks.table import lines_of
from proxyreload.record.csvfile import COLUMNS

RATE_PER_S, FAR, NEAR, RTT_MS = 2000, 100, 10, 20
#: What is asked: of the line's own p99, and of a distance of 0.
LATE_P99_US, COSTS_NOTHING = 500, 0.98
_PATIENCE_S = 60.0


@attrs.frozen
class Exact:
    """One run with near clients and far ones."""

    sent_per_s: float  #: by the far ones
    late_us: dict[str, int]  #: as the line counts it
    near_us: Sequence[int]  #: latencies from written to the first byte, sorted
    beyond_us: Sequence[int]  #: the far ones', less the round trip

    def cells(self) -> tuple[str, ...]:
        """Return a line of the table."""
        counted = (f"{self.late_us[f'late_{name}_us']} µs" for name in ("p50", "p99", "max"))
        seen = (f"{at(self.beyond_us, share)} / {at(self.near_us, share)} µs" for share in (0.5, 0.99))
        kept = "yes" if self.late_us["late_p99_us"] <= LATE_P99_US else "no"
        return (f"{self.sent_per_s:.0f}/s", *counted, kept, *seen)


def at(ordered: Sequence[int], share: float) -> int:
    """Return the value below which so much of them lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def exact(port: int, seconds: int, cores: Cores) -> Exact:
    """Measure once."""
    with temporary() as folder:
        table = {"kind": "get", "clients": FAR, "rate": RATE_PER_S, "rtt": RTT_MS}
        _drive(folder, port, seconds, cores, table, "--clients", str(NEAR), "--rate", str(RATE_PER_S))
        near, far = _latencies(folder / "data.csv")
        kept = json.loads((folder / "run.json").read_text("utf-8"))["summary"]["far"][0]
        return Exact(len(far) / seconds, kept, sorted(near), sorted(each - RTT_MS * 1000 for each in far))


def _latencies(path: Path) -> tuple[list[int], list[int]]:
    """Return those of the near clients, and of the far ones, which are numbered after them."""
    names = ("client", "kind", "written", "first byte", "failure")
    column = {name: COLUMNS.index(name) for name in names}
    near: list[int] = []
    far: list[int] = []
    for row in rows(path):
        client, kind, written, first_byte, failure = (row[column[name]] for name in names)
        if failure:
            msg = f"a request failed: {failure}"
            raise BenchmarkError(msg)
        if kind == "get":
            (near if int(client) < NEAR else far).append(int(first_byte) - int(written))
    if not near or not far:
        msg = "nothing was sent"
        raise BenchmarkError(msg)
    return near, far


def _drive(folder: Path, port: int, seconds: int, cores: Cores, table: dict[str, object], *words: str) -> None:
    lines = [f"duration = {seconds}", "[[traffic]]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    (folder / "traffic.toml").write_text("\n".join(lines) + "\n", "utf-8")
    files = ("--csv", "data.csv", "--run", "run.json", "--no-report", "--log", "none")
    command = [program(), url(port), "--no-backends", "--scenario", "traffic.toml", *words, *files]
    run([pinned(command, cores.measured)], folder / "output", seconds + _PATIENCE_S)


@attrs.frozen
class Grouped(Proxyreload):
    """Ten clients of a group in a closed loop, and hardly any other."""

    keys: str = ""

    def commands(self, job: Job) -> list[list[str]]:
        """Say what is sent in a scenario."""
        text = f"duration = {job.seconds}\n[[traffic]]\nkind = 'get'\nclients = {job.connections}\n{self.keys}"
        words = ["--scenario", job.write("traffic.toml", text), "--no-report"]
        options = ["--log", "none", "--csv", str(job.folder / "log"), "--run", str(job.folder / "run")]
        return [[self.program, job.url, "--no-backends", "--clients", "1", "--rate", "1", *words, *options]]


def report(rounds: int, seconds: int) -> Iterator[str]:
    """Measure, and give the lines of what came of it."""
    cores = Cores.choose()
    with temporary() as folder, watched(cores) as others, nginx(folder, cores.other) as (port,):
        head = ("far requests", "too late p50", "p99", "at most", f"p99 within {LATE_P99_US} µs")
        seen = tuple(f"beyond {RTT_MS} ms / near, {name}" for name in ("p50", "p99"))
        yield from lines_of((*head, *seen), [exact(port, seconds, cores).cells() for _ in range(rounds)])

        def contestant(name: str, keys: str) -> Contestant:
            return Contestant(name, lambda folder: Grouped(program(), keys).measure(_job(port, seconds, cores, folder)))

        contestants = [contestant("no distance", ""), contestant("a distance of 0", "rtt = 0\n")]
        ratios = play(contestants, rounds, _say).ratios("a distance of 0", "no distance")
    if ratios:
        ratio = median(ratios)
        judged = "nothing lost" if ratio >= COSTS_NOTHING else f"less than {COSTS_NOTHING:g}"
        yield f"\nA distance of 0 beside none: {ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f}), {judged}."
    yield f"Meanwhile {others}."


def _job(port: int, seconds: int, cores: Cores, folder: Path) -> Job:
    return Job(url(port), seconds, (cores.measured,), folder)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delay", description="the delay line's own error")
    parser.add_argument("--rounds", type=int, default=5, help="how often (%(default)s)")
    parser.add_argument("--seconds", type=int, default=5, help="for how long each time (%(default)s)")
    arguments = parser.parse_args()
    tell("delay", report(arguments.rounds, arguments.seconds))


if __name__ == "__main__":
    main()
