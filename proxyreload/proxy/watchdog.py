"""Ends what a workspace left behind when this program is killed and can do so no more."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import attrs
import psutil

from proxyreload.errors import ExitStatus
from proxyreload.system.standard import put, say

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
_NAME = "proxyreload-guard"
_SHOW_CURSOR = b"\x1b[?25h"
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
            ["/bin/sh", "-c", _SCRIPT, _NAME, os.fspath(folder)],
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


def is_guard(process: psutil.Process) -> bool:
    """Whether this is a guard, and no process of a proxy; raises `psutil.Error` of one that is gone."""
    return _NAME in process.cmdline()


def is_guards(title: str) -> bool:
    """Whether this is what a guard calls itself: the words of its command."""
    return _NAME in title.split()


def leave_at_once() -> NoReturn:
    """End this program, wherever it is: its processes are killed, what they leave behind is the guards' to remove.

    Files are whole as far as they are: rows are written whole, others renamed into place.
    """
    with suppress(psutil.Error):
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if not is_guard(process):
                    process.kill()
    if sys.stdout is not None and os.isatty(1):
        put(1, _SHOW_CURSOR)
    say("ended at once, by a third signal: there is no verdict")
    os._exit(ExitStatus.INVALID)
