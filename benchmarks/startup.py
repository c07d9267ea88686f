"""How long a start takes: of `--version`, which needs next to nothing, and of `--help`, which imports what runs do."""

import subprocess
import time

from benchmarks.ours import program

TIMES = 15
OPTIONS = ("--version", "--help")


def startup_s(times: int = TIMES) -> dict[str, list[float]]:
    """Start it so many times with each option; returns how long each took, after one that is not counted."""
    return {option: [_once(option) for _ in range(times + 1)][1:] for option in OPTIONS}


def _once(option: str) -> float:
    began = time.perf_counter()
    subprocess.run([program(), option], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
