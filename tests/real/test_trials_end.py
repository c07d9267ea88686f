"""However it is ended, and whatever is raised: a status that is true, a line, and nothing left behind."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from .command import PROXYRELOAD, TRAFFIC, Exits, Place, Session
from .stuck import STAGES, WAYS, Stuck, assert_rows_are_whole, code, ignoring

pytestmark = pytest.mark.real

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
#: These come one right behind the other: three of one kind so close would be taken for an echo.
THREE = (INT, TERM, HUP)
#: Stages at which the program itself waits, and no signal is heard in order.
BLOCKED = {"import", "version"}
COMMANDS = {
    "plugins": ("plugins",),
    "man": ("man",),
    "completion": ("completion", "bash"),
    "help": ("--help",),
    "version": ("--version",),
}

stages = pytest.mark.parametrize("stage", STAGES)
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
commands = pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)


def is_our_own(way: Sequence[str]) -> bool:
    """Return whether the program that is started is ours: Twisted's own imports us late."""
    return tuple(way[:3]) == PROXYRELOAD


@ways
@stages
def test_a_third_signal_ends_it_at_once(place: Place, stage: str, way: Sequence[str]) -> None:
    if stage == "import" and not is_our_own(way):
        way = WAYS["our twistd"]  # what Twisted does before it has imported us is Twisted's
    stuck = Stuck(place, stage)
    stuck.start(way)
    result = stuck.ends(*THREE)
    assert result.status == 3
    assert "Traceback" not in result.stdout + result.stderr
    assert result.stderr.startswith("proxyreload: ended ")
    assert result.stderr.count("\n") == 1
    assert_rows_are_whole(result.csv)
    if result.run.exists():
        assert json.loads(result.run.read_text(encoding="utf-8"))["format"]
    assert place.left() == []


@ways
@pytest.mark.parametrize("stage", ["baseline", "start", "traffic", "change", "stop"])
def test_a_second_signal_waits_for_nothing(place: Place, stage: str, way: Sequence[str]) -> None:
    stuck = Stuck(place, stage)
    stuck.start(way)
    result = stuck.ends(INT, TERM)
    assert result.stderr == ""
    if stage == "stop":  # it was over, and nothing is wrong with it
        assert (result.status, result.verdict) in {(0, "seamless"), (0, "graceful"), (3, "ineffective")}
    else:
        assert result.status == 3
        assert result.verdict in {"invalid", "ineffective"}
    assert "Traceback" not in result.stdout
    assert result.summary["exit_status"] == result.status
    assert place.left() == []


@pytest.mark.parametrize("number", THREE)
@pytest.mark.parametrize("stage", ["baseline", "start", "traffic", "change"])
def test_the_first_signal_ends_it_in_order(place: Place, stage: str, number: signal.Signals) -> None:
    stuck = Stuck(place, stage)
    stuck.start()
    result = stuck.ends(number)
    assert result.stderr == ""
    assert result.status == 3
    assert result.verdict in {"invalid", "ineffective"}
    assert bool(result.rows) is (stage in {"traffic", "change"})
    if result.rows:
        result.assert_complete()
    assert place.left() == []


@ways
@pytest.mark.parametrize("number", THREE)
def test_a_signal_while_the_report_is_drawn_costs_the_report_alone(
    place: Place, number: signal.Signals, way: Sequence[str]
) -> None:
    stuck = Stuck(place, "report")
    stuck.start(way)
    result = stuck.ends(number)
    assert (result.status, result.stderr) == (0, "")
    assert result.verdict in {"seamless", "graceful"}
    assert "not written: report.html: ended by a signal; proxyreload report run.json makes it" in result.stdout
    assert f"verdict: {result.verdict}" in result.stdout
    assert not list(place.folder.glob("report.html*"))
    assert place.left() == []


@pytest.mark.parametrize("number", THREE)
def test_a_signal_while_all_is_imported_is_a_line(place: Place, number: signal.Signals) -> None:
    stuck = Stuck(place, "import")
    stuck.start()
    result = stuck.ends(number)
    assert (result.status, result.stdout) == (3, "")
    assert result.stderr == f"proxyreload: ended by {number.name} before anything was begun\n"
    assert place.left() == []


@pytest.mark.parametrize("numbers", [(INT,), (INT, TERM), THREE], ids=["one", "two", "three"])
def test_a_comparison_ends_by_signals_as_a_run_does(place: Place, numbers: Sequence[signal.Signals]) -> None:
    words = ("compare", "haproxy", "nginx", "--repeat", "1000", "--clients", "2", *place.ports)
    session = place.start(*words)
    rows = place.folder / "compare" / "haproxy-runtime-1" / "data.csv"
    others = place.folder / "compare" / "nginx-reload-1" / "data.csv"
    while not any(path.exists() and path.stat().st_size > 1000 for path in (rows, others)):
        assert session.process.poll() is None
    exits = Exits.of(session.descendants())
    for number in numbers:
        session.signal(number)
    result = session.ended()
    assert result.status == 3
    assert "Traceback" not in result.stderr
    assert (place.folder / "compare.json").exists()
    assert ("ended at once" in result.stderr) is (numbers is THREE)
    assert exits.left() == []
    assert place.left() == []


@pytest.mark.parametrize("numbers", [(INT,), (INT, TERM), THREE], ids=["one", "two", "three"])
def test_a_selftest_ends_by_signals_as_a_run_does(place: Place, numbers: Sequence[signal.Signals]) -> None:
    session = place.start("selftest", "--exchanges", "1000000000", *place.ports)
    session.until("injecting every kind of fault")
    while not [path for path in place.temp.glob("proxyreload-selftest-*/data.csv") if path.stat().st_size > 1000]:
        assert session.process.poll() is None
    exits = Exits.of(session.descendants())
    for number in numbers:
        session.signal(number)
    result = session.ended()
    assert (result.status, "Traceback" in result.stderr) == (3, False)
    assert exits.left() == []
    assert place.left() == []


@pytest.mark.parametrize("words", [("selftest",), ("compare", "control", "--no-report")], ids=["selftest", "compare"])
def test_who_stops_the_reactor_of_another_command_gets_no_success(place: Place, words: Sequence[str]) -> None:
    breaks = "from twisted.internet import reactor\nreactor.callWhenRunning(reactor.callLater, 2.5, reactor.stop)"
    result = place.run(*words, *place.ports, command=code(breaks))
    assert (result.status, "Traceback" in result.stderr) == (3, False)
    assert place.left() == []


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "2>/dev/full"])
def test_a_comparison_whose_standard_error_is_closed_is_one(place: Place, closed: str) -> None:
    # Which closes nothing by itself; of little traffic a busy machine sends all.
    words = ["compare", "control", "--repeat", "1", "--rate", "200", "--traffic", "get", "--no-report", *place.ports]
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *PROXYRELOAD, *words],
        cwd=place.folder,
        env=place.environment,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == (3 if ">&- 2" in closed else 0)  # the table cannot be told
    assert json.loads((place.folder / "compare.json").read_text(encoding="utf-8"))["rows"][0]["verdict"] == "seamless"
    assert place.left() == []


# Standard output that nobody reads, or that is closed.


@pytest.fixture(name="full_pipe")
def _full_pipe() -> Iterator[int]:
    """Return the writing end of a pipe that takes nothing more, and that nobody reads."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


def until_finished(session: Session) -> None:
    """Wait until the run is over, though not the program."""
    while not ((text := told(session.run)) and json.loads(text)["finished"]):
        assert session.process.poll() is None


def told(path: Path) -> str:
    """Return a file's text, which is empty when it is claimed, and before."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def test_a_standard_output_that_nobody_reads_holds_up_nothing(place: Place, full_pipe: int) -> None:
    result = place.start("--plugin", "control", "--duration", "3", *place.ports, stdout=full_pipe).ended()
    assert (result.status, result.verdict) == (0, "seamless")
    assert result.stderr == "proxyreload: standard output takes nothing: what was left to say is not said\n"
    assert place.left() == []


@pytest.mark.parametrize("number", THREE)
def test_a_signal_ends_the_wait_for_who_does_not_read(place: Place, full_pipe: int, number: signal.Signals) -> None:
    session = place.start("--plugin", "control", "--duration", "3", *place.ports, stdout=full_pipe)
    until_finished(session)
    session.signal(number)
    result = session.ended()
    assert (result.status, result.verdict, result.stderr) == (0, "seamless", "")
    assert place.left() == []


def test_a_stopped_terminal_holds_up_nothing(place: Place) -> None:
    ours, its = pty.openpty()
    import termios

    termios.tcflow(its, termios.TCOOFF)
    session = place.start("--plugin", "control", "--duration", "3", *place.ports, stdout=its)
    result = session.ended()
    os.close(its)
    os.close(ours)
    assert (result.status, result.verdict) == (0, "seamless")
    assert place.left() == []


def test_a_run_whose_output_is_closed_comes_to_its_verdict(place: Place) -> None:
    words = ["--plugin", "control", "--duration", "3", "--no-report", *place.ports]
    script = 'exec "$@" >&- 2>&- <&-'
    status = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *PROXYRELOAD, *words],
        cwd=place.folder,
        env=place.environment,
        check=False,
    ).returncode
    assert status == 0
    assert json.loads((place.folder / "run.json").read_text(encoding="utf-8"))["summary"]["verdict"] == "seamless"
    assert_rows_are_whole(place.folder / "data.csv")
    assert place.left() == []


@commands
@pytest.mark.parametrize("how", [">&-", ">/dev/full"])
def test_what_cannot_be_told_is_no_success(place: Place, words: Sequence[str], how: str) -> None:
    told = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {how}', "sh", *PROXYRELOAD, *words],
        cwd=place.folder,
        env=place.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 3
    assert told.stderr.startswith("proxyreload: standard output cannot be written: ")
    assert told.stderr.count("\n") == 1


@commands
def test_a_reader_that_goes_away_is_a_line(place: Place, words: Sequence[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    session = place.start(*words, stdout=writing)
    os.close(writing)
    result = session.ended()
    assert (result.status, result.stderr) == (3, "proxyreload: standard output cannot be written: Broken pipe\n")


# Whatever is raised.


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("SystemExit(0)", "ended by a call of exit(0), with no verdict"),
        ("SystemExit(1)", "ended by a call of exit(1), with no verdict"),
        ("KeyboardInterrupt", "ended by SIGINT"),
        ("MemoryError", "out of memory"),
        ("GeneratorExit", "internal error: GeneratorExit (where: "),
        ("RuntimeError('x' * 5000 + chr(27))", f"internal error: RuntimeError: {'x' * 200}… (where: "),
        ("ImportError('no such\\nmodule')", "internal error: ImportError: no such / module (where: "),
    ],
)
@pytest.mark.parametrize("where", ["proxyreload.command.program", "proxyreload.run.run", "twisted.internet"])
def test_whatever_is_raised_while_importing_is_a_line_and_3(place: Place, raised: str, said: str, where: str) -> None:
    breaks = f"""
import sys
class Breaks:
    def find_spec(self, name, path=None, target=None):
        if name == {where!r}:
            raise {raised}
sys.meta_path.insert(0, Breaks())
"""
    result = place.run("--plugin", "control", *place.ports, command=code(breaks))
    assert (result.status, result.stdout) == (3, "")
    assert result.stderr.startswith(f"proxyreload: {said}")
    assert result.stderr.count("\n") == 1
    kept = list(place.temp.glob("proxyreload-error-*.txt"))
    assert len(kept) == result.stderr.count("where: ")
    for file in kept:
        assert str(file) in result.stderr
        assert file.read_text(encoding="utf-8").startswith("Traceback (most recent call last):")
        file.unlink()
    assert place.left() == []


def test_an_error_in_the_run_itself_is_a_line_and_3(place: Place) -> None:
    breaks = """
import os
os.environ["PROXYRELOAD_DEBUG"] = "1"
import proxyreload.record.runfile as runfile
def finish(*words):
    raise ZeroDivisionError("never")
runfile.RunFile.finish = finish
"""
    result = place.run("--plugin", "control", "--duration", "3", *place.ports, command=code(breaks))
    assert result.status == 3
    assert "Traceback" not in result.stdout
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert result.stderr.endswith("\nproxyreload: internal error: ZeroDivisionError: never\n")
    assert place.left() == []


def test_who_stops_the_reactor_behind_our_back_gets_no_success(place: Place) -> None:
    breaks = "from twisted.internet import reactor\nreactor.callWhenRunning(reactor.callLater, 2.5, reactor.stop)"
    result = place.run("--plugin", "control", "--duration", "3600", *place.ports, command=code(breaks))
    assert (result.status, result.stderr) == (3, "")
    result.assert_complete()
    assert place.left() == []


# Signals that were ignored at the start.


@pytest.mark.parametrize("number", THREE)
def test_what_was_ignored_at_the_start_ends_nothing(place: Place, number: signal.Signals) -> None:
    stuck = Stuck(place, "traffic")
    session = stuck.start(PROXYRELOAD, "--backend-processes", preexec_fn=ignoring(number))
    # By SIGTERM the run itself ends its backends.
    for process in [psutil.Process(session.pid), *(session.children() if number is not TERM else ())]:
        assert number in ignored(process.pid), process.cmdline()
        process.send_signal(number)
    session.until_settled()
    result = stuck.ends(*(other for other in THREE if other is not number), HUP if number is not HUP else INT)
    assert result.status == 3


def ignored(pid: int) -> set[int]:
    """Return the signals that a process ignores."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def test_a_script_that_goes_on_has_it_end_in_order_by_sigterm(place: Place) -> None:
    """A shell lets what it starts with ``&`` ignore SIGINT."""
    script = '"$@" & echo $!; wait $!; echo "status $?"'
    words = ["--plugin", "control", "--duration", "3600", "--no-report", "--log", "none", *place.ports]
    with subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", *PROXYRELOAD, *words],
        cwd=place.folder,
        env=place.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as shell:
        assert shell.stdout is not None
        pid = int(shell.stdout.readline())
        while not (place.folder / "data.csv").exists() or len((place.folder / "data.csv").read_bytes()) < 1000:
            assert shell.poll() is None
        os.kill(pid, INT)
        assert INT in ignored(pid)
        os.kill(pid, TERM)
        rest = shell.stdout.read()
    assert rest.endswith("status 3\n")
    assert "the run was ended before" in rest
    assert place.left() == []


# Who is to blame.


@pytest.mark.parametrize("timeout", ["2", "3600"])
def test_a_backends_process_that_is_stopped_is_not_the_proxys_fault(place: Place, timeout: str) -> None:
    session = place.start(
        *("--plugin", "haproxy", "--backend-processes", "--duration", "3600", "--timeout", timeout), *place.ports
    )
    session.until(TRAFFIC)
    session.until_settled()
    found = [process for process in session.children() if "backend" in process.cmdline()]
    (backend,) = [process for process in found if process.cmdline()[-2] == "1"]
    backend.suspend()
    result = session.ended()
    assert (result.status, result.stderr) == (3, "")
    assert result.verdict == "invalid"
    assert result.summary["reasons"] == ["backend 1 stands still: its process has told nothing for 5 s"]
    result.assert_complete()
    assert place.left() == []


def test_somebody_elses_backends_that_are_stopped_are_not_the_proxys_fault(place: Place) -> None:
    backends = [place.start("backend", str(number), str(place.first_port + number)) for number in range(4)]
    for number, backend in enumerate(backends):
        backend.until(f"backend {number} on ")
    session = place.start(
        *("--plugin", "haproxy", "--no-backends", "--duration", "3600", "--timeout", "2"), *place.ports
    )
    session.until(TRAFFIC)
    session.until_settled()
    for backend in backends[:2]:  # both that are behind the proxy: while one answers, nothing hangs
        backend.signal(signal.SIGSTOP)
    result = session.ended()
    assert (result.status, result.stderr) == (3, "")
    said = "backends 0, 1 do not answer, asked straight without the proxy: not one answer to any client for 2 s"
    assert (result.verdict, result.summary["reasons"]) == ("invalid", [said])
    result.assert_complete()
    for backend in backends[:2]:
        backend.signal(signal.SIGCONT)
    for backend in backends:
        backend.signal(INT)
        assert backend.ended().status == 0
    assert place.left() == []
