"""Child processes: pinned to cores, ended by their own pid whatever happens."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import attrs

HOST = "127.0.0.1"
#: Below the ports that the kernel gives to clients.
_PORTS = range(20_000, 32_000)
_READY_S = 20.0
_GRACE_S = 5.0
_WORDS = 600


class BenchmarkError(Exception):
    """Something could not be measured: what, and the last words of a process, which are not for the report."""

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said


def tell(name: str, lines: Iterable[str]) -> None:
    """Print lines as they are made; if something could not be measured, end this program and say what."""
    try:
        for line in lines:
            print(line, flush=True)
    except BenchmarkError as error:
        sys.exit(f"{name}: {error}: {error.said}")


@attrs.frozen
class Cores:
    """Two cores: one for what is measured, one for what it talks to."""

    measured: int
    other: int

    @classmethod
    def choose(cls) -> "Cores":
        """Take the first two that this process may use."""
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:  # noqa: PLR2004
            msg = "two cores are needed: one for what is measured, one for what it talks to"
            raise BenchmarkError(msg)
        if shutil.which("taskset") is None:
            msg = "taskset (package util-linux) is needed to pin programs to cores"
            raise BenchmarkError(msg)
        return cls(usable[0], usable[1])

    @property
    def both(self) -> tuple[int, int]:
        """Both of them."""
        return self.measured, self.other


def pinned(command: Sequence[str], *cores: int) -> list[str]:
    """Return the command that runs on these cores alone; taskset keeps the pid."""
    return ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]


def free_ports(count: int = 1) -> int:
    """Return the first of `count` consecutive ports on which nobody listens."""
    for _attempt in range(1000):
        first = random.randrange(_PORTS.start, _PORTS.stop - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    msg = "no free ports"
    raise BenchmarkError(msg)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def end(process: subprocess.Popen[bytes]) -> None:
    """End one process of ours: SIGTERM, and SIGKILL if it stays."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
        return
    process.kill()
    process.wait()


@contextmanager
def serving(command: Sequence[str], port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server as long as the block runs, which begins when the port answers."""
    said = folder / f"{port}.log"
    with said.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder)
        try:
            _wait_for(process, port, said)
            yield process
        finally:
            end(process)


def _wait_for(process: subprocess.Popen[bytes], port: int, said: Path) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(0.02)
    msg = f"{_program(process.args)} did not serve"
    raise BenchmarkError(msg, last_words(said))


def run(
    commands: Sequence[Sequence[str]],
    output: Path,
    limit_s: float,
    env: Mapping[str, str] | None = None,
    statuses: Collection[int] = (0,),
) -> None:
    """Run a pipeline to its end, its output into a file; raises `BenchmarkError` if one of it fails or stays.

    `statuses` are those that are no failure.
    """
    said = output.with_name("stderr.log")
    with ExitStack() as stack:
        errors = stack.enter_context(said.open("wb"))
        target = stack.enter_context(output.open("wb"))
        pipeline: list[subprocess.Popen[bytes]] = []
        source: int | None = subprocess.DEVNULL
        for command in commands:
            last = len(pipeline) == len(commands) - 1
            process = subprocess.Popen(
                command,
                stdin=source,
                stdout=target if last else subprocess.PIPE,
                stderr=errors,
                cwd=output.parent,
                env={**os.environ, **(env or {})},
            )
            stack.callback(end, process)
            if pipeline:
                _close_output(pipeline[-1])  # the reader has it now
            pipeline.append(process)
            source = None if process.stdout is None else process.stdout.fileno()
        until = time.monotonic() + limit_s
        for process in pipeline:
            _finish(process, until, said, statuses)


def _close_output(process: subprocess.Popen[bytes]) -> None:
    if process.stdout is not None:
        process.stdout.close()


def _finish(process: subprocess.Popen[bytes], until: float, said: Path, statuses: Collection[int]) -> None:
    try:
        status = process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        msg = f"{_program(process.args)} did not end"
        raise BenchmarkError(msg, last_words(said)) from error
    if status not in statuses:
        msg = f"{_program(process.args)} ended with {status}"
        raise BenchmarkError(msg, last_words(said))


def last_words(said: Path) -> str:
    """Return the end of what a process said, on one line."""
    return " / ".join(said.read_text("utf-8", "replace")[-_WORDS:].split("\n")).strip(" /")


def _program(arguments: object) -> str:
    """Return the name of the program that runs under taskset."""
    words = [str(word) for word in arguments] if isinstance(arguments, list) else [str(arguments)]
    return Path(words[3] if words[0] == "taskset" else words[0]).name
