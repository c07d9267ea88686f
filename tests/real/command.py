"""Runs the real command as a subprocess, and says what it wrote and what it left behind."""

import csv
import json
import os
import queue
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import attrs
import psutil

from .documents import wrong_documents

HOST = "127.0.0.1"
#: A safety net: whatever is waited for comes long before, or never.
TIMEOUT_S = 900.0

PROXYRELOAD = (sys.executable, "-m", "proxyreload")
TWISTD = (str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile=", "proxyreload")

STATUS_LINE = re.compile(
    r" *\d+\.\d s  success: (?P<success>\d+) failure: (?P<failure>\d+) "
    r"front changed: (?P<front>\d+) back changed: (?P<back>\d+)"
)
#: Of an answer, and of a session.
TURNED_AWAY = "turned away"
SUCCESSES = ("200", "101")
#: A line of the log that shows traffic.
TRAFFIC = r"client \d+ .* 200$"
#: A line that comes with every drawing of the log while there is traffic.
MORE = r"… \d+ more in "


class Row(NamedTuple):
    """One row of ``data.csv``."""

    time: int
    client: int
    status: str
    instance: str
    front_port: str
    back_port: str
    request: int
    due: int
    written: str
    first_byte: str
    connect: str
    connection: str
    carried: int
    announced: str
    failure: str
    kind: str


COLUMNS = [name.replace("_", " ") for name in Row._fields]


class Counts(NamedTuple):
    """The four counts of the status line."""

    success: int
    failure: int
    front_changed: int
    back_changed: int


def recount(rows: Iterable[Row], clients: int | None = None) -> Counts:
    """Count anew what the status line counts, from the rows alone; the connections of `clients`, or of all but the probe."""
    rows = list(rows)
    first_other = max(row.client for row in rows) if clients is None else clients
    success = failure = front_changed = back_changed = 0
    connections: dict[int, str] = {}
    carried_answers: set[tuple[str, str]] = set()
    answered: set[int] = set()
    for row in rows:
        if row.status in SUCCESSES:
            success += 1
        elif row.failure != TURNED_AWAY:
            failure += 1
        if row.client < first_other and row.connection:
            front_changed += connections.get(row.client, row.connection) != row.connection
            connections[row.client] = row.connection
        if row.back_port:
            fresh = (row.instance, row.back_port) not in carried_answers
            carried_answers.add((row.instance, row.back_port))
            if row.client < first_other:
                back_changed += fresh and row.client in answered
                answered.add(row.client)
    return Counts(success, failure, front_changed, back_changed)


@attrs.define(slots=False)
class Result:
    """What a command that has ended left."""

    status: int
    stdout: str
    stderr: str
    csv: Path
    run: Path

    @cached_property
    def table(self) -> list[list[str]]:
        """The CSV file as text, its head included."""
        content = self.csv.read_bytes()
        assert content.endswith(b"\n"), f"the last row is not whole: {content[-100:]!r}"
        return list(csv.reader(content.decode("utf-8").splitlines()))

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of the CSV file."""
        head, *rows = self.table
        assert head == COLUMNS
        whole = [kind is int for kind in Row.__annotations__.values()]
        return [Row._make(int(v) if w else v for v, w in zip(row, whole, strict=True)) for row in rows]

    @cached_property
    def run_json(self) -> dict[str, Any]:
        """The run file."""
        content: dict[str, Any] = json.loads(self.run.read_text(encoding="utf-8"))
        return content

    @property
    def summary(self) -> dict[str, Any]:
        """The run file's summary."""
        assert self.run_json["finished"] is True
        summary: dict[str, Any] = self.run_json["summary"]
        return summary

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The run file's changes."""
        changes: list[dict[str, Any]] = self.run_json["changes"]
        return changes

    @property
    def verdict(self) -> str:
        """The verdict."""
        return str(self.summary["verdict"])

    @property
    def last_line(self) -> Counts:
        """The counts on the last line of standard output, which must be the status line."""
        line = self.stdout.splitlines()[-1]
        found = STATUS_LINE.fullmatch(line)
        assert found is not None, f"not a status line: {line!r}"
        return Counts(*map(int, found.groups()))

    def assert_complete(self) -> None:
        """Check that rows, run file and status line tell the same, and that no client's row is missing."""
        rows, summary = self.rows, self.summary
        counts = recount(rows, self.run_json["traffic"][0]["clients"])
        assert self.last_line == counts
        assert counts == Counts(
            summary["success"], summary["failure"], summary["front_changed"], summary["back_changed"]
        )
        assert summary["exchanges"] == len(rows)
        failures: dict[str, int] = {}
        several = {each["kind"] for each in self.run_json["traffic"] if each.get("streams")}
        following: dict[int, tuple[int, int]] = {}
        for row in rows:
            assert (row.failure == "") == (row.status in SUCCESSES)
            if row.failure and row.failure != TURNED_AWAY:
                failures[row.failure] = failures.get(row.failure, 0) + 1
            if row.kind in several:
                continue
            request, earliest = following.get(row.client, (0, 0))
            assert row.request == request, f"client {row.client}: request {row.request} follows {request - 1}"
            assert row.time >= earliest, f"client {row.client}: request {row.request} ended before the one before it"
            following[row.client] = (request + 1, row.time)
        for kind in several:  # in no order, and each once
            by_client: dict[int, list[int]] = {}
            for row in rows:
                if row.kind == kind:
                    by_client.setdefault(row.client, []).append(row.request)
            assert all(sorted(numbers) == list(range(len(numbers))) for numbers in by_client.values())
        assert summary["failures"] == failures
        assert summary["turned_away"] == sum(row.failure == TURNED_AWAY for row in rows)
        assert self.run_json["summary"]["exit_status"] == EXIT_STATUS[summary["verdict"]]


#: The exit status that stands for a verdict.
EXIT_STATUS = {"seamless": 0, "graceful": 0, "racy": 1, "lossy": 1, "ineffective": 3, "invalid": 3}


@attrs.define
class Exits:
    """Waits for processes that are not children of this one, by descriptors that become readable as they exit."""

    _descriptors: dict[int, int]

    @classmethod
    def of(cls, processes: Iterable[psutil.Process]) -> Self:
        """Watch these; one that has exited since it was found, as an old child does, is not there to be watched."""
        descriptors: dict[int, int] = {}
        for process in processes:
            with suppress(ProcessLookupError):
                descriptors[os.pidfd_open(process.pid)] = process.pid
        return cls(descriptors)

    def left(self) -> list[int]:
        """Wait until all have exited; returns those that have not in time."""
        deadline = time.monotonic() + TIMEOUT_S
        waiting = dict(self._descriptors)
        while waiting and (left := deadline - time.monotonic()) > 0:
            for descriptor in select.select(list(waiting), [], [], left)[0]:
                del waiting[descriptor]
        for descriptor in self._descriptors:
            os.close(descriptor)
        return sorted(waiting.values())


@attrs.define(eq=False)
class Session:
    """One command while it runs."""

    process: subprocess.Popen[bytes]
    csv: Path
    run: Path
    errors: Path
    #: When it was started, as files have it: what is newer, it has written.
    _since_ns: int = attrs.field(factory=time.time_ns, init=False)
    _lines: "queue.Queue[str | None]" = attrs.field(factory=queue.Queue, init=False)
    _said: list[str] = attrs.field(factory=list, init=False)
    _reader: threading.Thread | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Read what it says."""
        if self.process.stdout is not None:
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def until(self, pattern: str) -> str:
        """Wait for the next line of standard output in which `pattern` is found."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.001, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                said = "".join(self._said[-20:]) + self.errors.read_text(encoding="utf-8")
                message = f"no line with {pattern!r}; it said:\n{said}"
                raise AssertionError(message)
            if re.search(pattern, line):
                return line

    def until_settled(self) -> None:
        """Wait for more traffic than what is on its way to the terminal now."""
        self.until(MORE)
        self.until(MORE)

    def children(self) -> list[psutil.Process]:
        """Return its own children but the guard: the proxy's first process."""
        return [child for child in psutil.Process(self.pid).children() if "proxyreload-guard" not in child.cmdline()]

    def descendants(self) -> list[psutil.Process]:
        """Return all processes below it."""
        return psutil.Process(self.pid).children(recursive=True)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self, within_s: float = TIMEOUT_S) -> Result:
        """Wait until it has ended; what it has written for other programs must be as it is published."""
        status = self.process.wait(within_s)
        if self._reader is not None:
            self._reader.join(TIMEOUT_S)
        assert wrong_documents(self.run.parent, self._since_ns) == {}
        return Result(status, "".join(self._said), self.errors.read_text(encoding="utf-8"), self.csv, self.run)

    def close(self) -> None:
        """End it and what is below it, if a test has failed before that."""
        if self.process.poll() is None:
            for process in [*self.descendants(), psutil.Process(self.pid)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait(TIMEOUT_S)
        if self._reader is not None:
            self._reader.join(TIMEOUT_S)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with suppress(ValueError):
            for line in self.process.stdout:
                text = line.decode("utf-8")
                self._said.append(text)
                self._lines.put(text)
        self._lines.put(None)


_taken: set[int] = set()
#: Below those that the kernel gives out; each of several pytest workers (pytest-xdist) has a range of its own.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = range(20000 + _WORKER % 6 * 2000, 22000 + _WORKER % 6 * 2000)


def _is_a_run(words: Sequence[str]) -> bool:
    """Return whether these words make one."""
    return words[:1] == ("compare",) or any(word == "--plugin" or "://" in word for word in words)


def _unless_told(words: Sequence[str], *, report: bool, mix: bool) -> list[str]:
    """Return what keeps a run short: no HTML page, and of the traffic no more than the ancestor's clients."""
    if not _is_a_run(words):
        return []
    told = [] if report else ["--no-report"]
    if not mix and "--traffic" not in words and ("--plugin" in words or words[:1] == ("compare",)):
        told += ["--traffic", "get"]
    return told


def is_free(port: int) -> bool:
    """Return whether nobody listens on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def free_ports(number: int) -> int:
    """Return the first of `number` consecutive ports that are free, in preference such as no test has had before."""
    for attempt in range(1000):
        first = random.randrange(_PORTS.start, _PORTS.stop - number)
        ports = set(range(first, first + number))
        if attempt == 500:  # hundreds of tests have had them all
            _taken.clear()
        if not ports & _taken and all(map(is_free, ports)):
            _taken.update(ports)
            return first
    message = f"no {number} free ports"
    raise AssertionError(message)


@attrs.define(eq=False)
class Place:
    """A working directory, a folder for temporary files, and ports of its own."""

    folder: Path
    #: Short, because proxies keep Unix sockets below it, whose paths may be 107 bytes long.
    temp: Path = attrs.field(factory=lambda: Path(tempfile.mkdtemp(prefix="prt-")))
    first_port: int = attrs.field(factory=lambda: free_ports(5))
    _sessions: list[Session] = attrs.field(factory=list, init=False)

    @property
    def front_port(self) -> int:
        """The front port, behind those of four backends."""
        return self.first_port + 4

    @property
    def front(self) -> str:
        """The front as a URL."""
        return f"http://{HOST}:{self.front_port}/"

    @property
    def ports(self) -> tuple[str, ...]:
        """The options that name the ports."""
        return ("--first-port", str(self.first_port), "--front-port", str(self.front_port))

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its commands."""
        return {**os.environ, "TMPDIR": str(self.temp), "GITHUB_ACTIONS": ""}

    def start(
        self,
        *words: str,
        command: Sequence[str] = PROXYRELOAD,
        environment: Mapping[str, str] | None = None,
        preexec_fn: Callable[[], None] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        report: bool = False,
        mix: bool = False,
    ) -> Session:
        """Start the command.

        A run, of which there are many, is without its HTML page unless there must be a `report`, and sends no more than
        the ancestor's clients do unless it is about the `mix`, or names its traffic.
        """
        errors = self.folder / f"stderr-{len(self._sessions)}.txt"
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                [*command, *words, *_unless_told(words, report=report, mix=mix)],
                cwd=self.folder,
                env=self.environment if environment is None else dict(environment),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                preexec_fn=preexec_fn,  # noqa: PLW1509
            )
        session = Session(process, self.folder / "data.csv", self.folder / "run.json", errors)
        self._sessions.append(session)
        return session

    def run(
        self,
        *words: str,
        command: Sequence[str] = PROXYRELOAD,
        environment: Mapping[str, str] | None = None,
        preexec_fn: Callable[[], None] | None = None,
        report: bool = False,
        mix: bool = False,
    ) -> Result:
        """Run the command to its end."""
        return self.start(
            *words, command=command, environment=environment, preexec_fn=preexec_fn, report=report, mix=mix
        ).ended()

    def write(self, name: str, text: str, *, mode: int = 0o644) -> str:
        """Write a file into the working directory and return its path."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return str(path)

    def left(self) -> list[str]:
        """Say what is left behind: files, listening ports, processes.

        A guard, which outlives a command that was ended at once, gives back what that has left: it is waited for.
        """
        if all(session.process.poll() is not None for session in self._sessions):
            self._outlast_guards()
        left = [f"file {path}" for path in self.temp.rglob("*")]
        left += [f"port {port}" for port in range(self.first_port, self.first_port + 5) if not is_free(port)]
        left += [f"process {process.pid}: {process.name()}" for process in self._processes()]
        return left

    def _outlast_guards(self) -> None:
        for process in self._processes():
            with suppress(psutil.Error, ProcessLookupError):
                if "proxyreload-guard" in process.cmdline():
                    Exits.of([process]).left()

    def close(self) -> None:
        """Give everything back."""
        for session in self._sessions:
            session.close()
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(self.temp, ignore_errors=True)

    def _processes(self) -> list[psutil.Process]:
        """Return the processes that were started in the folder for temporary files."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                told = [process.cwd(), *process.cmdline(), process.environ().get("TMPDIR", "")]
                if any(str(self.temp) in text for text in told) and process.pid != os.getpid():
                    found.append(process)
        return found


def scenario(steps: Iterable[tuple[float, str, int]], duration_s: float) -> str:
    """Return a scenario file's text."""
    lines = [f"duration = {duration_s}"]
    for at_s, action, instance in steps:
        lines += ["[[step]]", f"at = {at_s}", f"{action} = {instance}"]
    return "\n".join(lines) + "\n"


#: Both changes are over soon; what follows lasts until somebody ends it.
CHANGES_THEN_FOREVER = scenario([(0.3, "add", 2), (2, "remove", 0)], 3600)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
