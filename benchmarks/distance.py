"""What clients far away lose in each change, beside the formula: `python -m benchmarks.distance [MECHANISM…]`.

Twenty clients through the real proxies with a distance, that rest for 5 ms on average between two requests, drawn anew
each time: else they would fall into step, and all of them or none be lost. The formula is round trip / (round trip +
rest + service) of them; how long a client takes from one request to the next is taken from the run itself. Beside it
stands what the verdict *racy* says where as many clients rest for seconds, without a distance. These are counts, but a
busy machine makes the service longer, and lets a proxy answer, and then close, much at once.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import attrs

from benchmarks.logs import rows
from benchmarks.ours import program
from benchmarks.processes import BenchmarkError, free_ports, last_words, run, tell
from benchmarks.rounds import temporary
from benchmarks.table import lines_of
from proxyreload.record.csvfile import COLUMNS
from proxyreload.verdict.race import DISTANCES_MS, lost_share

MECHANISMS = ("nginx:reload", "haproxy:reload", "caddy:load", "nginx:reload-min-timeout", "haproxy:reload-idle")
CLIENTS = 20
#: Between two requests, drawn from this range.
GAP_S, LONG_GAP_S = (0.0, 0.01), (1, 5)
#: The keep-alive race, as it is met on a connection that has carried requests before.
RACE = frozenset(f"{how} before response, reused" for how in ("closed", "reset"))
#: A change, its proof and the pause after it take less, also where others work.
_LONGEST_CHANGE_S = 30.0
_US_PER_MS = 1000


@attrs.frozen
class Far:
    """What one run with a distance has lost."""

    rtt_ms: int
    lost: tuple[int, ...]  #: by that race, in each change
    others: int  #: failures of any other class
    reckoned: float  #: by the formula, in each change
    late_p99_us: int  #: of the delay line

    @property
    def per_change(self) -> float:
        """On average."""
        return mean(self.lost)

    def __str__(self) -> str:
        """Say it in a table's cell: what was lost, and what the formula says."""
        more = f" (and {self.others} otherwise)" if self.others else ""
        return f"{self.per_change:.1f}{more}; {self.reckoned:.1f}"


def far(mechanism: str, rtt_ms: int, changes: int, pace_s: float) -> Far:
    """Measure one distance."""
    with temporary() as folder:
        told = _run(folder, mechanism, changes, pace_s, gap=list(GAP_S), rtt=rtt_ms)
        cycle_ms = _cycle_ms(folder / "data.csv")
    made = told["changes"]
    failures = [change["kinds"].get("idle", {}).get("failures", {}) for change in made]
    lost = tuple(sum(number for name, number in each.items() if name in RACE) for each in failures)
    others = sum(sum(each.values()) for each in failures) - sum(lost)
    kept = told["summary"]["far"][0]
    # On a busy machine the way is longer than was asked for.
    way_ms = rtt_ms + 2 * kept["late_mean_us"] / _US_PER_MS
    reckoned = CLIENTS * lost_share(way_ms, max(0.0, cycle_ms - way_ms))
    return Far(rtt_ms, lost, others, reckoned, kept["late_p99_us"])


def racy(mechanism: str, changes: int, pace_s: float) -> str:
    """Return what the verdict says of clients that rest, without a distance, for as many connections closed."""
    with temporary() as folder:
        told = _run(folder, mechanism, changes, pace_s, gap=list(LONG_GAP_S))
    races = [change["race"] for change in told["changes"] if change["race"]]
    if not races:
        return "nothing closed"
    closed = sum(race["closed"] for race in races)
    lost = [sum(race["lost_at_ms"][str(ms)] for race in races) for ms in DISTANCES_MS]
    return " / ".join(f"{each * CLIENTS / closed:.1f}" for each in lost)


def table(mechanisms: Sequence[str], changes: int, pace_s: float) -> Iterator[str]:
    """Measure, and give the table's lines."""
    lines = []
    for mechanism in mechanisms:
        cells = [_cell(partial(far, mechanism, rtt_ms), changes, pace_s) for rtt_ms in DISTANCES_MS]
        lines.append((f"`{mechanism}`", *cells, _cell(partial(racy, mechanism), changes, pace_s)))
        _say("  ".join(lines[-1]))
    head = (
        "lost in a change; by the formula",
        *(f"{ms} ms" for ms in DISTANCES_MS),
        f"*racy* says, of {CLIENTS} that rest",
    )
    yield from lines_of(head, lines)
    yield f"\n{CLIENTS} clients, {changes} changes each; {_load()}."


def _cell(measure: Callable[[int, float], object], changes: int, pace_s: float) -> str:
    """Return what was measured, or why it was not."""
    try:
        measured = measure(changes, pace_s)
    except BenchmarkError as error:
        return f"{error} {error.said}".strip()
    if isinstance(measured, Far):
        _say(f"{measured.rtt_ms} ms: {measured.lost}, each way too long by p99 {measured.late_p99_us} µs")
    return str(measured)


def _run(folder: Path, mechanism: str, changes: int, pace_s: float, **table: object) -> dict[str, Any]:
    """Let proxyreload make so many changes under clients with these keys; returns its `run.json`."""
    first = free_ports(5)
    (folder / "far.toml").write_text(_scenario(changes, pace_s, table), "utf-8")
    where = ("--first-port", str(first), "--front-port", str(first + 4))
    # Few near clients, and backends that stay: what is lost is lost by the distance alone.
    beside = ("--clients", "1", "--rate", "10", "--stop-removed", "never", "--no-report", "--log", "none")
    words = [*beside, *where, "--scenario", "far.toml", "--csv", "data.csv", "--run", "run.json"]
    # It ends with 1 where something was lost.
    shell = ["sh", "-c", '"$@"; test $? -le 1', "sh", program(), "--plugin", mechanism, *words]
    try:
        run([shell], folder / "output", changes * _LONGEST_CHANGE_S, {"TMPDIR": str(folder)})
    except BenchmarkError as error:
        reason = last_words(folder / "output").rpartition("verdict: ")[2].partition(" / ")[0]
        msg = f"no valid run ({reason})"
        raise BenchmarkError(msg, error.said) from error
    told: dict[str, Any] = json.loads((folder / "run.json").read_text("utf-8"))
    return told


def _scenario(changes: int, pace_s: float, table: Mapping[str, object]) -> str:
    """Return one that rolls through four backends, as `--repeat` does."""
    keys = {"kind": "idle", "clients": CLIENTS, **table}
    lines = [
        f"duration = {(changes + 3) * pace_s:g}",
        "[[traffic]]",
        *(f"{key} = {json.dumps(value)}" for key, value in keys.items()),
    ]
    for number in range(changes):
        step = f"remove = {number // 2 % 4}" if number % 2 else f"add = {(number // 2 + 2) % 4}"
        lines += ["[[step]]", f"pause = {pace_s:g}", "[[step]]", step]
    # Who rests on a connection to the old process is still to ask it once more.
    return "\n".join([*lines, "[[step]]", f"pause = {2 * pace_s:g}", ""])


def _cycle_ms(path: Path) -> float:
    """Return how long it takes from a request to the next over the same connection, on average."""
    column = {name: COLUMNS.index(name) for name in ("client", "connection", "kind", "written", "failure")}
    before: dict[tuple[str, str], int] = {}
    cycles: list[int] = []
    for row in rows(path):
        if row[column["kind"]] != "idle" or not row[column["written"]]:
            continue
        carrier, written_us = (row[column["client"]], row[column["connection"]]), int(row[column["written"]])
        if carrier in before and not row[column["failure"]]:
            cycles.append(written_us - before[carrier])
        before[carrier] = written_us
    if not cycles:
        msg = "no client sent two requests over one connection"
        raise BenchmarkError(msg)
    return mean(cycles) / _US_PER_MS


def _load() -> str:
    one, five, _fifteen = os.getloadavg()
    return f"load {one:.1f} (five minutes: {five:.1f}) on {os.cpu_count()} processors"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distance", description="losses a network away")
    parser.add_argument("mechanism", nargs="*", default=MECHANISMS, help=", ".join(MECHANISMS))
    parser.add_argument("--changes", type=int, default=20, help="for each cell (%(default)s)")
    parser.add_argument("--pace", type=float, default=1.0, help="seconds between two (%(default)s)")
    arguments = parser.parse_args()
    tell("distance", table(arguments.mechanism, arguments.changes, arguments.pace))


if __name__ == "__main__":
    main()
