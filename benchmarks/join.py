"""What the ledger costs: a whole run with it, beside the same run without.

`python -m benchmarks.join`: haproxy, two backends and ten clients in a closed loop, with both cores for all of it, in
interleaved rounds. Without it nothing is joined: the backends tell what they see all the same, and nobody listens.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

from benchmarks.ours import WholeRun, program
from benchmarks.peer import Job
from benchmarks.processes import Cores, tell
from benchmarks.quiet import watched
from benchmarks.rounds import Contestant, play, temporary

#: What the join may cost of the rate.
MAY_COST = 0.05
_WITH, _WITHOUT = "with the ledger", "without"
_PROGRAM = """#!{python}
from proxyreload.entry import main
from proxyreload.ledger.ledger import Ledger

for name in ("exchanged", "arrived"):
    setattr(Ledger, name, lambda *_taken: None)
main()
"""


def without(folder: Path) -> str:
    """Return a program that joins nothing."""
    path = folder / "without"
    path.write_text(_PROGRAM.format(python=sys.executable), "utf-8")
    path.chmod(0o700)
    return str(path)


def report(rounds: int, seconds: int) -> Iterator[str]:
    """Measure, and give the lines of what came of it."""
    cores = Cores.choose()

    def contestant(name: str, started: str) -> Contestant:
        return Contestant(name, lambda folder: WholeRun(started).measure(Job("", seconds, cores.both, folder)))

    with temporary() as folder, watched(cores) as others:
        contestants = [contestant(_WITH, program()), contestant(_WITHOUT, without(folder))]
        measured = play(contestants, rounds, lambda line: print(line, file=sys.stderr, flush=True))
    ratios = measured.ratios(_WITH, _WITHOUT)
    for name, trouble in measured.troubles.items():
        yield f"In some round no rate {name}: {trouble}."
    if len(ratios) > 1:
        ratio = median(ratios)
        first, _second, third = quantiles(ratios, n=4)
        judged = "within" if ratio >= 1 - MAY_COST else "MORE than"
        rates = " and ".join(f"{measured.rate(name):,.0f}/s {name}" for name in (_WITH, _WITHOUT))
        yield f"The join's rate beside none: {ratio:.3f} (quartiles {first:.3f} to {third:.3f}; {rates}), "
        yield f"{judged} the {MAY_COST:.0%} that it may cost."
    yield f"Meanwhile {others}."


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.join", description="what the ledger costs")
    parser.add_argument("--rounds", type=int, default=10, help="how often (%(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="for how long each time (%(default)s)")
    arguments = parser.parse_args()
    tell("join", report(arguments.rounds, arguments.seconds))


if __name__ == "__main__":
    main()
