"""`python -m benchmarks`: measure, print, and with --write keep what came of it in `results.md`."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from benchmarks.memory import EXCHANGES
from benchmarks.processes import BenchmarkError, Cores
from benchmarks.proof import BOUND_S, TRIES, Proving
from benchmarks.report import NAMES, chosen, report
from benchmarks.sections import Bench

RESULTS = Path(__file__).with_name("results.md")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="proxyreload beside its peers")
    parser.add_argument("section", nargs="*", help=f"{', '.join(NAMES)}; or all")
    parser.add_argument("--rounds", type=_whole, default=5, help="how often each is measured (%(default)s)")
    parser.add_argument("--seconds", type=_whole, default=5, help="for how long each time (%(default)s)")
    parser.add_argument("--exchanges", type=_whole, default=EXCHANGES, help="for the memory (%(default)s)")
    parser.add_argument("--tries", type=_whole, default=TRIES, help="at each race, for the proof (%(default)s)")
    parser.add_argument("--bound", type=_whole, default=BOUND_S, help="seconds of each try at most (%(default)s)")
    parser.add_argument("--against", default="", help="another proxyreload's program, measured in the same rounds")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    return parser.parse_args()


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = "must be 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return number


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _end(_number: int, _frame: FrameType | None) -> None:
    """End in order, so that every process is ended that was started."""
    raise SystemExit(1)


def main() -> None:
    """Run it."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _end)
    lines = []
    try:
        bench = Bench(Cores.choose(), arguments.rounds, arguments.seconds, _say, arguments.against)
        proving = Proving(arguments.tries, arguments.bound)
        for line in report(bench, chosen(arguments.section, arguments.exchanges, proving)):
            print(line, flush=True)
            lines.append(line)
    except BenchmarkError as error:
        sys.exit(f"benchmarks: {error}")
    if arguments.write:
        RESULTS.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
