"""Runs commands in an environment that has only what a test puts there."""

import csv
import json
import os
import random
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import psutil

HOST = "127.0.0.1"
#: A safety net: whatever is waited for comes long before, or never.
TIMEOUT_S = 300.0


def free_ports(number: int) -> int:
    """Return the first of `number` consecutive ports that are free, below those that the kernel gives out."""
    for _attempt in range(1000):
        first = random.randrange(20000, 30000 - number)
        sockets = [socket.socket() for _port in range(number)]
        try:
            for port, probe in enumerate(sockets, first):
                probe.bind((HOST, port))
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
        return first
    message = f"no {number} free ports"
    raise AssertionError(message)


@attrs.frozen
class Said:
    """What a command said, and its exit status."""

    status: int
    stdout: str
    stderr: str


@attrs.define(eq=False)
class Place:
    """A folder to run commands in, and ports of its own."""

    folder: Path
    first_port: int = attrs.field(factory=lambda: free_ports(5))
    #: Nothing of the environment that the tests run in.
    environment: dict[str, str] = attrs.field(factory=dict)
    temp: Path = attrs.field(factory=lambda: Path(tempfile.mkdtemp(prefix="prd-")))

    @property
    def ports(self) -> tuple[str, ...]:
        """The options that name the ports."""
        return ("--first-port", str(self.first_port), "--front-port", str(self.first_port + 4))

    @property
    def run_json(self) -> dict[str, Any]:
        """The run file."""
        content: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return content

    def run(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Said:
        """Run a command to its end."""
        ended = subprocess.run(
            command,
            cwd=self.folder,
            env={"TMPDIR": str(self.temp), **self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Said(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    @contextmanager
    def running(self, command: Sequence[str | Path]) -> Iterator["subprocess.Popen[str]"]:
        """Start a command in a session of its own; kill what is left of it."""
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env={"TMPDIR": str(self.temp), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                for pid in self.processes():
                    os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        """Return the processes that were started here, by the folder for temporary files that they were given."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("TMPDIR") == str(self.temp) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found

    def assert_seamless(self) -> None:
        """Check that the files tell of a whole run that lost nothing."""
        run = self.run_json
        assert run["finished"] is True
        assert run["summary"]["verdict"] in {"seamless", "graceful"}
        assert [change["action"] for change in run["changes"]] == ["add", "remove"]
        with (self.folder / "data.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == run["summary"]["exchanges"]
        answered = [row for row in rows if row["failure"] != "turned away"]
        assert {row["instance"] for row in answered} == {"0", "1", "2"}

    def assert_nothing_left(self) -> None:
        """Check that no process and no temporary file is left."""
        assert self.processes() == []
        assert list(self.temp.iterdir()) == []


def until_line(process: "subprocess.Popen[str]", words: str) -> None:
    """Wait for a line of its output that has `words` in it."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if words in line:
            return
    message = f"no line with {words!r} in:\n{''.join(said)}"
    raise AssertionError(message)
