"""A long run with many changes: `python -m benchmarks.soak [--changes N]`.

A real proxy, its clients and its backends, changed again and again while its clients send at an even rate. Whatever a
change leaves behind shows after a thousand of them: memory, descriptors, processes, rows. It prints what it found, and
its exit status is 1 if anything of it grew, is missing, or has no explanation.

With `--mix` every kind of traffic is sent: a million exchanges, 200 changes.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

import attrs
import psutil

from benchmarks.accounts import Accounts, unexplained
from benchmarks.ours import program
from benchmarks.processes import BenchmarkError, end, free_ports, last_words
from benchmarks.rounds import temporary

#: After the first changes nothing may grow by more than this.
ALLOWED_MB = 20.0
#: Connections come and go with every change, so how many are open at a time is not quite the same each time: of the
#: medians this much more is no leak.
ALLOWED_DESCRIPTORS = 8
#: With every kind of traffic a proxy opens as many connections to backends as the moment asks for.
ALLOWED_SHARE_MIXED = 0.1
ALLOWED_CHILDREN = 2
#: Every kind twice, and twenty clients of `get` more: a million exchanges while 200 changes are made, for most of which
#: streams must end first.
_MIX = ("--clients", "10", "--traffic", "get=20,all,all", "--rtt", "20")
_MIXED_EXCHANGES, _MIXED_CHANGES, _MIXED_PACE_S = 1_000_000, 200, 2.0
_MB = 1e6
#: A process that has ended is collected long before that.
_REAPED_WITHIN_S = 5.0
_GONE_WITHIN_S = 5.0
_SAY_EVERY_S = 60.0
#: Exit statuses of a run that came to a verdict: nothing lost, or something.
_JUDGED = (0, 1)
_OVER = re.compile(rb"^ *[\d.]+  change (\d+): .* (?:applied|failed)\b", re.MULTILINE)


@attrs.frozen
class Soak:
    """What is run."""

    changes: int
    settled: int  #: the changes after which nothing may grow any more
    plugin: str
    pace_s: float
    rate_per_s: int
    look_s: float
    traffic: tuple[str, ...] = ("--traffic", "get=10")
    exchanges: int = 0  #: of other clients than those ten, at least

    def allowed_descriptors(self, before: float) -> float:
        """Return by how many the descriptors may grow where there were so many `before`."""
        return ALLOWED_DESCRIPTORS + (before * ALLOWED_SHARE_MIXED if self.traffic == _MIX else 0)

    def command(self, folder: Path) -> list[str]:
        """Return the run's command, which writes into this folder."""
        first = free_ports(5)
        changes = ["--repeat", str(self.changes // 2), "--pace", str(self.pace_s)]
        traffic = ["--rate", str(self.rate_per_s), *self.traffic]
        where = ["--first-port", str(first), "--front-port", str(first + 4)]
        written = ["--csv", str(folder / "rows.csv"), "--run", str(folder / "run.json")]
        return [
            *(program(), "--plugin", self.plugin, *changes, *traffic, *where, *written),
            *("--report", str(folder / "report.html"), "--log", "changes"),
        ]


@attrs.frozen
class Sample:
    """The run's process at one moment."""

    at_s: float
    changes: int  #: that were over by then
    rss: int
    descriptors: int
    children: int
    zombies: frozenset[int]


@attrs.define
class Said:
    """What the run says, as far as changes are concerned."""

    path: Path
    changes: int = 0  #: that are over
    _offset: int = 0

    def look(self) -> int:
        """Return how many changes are over by now."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            whole = file.read().rpartition(b"\n")[0]
        self._offset += len(whole)
        for found in _OVER.finditer(whole):
            self.changes = max(self.changes, int(found[1]))
        return self.changes


@attrs.frozen
class Outcome:
    """What the run left behind."""

    status: int
    rows: int
    exchanges: int
    changes: int
    alive: Sequence[str]  #: processes of its own that outlived it
    verdict: str
    mixed: int = 0  #: exchanges of other clients than the ten, and the probe
    unexplained: Sequence[str] = ()


def watched(soak: Soak, folder: Path, say: Callable[[str], None]) -> tuple[list[Sample], Outcome]:
    """Run it to its end, looking at it all the while."""
    said = folder / "output"
    started: dict[int, psutil.Process] = {}
    with said.open("wb") as output:
        process = subprocess.Popen(
            soak.command(folder), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder
        )
        try:
            samples = list(_samples(process, Said(said), soak, started, say))
        finally:
            end(process)
    _gone, alive = psutil.wait_procs(started.values(), timeout=_GONE_WITHIN_S)
    try:
        run: dict[str, Any] = json.loads((folder / "run.json").read_text("utf-8"))
        summary = run["summary"]
    except (OSError, ValueError, KeyError) as error:
        msg = f"the run ended with {process.returncode}, and its file is not whole"
        raise BenchmarkError(msg, last_words(said)) from error
    accounts = Accounts.of(folder / "rows.csv")
    outcome = Outcome(
        status=process.returncode,
        rows=accounts.rows,
        exchanges=summary["exchanges"],
        changes=sum(change["applied_us"] is not None for change in run["changes"]),
        alive=[f"{each.pid} {each.name()}" for each in alive if each.is_running()],
        verdict=f"{summary['verdict']}{''.join(f', {reason}' for reason in summary['reasons'][:1])}",
        mixed=accounts.mixed(run["options"]["clients"]),
        unexplained=unexplained(accounts, run),
    )
    return samples, outcome


def _samples(
    process: subprocess.Popen[bytes],
    said: Said,
    soak: Soak,
    started: dict[int, psutil.Process],
    say: Callable[[str], None],
) -> Iterator[Sample]:
    """Look at the process until it ends, and note what it has started."""
    begun, told_s = time.monotonic(), 0.0
    itself = psutil.Process(process.pid)
    while process.poll() is None:
        time.sleep(soak.look_s)
        at_s = time.monotonic() - begun
        try:
            children = itself.children(recursive=True)
            rss, descriptors = itself.memory_info().rss, itself.num_fds()
        except psutil.NoSuchProcess:
            return
        except psutil.AccessDenied:  # it is a zombie of ours by now
            continue
        started |= {child.pid: child for child in children}
        zombies = frozenset(child.pid for child in children if _is_zombie(child))
        sample = Sample(at_s, said.look(), rss, descriptors, len(children), zombies)
        if at_s - told_s >= _SAY_EVERY_S:
            told_s = at_s
            say(
                f"{at_s:7.0f} s  {sample.changes:5} changes  {rss / _MB:6.1f} MB  "
                f"{descriptors:3} descriptors  {len(children):2} children"
            )
        yield sample


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def report(soak: Soak, samples: Sequence[Sample], outcome: Outcome) -> tuple[list[str], list[str]]:
    """Return what was seen, and what of it should not be."""
    under_way = [each for each in samples if each.changes < soak.changes]
    early = [each for each in under_way if each.changes < soak.settled]
    late = [each for each in under_way if each.changes >= soak.settled]
    if not early or not late:
        return [], [f"{len(early)} looks at it before change {soak.settled}, {len(late)} after: too few to compare"]
    settled_rss, grown_rss = late[0].rss, max(each.rss for each in late)
    growth_mb = (grown_rss - settled_rss) / _MB
    # As many as the moment asks for, at most; what leaks is there all the time.
    begins, ends = early[len(early) // 2 :], late[len(late) * 2 // 3 :]
    descriptors = [median(each.descriptors for each in part) for part in (begins, ends)]
    children = [max(each.children for each in part) for part in (early, late)]
    unreaped = _unreaped(samples)
    seen = [
        f"{outcome.changes} changes in {samples[-1].at_s:.0f} s, {soak.plugin}: {outcome.verdict}",
        f"rows: {outcome.rows}, exchanges: {outcome.exchanges}, of the mix: {outcome.mixed}",
        f"unexplained: {len(outcome.unexplained)}",
        (
            f"memory: {settled_rss / _MB:.1f} MB after change {late[0].changes}, then {grown_rss / _MB:.1f} MB at most "
            f"(growth {growth_mb:.1f} MB, allowed {ALLOWED_MB:.0f}); "
            f"with the report {max(each.rss for each in samples) / _MB:.1f} MB"
        ),
        f"descriptors: {descriptors[0]:.0f} in the median right before that, {descriptors[1]:.0f} in the last third",
        f"children: at most {children[0]} until then, {children[1]} after; {len(outcome.alive)} outlived it",
    ]
    wrong = [
        (outcome.status not in _JUDGED, f"it ended with status {outcome.status}"),
        (outcome.changes != soak.changes, f"{outcome.changes} changes were applied, not {soak.changes}"),
        (outcome.rows != outcome.exchanges, f"{outcome.rows} rows of {outcome.exchanges} exchanges"),
        (
            outcome.mixed < soak.exchanges,
            f"{outcome.mixed} exchanges of the mix, not {soak.exchanges}: make --pace longer",
        ),
        (bool(outcome.unexplained), f"unexplained: {'; '.join(outcome.unexplained)}"),
        (growth_mb > ALLOWED_MB, f"memory grew by {growth_mb:.1f} MB"),
        (descriptors[1] > descriptors[0] + soak.allowed_descriptors(descriptors[0]), "descriptors grew"),
        (children[1] > children[0] + ALLOWED_CHILDREN, "processes grew"),
        (bool(unreaped), f"processes that ended and were not reaped: {', '.join(map(str, unreaped))}"),
        (bool(outcome.alive), f"processes outlived the run: {', '.join(outcome.alive)}"),
    ]
    return seen, [what for it_is, what in wrong if it_is]


def _unreaped(samples: Sequence[Sample]) -> list[int]:
    """Return the processes that had ended for long, and were there still."""
    since_s: dict[int, float] = {}
    found = set()
    for sample in samples:
        since_s = {pid: since_s.get(pid, sample.at_s) for pid in sample.zombies}
        found |= {pid for pid, ended_s in since_s.items() if sample.at_s - ended_s > _REAPED_WITHIN_S}
    return sorted(found)


def _arguments(words: Sequence[str]) -> Soak:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="A long run with many changes")
    parser.add_argument("--changes", type=int, help=f"how many (1000; with --mix {_MIXED_CHANGES})")
    parser.add_argument("--mix", action="store_true", help="send every kind of traffic")
    parser.add_argument("--exchanges", type=int, help=f"of the mix, at least ({_MIXED_EXCHANGES}; fewer of few)")
    parser.add_argument("--settled", type=int, help="after how many nothing may grow any more (100; a quarter of few)")
    parser.add_argument("--plugin", default="haproxy", help="the proxy and its mechanism (%(default)s)")
    parser.add_argument("--pace", type=float, help=f"seconds between two of them (3; with --mix {_MIXED_PACE_S:g})")
    parser.add_argument("--rate", type=int, default=200, help="requests a second (%(default)s)")
    parser.add_argument("--look", type=float, default=1.0, help="seconds between two looks (%(default)s)")
    told = parser.parse_args(words)
    wanted = told.changes or (_MIXED_CHANGES if told.mix else 1000)
    changes = max(4, wanted // 2 * 2)  # one is added, one removed
    settled = told.settled or min(100, changes // 4)
    pace_s = told.pace or (_MIXED_PACE_S if told.mix else 3.0)
    soak = Soak(changes, settled, told.plugin, pace_s, told.rate, told.look)
    if not told.mix:
        return soak
    exchanges = told.exchanges
    if exchanges is None:
        exchanges = _MIXED_EXCHANGES * min(changes, _MIXED_CHANGES) // _MIXED_CHANGES
    return attrs.evolve(soak, traffic=_MIX, exchanges=exchanges)


def _end(_number: int, _frame: FrameType | None) -> None:
    """End in order, so that the run is ended, and all that it has started."""
    raise SystemExit(2)


def main(words: Sequence[str]) -> int:
    """Run it and say what came of it; returns the exit status."""
    soak = _arguments(words)
    try:
        with temporary() as folder:
            seen, wrong = report(soak, *watched(soak, folder, lambda line: print(line, file=sys.stderr, flush=True)))
    except BenchmarkError as error:
        print(f"soak: {error}: {error.said}", file=sys.stderr)
        return 2
    for line in seen:
        print(line)
    for line in wrong:
        print(f"NOT AS IT SHOULD BE: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
