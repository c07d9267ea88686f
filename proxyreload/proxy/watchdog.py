"""Ends what a workspace left behind when this program is killed and can do so no more."""

import os
import subprocess
from pathlib import Path

import attrs

# Daemons are nobody's children, and some proxies overwrite their environment, but all of them stay in the folder that
# they were started in. Nothing is ever written to the guard: its reading ends when this program does.
_SCRIPT = """\
trap '' HUP INT TERM
read -r _
for process in /proc/[0-9]*; do
    if [ "$process/cwd" -ef "$1" ]; then kill -KILL "${process#/proc/}"; fi
done
for link in "$1"/elsewhere/*; do
    if [ -L "$link" ]; then rm -f "$(readlink "$link")"; fi
done
cd / && rm -rf "$1"
"""
#: The folder in a workspace's own with links to what is to be removed outside of it.
ELSEWHERE = "elsewhere"


@attrs.define(eq=False)
class Watchdog:
    """A shell that waits for the end of this process, to kill what runs in a folder and remove it."""

    _process: "subprocess.Popen[bytes]"

    @classmethod
    def of(cls, folder: Path) -> "Watchdog":
        """Guard `folder`, and the processes whose working directory it is."""
        process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "proxyreload-guard", os.fspath(folder)],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def dismiss(self) -> None:
        """End it: there is nothing left to guard."""
        self._process.kill()
        self._process.communicate()
