"""How long the report of a long run takes: `python -m benchmarks.pictures [SECONDS]`, for some 20,000 exchanges each.

A real run through haproxy, its report made again, and the page opened in a headless Chromium (Debian's packages
chromium and chromium-driver).
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.ours import program
from benchmarks.processes import free_ports
from benchmarks.rounds import temporary
from tests.real.browser import browser

SECONDS = 60
TIMES = 3


def main() -> None:
    """Measure, and print the figures."""
    seconds = int(sys.argv[1]) if sys.argv[1:] else SECONDS
    first = free_ports(5)
    with temporary() as folder:
        words = ["--plugin", "haproxy", "--duration", str(seconds), "--log", "none", "--no-report"]
        ports = ["--first-port", str(first), "--front-port", str(first + 4)]
        subprocess.run([program(), *words, *ports], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        exchanges = json.loads((folder / "run.json").read_text("utf-8"))["summary"]["exchanges"]
        made = [made_s(folder) for _time in range(TIMES)]
        page = folder / "report.html"
        print(f"{exchanges} exchanges: report made in {median(made):.1f} s, {page.stat().st_size / 1e6:.2f} MB")
        print(f"opened and drawn in {median(opened_s(page)):.2f} s")


def made_s(folder: Path) -> float:
    """Make the report; returns how long that took, its start included."""
    began = time.perf_counter()
    subprocess.run([program(), "report", "run.json"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def opened_s(page: Path) -> list[float]:
    """Open the page; returns how long after it was asked for its figures were drawn."""
    with browser() as chromium:
        return [chromium.open(page) for _time in range(TIMES)]


if __name__ == "__main__":
    main()
