"""``python -m tests.fuzz TARGET… --seconds N | --runs N``: feeds each target, in a process of its own."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .targets import TARGETS


def main() -> int:
    """Feed what is asked for; returns how many targets failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all if none is named")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--seconds", type=int, default=0, help="how long each is fed")
    limit.add_argument("--runs", type=int, default=0, help="how many inputs each is fed")
    parser.add_argument("--seed", type=int, default=0, help="0: another each time")
    parser.add_argument("--again", type=Path, help="feed the one target named only what this file has")
    asked = parser.parse_args()
    unknown = set(asked.targets) - set(TARGETS)
    if unknown:
        parser.error(f"there is no target {unknown.pop()}; there are: {', '.join(TARGETS)}")
    if asked.again is not None:
        for name in asked.targets:
            TARGETS[name].take(asked.again.read_bytes())
        return 0
    failed = 0
    for name in asked.targets or TARGETS:
        folder = tempfile.mkdtemp(prefix=f"proxyreload-fuzz-{name}-")
        words = [f"--{limit}={getattr(asked, limit)}" for limit in ("seconds", "runs", "seed")]
        fed = subprocess.run([sys.executable, "-m", "tests.fuzz.feed", name, folder, *words], check=False)
        if fed.returncode:
            failed += 1
        else:  # what it found would be in it
            shutil.rmtree(folder)
    return failed


if __name__ == "__main__":
    sys.exit(main())
