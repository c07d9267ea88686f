"""Trials of the files: rows are never destroyed, nothing is waited for that may never come, secrets are not kept."""

import base64
import csv
import json
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from proxyreload.system.claim import claim_folder

from .command import COLUMNS, EXIT_STATUS, HOST, MORE, PROXYRELOAD, Place, Result, free_ports
from .test_bad_input import assert_one_line

pytestmark = pytest.mark.real

HAPROXY = ("--plugin", "haproxy")
BEFORE = "of the run before"


def watching(place: Place, *words: str, duration: float = 1) -> tuple[str, ...]:
    """Return the words of a run that watches backend 0 itself, which is proxy enough for its files."""
    url = f"http://{HOST}:{place.first_port}/"
    return (url, "--first-port", str(place.first_port), "--duration", str(duration), *words)


def names(place: Place) -> set[str]:
    """Return what is in the folder but for what the command has said."""
    return {path.name for path in place.folder.iterdir() if not path.name.startswith("stderr-")}


# One file for two uses.


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--csv", "x", "--run", "x"], "--run x is the same file as --csv x"),
        (["--csv", "x", "--run", "./x"], "--run x is the same file as --csv x"),
        (["--csv", "x", "--losses", "x"], "--losses x is the same file as --csv x"),
        (["--csv", "x", "--report", "x"], "--report x is the same file as --csv x"),
        (["--run", "x", "--junit", "x"], "--junit x is the same file as --run x"),
        (["--csv", "x", "--summary", "x"], "--summary x is the same file as --csv x"),
        (["--csv", "x", "--run", "soft"], "--run soft is the same file as --csv x"),
        (["--csv", "x", "--run", "hard"], "--run hard is the same file as --csv x"),
        (["--csv", "new", "--run", "dangling"], "--run dangling is the same file as --csv new"),
        (["--csv", "x", "--ca", "x"], "--csv x is the same file as --ca"),
        (["--csv", "stderr-0.txt"], "--csv stderr-0.txt is the same file as standard error"),
    ],
)
def test_one_file_for_two_uses_is_refused(place: Place, words: list[str], complaint: str) -> None:
    file = Path(place.write("x", BEFORE))
    (place.folder / "soft").symlink_to("x")
    (place.folder / "dangling").symlink_to("new")
    os.link(file, place.folder / "hard")
    assert_one_line(place.run(*watching(place, *words), report=True), 2, complaint)
    assert file.read_text() == BEFORE
    assert names(place) == {"x", "soft", "hard", "dangling"}


def test_a_scenario_and_a_program_are_not_written_over(place: Place) -> None:
    scenario, program = place.write("my.toml", "duration = 1"), place.write("program", "#!/bin/sh\n", mode=0o755)
    result = place.run(*HAPROXY, "--scenario", "my.toml", "--run", "my.toml", *place.ports)
    assert_one_line(result, 2, "--run my.toml is the same file as --scenario")
    result = place.run(*HAPROXY, "--binary", "./program", "--csv", "program", *place.ports)
    assert_one_line(result, 2, "--csv program is the same file as --binary")
    assert Path(scenario).read_text() == "duration = 1"
    assert Path(program).read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--json", "x", "--junit", "x"], "--junit x is the same file as --json x"),
        (["--report", "compare.json"], "--report compare.json is the same file as --json compare.json"),
        (["--markdown", "my.toml", "--scenario", "my.toml"], "--markdown my.toml is the same file as --scenario"),
    ],
)
def test_so_it_is_in_a_comparison(place: Place, words: list[str], complaint: str) -> None:
    place.write("my.toml", "duration = 1")
    words = ["compare", "haproxy:reload", *words, *place.ports]
    assert_one_line(place.run(*words, command=[*PROXYRELOAD], report=True), 2, complaint)
    assert names(place) == {"my.toml"}


# Two runs in one folder.


def test_a_second_run_in_the_same_folder_is_refused_and_the_first_is_whole(place: Place) -> None:
    first = place.start(*watching(place, "--junit", "junit.xml", duration=3600), report=True)
    first.until(MORE)
    apart = ("--csv", "b.csv", "--run", "b.json", "--report", "b.html")  # and the losses beside the rows
    other = free_ports(5)

    def second(*words: str) -> Result:
        where = (f"http://{HOST}:{other}/", "--first-port", str(other), "--duration", "1")
        return place.run(*where, *apart, *words, report=True)

    there = {"--csv": "data.csv", "--losses": "losses.csv", "--run": "run.json", "--report": "report.html"}
    for option, file in there.items():
        complaint = f"proxyreload: {file} cannot be written: another run is writing it (pid {first.pid})\n"
        assert_one_line(second(option, file), 2, complaint)
    assert_one_line(second("--junit", "junit.xml"), 2, "junit.xml cannot be written: another run is writing it (pid")
    beside = second()
    assert (beside.status, beside.stderr) == (0, "")
    first.signal(signal.SIGINT)
    result = first.ended()
    assert result.stderr == ""
    result.assert_complete()
    assert names(place) == {*there.values(), "junit.xml", *apart[1::2], "b-losses.csv"}


def test_the_report_that_nobody_asked_for_costs_no_verdict(place: Place) -> None:
    first = place.start(*watching(place, duration=3600), report=True)
    first.until(MORE)
    other = free_ports(5)
    where = (f"http://{HOST}:{other}/", "--first-port", str(other), "--duration", "1")
    result = place.run(*where, "--csv", "b.csv", "--run", "b.json", report=True)
    assert (result.status, result.stderr) == (0, "")
    assert f"\nnot written: report.html: another run is writing it (pid {first.pid})\n" in result.stdout


def test_what_a_killed_run_has_left_can_be_written(place: Place) -> None:
    first = place.start(*watching(place, "--backend-processes", duration=3600))
    first.until(MORE)
    first.signal(signal.SIGKILL)
    first.ended()
    place.first_port = free_ports(5)
    result = place.run(*watching(place))
    assert (result.status, result.stderr) == (0, "")
    result.assert_complete()


def test_two_comparisons_do_not_share_a_folder(place: Place) -> None:
    claimed = claim_folder(place.folder / "compare")
    words = ("compare", "haproxy:reload", "--json", "other.json", "--junit", "other.xml", *place.ports)
    result = place.run(*words)
    assert_one_line(result, 2, f"compare cannot be written: another run is writing it (pid {os.getpid()})")
    assert names(place) == {"compare"}
    os.close(claimed)


# The file at the end is the one that was written to.


@pytest.mark.parametrize("how", ["moved", "removed", "replaced", "emptied", "appended to"])
def test_rows_that_somebody_else_has_spoilt_make_the_run_invalid(place: Place, how: str) -> None:
    session = place.start(*watching(place, duration=3600))
    session.until(MORE)
    rows = session.csv
    if how == "appended to":
        with rows.open("a") as file:
            file.write("x\n")
    elif how == "emptied":
        rows.write_bytes(b"")
    else:
        rows.rename(place.folder / "moved.csv")
    if how == "replaced":
        rows.write_text(",".join(COLUMNS))
    if how == "removed":
        (place.folder / "moved.csv").unlink()
    session.until_settled()
    session.signal(signal.SIGINT)
    result = session.ended()
    assert (result.status, result.verdict, result.stderr) == (3, "invalid", "")
    reasons = " ".join(result.summary["reasons"])
    spoilt = (
        "somebody else has written to data.csv" if how in {"emptied", "appended to"} else "data.csv is not the file"
    )
    assert spoilt in reasons
    assert spoilt in result.stdout


@pytest.mark.parametrize(
    "words",
    [("--csv", "/dev/null"), ("--losses", "/dev/null"), ("--run", "/dev/null"), ("--csv", "/dev/stdout")],
)
def test_devices_and_pipes_stay_allowed(place: Place, words: tuple[str, str]) -> None:
    result = place.run(*watching(place, *words))
    assert (result.status, result.stderr) == (0, "")
    left = {"--csv": {"run.json"}, "--losses": {"data.csv", "run.json"}, "--run": {"data.csv", "losses.csv"}}
    assert names(place) == left[words[0]]  # beside a device there is no place for losses


def test_rows_go_into_another_program(place: Place) -> None:
    url, *words = watching(place, "--run", "/dev/null")
    script = f"{sys.executable} -m proxyreload {url} {' '.join(words)} --csv >(cat > copy.csv) --no-report; wait $!"
    result = place.run(command=("bash", "-c", script))
    assert (result.status, result.stderr) == (0, "")
    head, *rows = csv.reader((place.folder / "copy.csv").read_text(encoding="utf-8").splitlines())
    assert (head, len(rows)) == (COLUMNS, result.last_line.success)


# Disks.

CONFINED = """
mount -t tmpfs -o size=400k tmpfs "$1" && cd "$1" && shift
"$@"
status=$?
echo "left: $(ls | tr '\\n' ' ')" >&2
cat run.json >&2
exit $status
"""


def on_a_small_disk(place: Place, *words: str) -> Result:
    """Run where 400 KB fit; what is in its run file goes to standard error."""
    disk = place.folder / "disk"
    disk.mkdir()
    unshare = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    return place.run(*words, command=[*unshare, "sh", "-c", CONFINED, "sh", str(disk), *PROXYRELOAD], report=True)


def test_a_disk_that_is_full_at_the_end_leaves_the_run_file_whole_and_all_is_said(place: Place) -> None:
    result = on_a_small_disk(place, *watching(place, "--junit", "junit.xml", duration=3600))
    assert result.status == 3
    left, _end, run = result.stderr.partition("\n")
    assert left == "left: data.csv junit.xml losses.csv run.json "
    content = json.loads(run)
    assert (content["finished"], "summary" in content, bool(content["machine"])) == (False, False, True)
    run_json = "run.json cannot be written: No space left on device"
    lines = result.stdout.splitlines()
    assert f"{run_json}" in lines
    assert "written: data.csv, losses.csv" in lines
    assert lines[-2].startswith("verdict: invalid (data.csv: No space left on device; ")
    assert lines[-2].endswith(f"; {run_json})")
    assert result.last_line.success > 0


@pytest.mark.parametrize("asked", [True, False])
def test_a_report_for_which_there_is_no_room_is_a_line(place: Place, *, asked: bool) -> None:
    report = ("--report", "page.html") if asked else ()
    result = on_a_small_disk(place, *watching(place, "--rate", "300", *report))
    page = "page.html" if asked else "report.html"
    assert f"{page} cannot be written: No space left on device" in result.stdout.splitlines()
    left, _end, run = result.stderr.partition("\n")
    assert left == "left: data.csv losses.csv run.json "
    verdict = json.loads(run)["summary"]["verdict"]
    assert f"verdict: {verdict}" in result.stdout
    assert result.status == (3 if asked else EXIT_STATUS[verdict])


# What cannot be written is said before the run.


@pytest.mark.parametrize("option", ["--csv", "--losses", "--run", "--report", "--junit", "--summary"])
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("missing/file", "No such file or directory"),
        (".", "Is a directory"),
        ("x/file", "Not a directory"),
        ("a" * 256, "File name too long"),
        ("pipe", "nobody reads from it"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_run(place: Place, option: str, path: str, why: str) -> None:
    place.write("x", BEFORE)
    os.mkfifo(place.folder / "pipe")
    result = place.run(*watching(place, option, path), report=True)
    assert re.fullmatch(rf"proxyreload: {re.escape(path)} cannot be written: {why}\n", result.stderr)
    assert (result.status, result.stdout) == (2, "")
    assert names(place) == {"x", "pipe"}


@pytest.mark.parametrize("option", ["--json", "--report", "--junit", "--markdown", "--summary", "--folder"])
def test_so_it_is_before_a_comparison(place: Place, option: str) -> None:
    place.write("x", BEFORE)
    result = place.run("compare", "haproxy:reload", option, "x/y", *place.ports, report=True)
    assert_one_line(result, 2, "x/y cannot be written: Not a directory")


@pytest.mark.parametrize("option", ["--csv", "--losses", "--run", "--report", "--junit"])
def test_a_pipe_that_is_read_gets_all_of_it(place: Place, option: str) -> None:
    pipe = place.folder / "pipe"
    os.mkfifo(pipe)
    told: list[str] = []
    reading = threading.Thread(target=lambda: told.append(pipe.read_text(encoding="utf-8")))
    keeping = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # there is a reader from the start
    reading.start()
    result = place.run(*watching(place, option, "pipe"), report=True)
    os.close(keeping)
    reading.join()
    assert (result.status, result.stderr) == (0, "")
    ends = {"--csv": "\n", "--losses": "\n", "--run": "}\n", "--report": "</html>\n", "--junit": "</testsuites>\n"}
    assert told[0].rstrip("\n").endswith(ends[option].rstrip("\n"))


def test_a_pipe_that_nobody_reads_any_more_ends_the_run_as_invalid(place: Place) -> None:
    pipe = place.folder / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    result = place.run(*watching(place, "--csv", "pipe", duration=3600))
    os.close(reader)
    assert (result.status, result.verdict) == (3, "invalid")
    assert re.match(r"pipe: nobody has read from it for 10 s; \d+ rows were written", result.summary["reasons"][0])


# What is read is not waited for.


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("pipe", "pipe: not all of it has come within 10 s"),
        ("/dev/zero", "/dev/zero: longer than 65536 bytes"),
        (".", ".: Is a directory"),
        ("a" * 300, ": File name too long"),
    ],
)
def test_a_scenario_that_can_be_none_is_said(place: Place, path: str, why: str) -> None:
    os.mkfifo(place.folder / "pipe")
    assert_one_line(place.run(*HAPROXY, "--scenario", path, *place.ports), 2, why)


@pytest.mark.parametrize("path", ["/dev/zero", ".", "/dev/null", "missing"])
def test_certificates_that_can_be_none_are_said(place: Place, path: str) -> None:
    rows = Path(place.write("data.csv", BEFORE))
    url, *words = watching(place, "--ca", path)
    assert_one_line(place.run(url.replace("http:", "https:"), *words), 2, f"--ca {path}: ")
    assert rows.read_text() == BEFORE


@pytest.mark.parametrize("path", ["pipe", "/dev/zero", ".", "a" * 300])
def test_a_run_to_report_that_can_be_none_is_said(place: Place, path: str) -> None:
    os.mkfifo(place.folder / "pipe")
    assert_one_line(place.run("report", path), 2, path)
    assert names(place) == {"pipe"}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([b"--csv", b"a\xffb"], "not UTF-8: a\\udcffb"),
        ([b"--csv", b"a\nb"], "--csv takes a file's name without control characters, not 'a\\nb'"),
        ([b"--report=\x1b[2J"], "--report takes a file's name without control characters, not '\\x1b[2J'"),
        ([b"--csv", b""], "--csv takes a file's name without control characters, not ''"),
        ([b"--plugin-path", b"a" * 300, b"--plugin", b"x"], "the plugin path names /"),
        ([b"report", b"a\xff"], "not UTF-8: a\\udcff"),
        ([b"report", b"a\nb"], "FILE takes a file's name without control characters, not 'a\\nb'"),
        ([b"compare", b"haproxy", b"--folder", b"a\tb"], "--folder takes a file's name without control characters"),
    ],
)
def test_a_name_that_no_line_can_show_is_one_line(place: Place, words: list[bytes], complaint: str) -> None:
    result = place.run(*map(os.fsdecode, words))
    assert_one_line(result, 2, complaint)
    assert result.stderr.rstrip("\n").isprintable()
    assert names(place) == set()


# What others say is text.


PLUGIN = r"""
from zope.interface import implementer
from proxyreload.errors import ChangeError
from proxyreload.proxy.interfaces import IProxy, Mechanism, ProxyPlugin

SAID = "\x1b]0;title\x07\n=1+1 \x9b2J"

@implementer(IProxy)
class Proxy:
    def __init__(self, workspace): pass
    async def start(self, upstreams): pass
    async def add_backend(self, upstream): raise ChangeError(SAID)
    async def remove_backend(self, upstream): raise RuntimeError(SAID)
    async def stop(self): pass

plugin = ProxyPlugin("evil", None, (Mechanism("words", SAID, Proxy),))
"""
SCENARIO = r"""
title = "\u001b[31mred\n\u009b=title"
duration = 3
[[step]]
at = 0.2
add = 2
[[step]]
at = 0.6
remove = 0
"""


def assert_printable(result: Result) -> None:
    for text in (result.stdout, result.stderr):
        assert all(line.isprintable() for line in text.splitlines()), text
        assert not {"\r", "\v", "\f", "\x85", "\u2028"} & set(text)


def test_no_word_of_a_plugin_or_a_scenario_is_a_command_to_the_terminal(place: Place) -> None:
    place.write("proxyreload_evil.py", PLUGIN)
    place.write("my.toml", SCENARIO)
    path = ("--plugin-path", ".")
    result = place.run(*path, *watching(place)[:3], "--plugin", "evil", "--scenario", "my.toml", "--timeout", "1")
    assert_printable(result)
    assert r"evil:words: \x1b[31mred\n\x9b=title; 10 clients" in result.stdout
    assert r"failed: \x1b]0;title\x07 / =1+1 \x9b2J" in result.stdout
    assert result.stderr == ""
    listed = place.run(*path, "plugins")
    assert_printable(listed)
    assert r"\x1b]0;title\x07\n=1+1 \x9b2J" in listed.stdout
    place.write("proxyreload_evil.py", r'raise RuntimeError("\x1b[31mno\n\x9b")')
    broken = place.run(*path, "--plugin", "evil", *watching(place))
    assert_printable(broken)
    assert_one_line(broken, 2, r"cannot be loaded: RuntimeError: \x1b[31mno")


class Formulas(threading.Thread):
    """A server that calls its backend by a formula, and asks nobody for a password but keeps what it was told."""

    def __init__(self, instance: bytes) -> None:
        super().__init__(daemon=True)
        self.instance = instance
        self.asked: list[bytes] = []
        self.listening = socket.create_server((HOST, 0))
        self.port: int = self.listening.getsockname()[1]

    def run(self) -> None:
        while True:
            connection, _address = self.listening.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        data = b""
        while received := connection.recv(65536):
            data += received
            while b"\r\n\r\n" in data:
                head, _end, data = data.partition(b"\r\n\r\n")
                self.asked.append(head)
                connection.sendall(b"HTTP/1.1 200 OK\r\nBackend-Id: %b\r\nContent-Length: 0\r\n\r\n" % self.instance)


@pytest.mark.parametrize("instance", ["=1+1", "@SUM(A1)", "+x", "-x", "'=x"])
def test_no_cell_that_a_proxy_names_is_a_formula(place: Place, instance: str) -> None:
    server = Formulas(instance.encode())
    server.start()
    url = f"http://{HOST}:{server.port}/"
    result = place.run(url, "--no-backends", "--duration", "1", "--rate", "100")
    assert (result.status, result.stderr) == (0, "")
    assert {row.instance for row in result.rows} == {f"'{instance}"}
    assert all(not cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in result.table for cell in row)
    assert set(result.summary["answers_by_instance"]) == {instance}
    made = place.run("report", "run.json")
    assert (made.status, made.stderr) == (0, "")


# Passwords.


def test_a_password_in_the_url_is_sent_and_written_down_nowhere(place: Place) -> None:
    server = Formulas(b"0")
    server.start()
    url = f"http://us%65r:s%65cr%40t@{HOST}:{server.port}/path"
    words = (url, "--no-backends", "--duration", "1", "--rate", "100", "--junit", "junit.xml")
    result = place.run(*words, report=True)
    assert (result.status, result.stderr) == (0, "")
    sent = b"Authorization: Basic " + base64.b64encode(b"user:secr@t")
    assert all(sent in head.split(b"\r\n") for head in server.asked)
    assert all(head.startswith(b"GET /path HTTP/1.1\r\n") for head in server.asked)
    assert result.run_json["url"] == f"http://{HOST}:{server.port}/path"
    assert result.run_json["command"][-1] == f"http://…@{HOST}:{server.port}/path"
    place.write("said", result.stdout + result.stderr)
    assert names(place) == {"data.csv", "losses.csv", "run.json", "report.html", "junit.xml", "said"}
    for path in place.folder.iterdir():
        content = path.read_bytes()
        for secret in (b"s%65cr", b"secr@t", b"us%65r", base64.b64encode(b"user:secr@t")):
            assert secret not in content, path


def test_what_is_wrong_with_a_url_is_said_without_its_password(place: Place) -> None:
    for url in ("http://user:secret@", "http://user:sec/ret@host/", "ftp://user:secret@host/", "http://a:sec ret@b/"):
        result = place.run(url)
        assert_one_line(result, 2, "is not a URL")
        assert "sec" not in result.stderr


# A user without a home.


def homeless(command: Sequence[str]) -> list[str]:
    """Return what runs a command as a container with any user id does: no home, no entry among the users."""
    return ["env", "--unset=HOME", "unshare", "--user", "--map-user=12345", *command]


def test_a_user_without_a_home_gets_all_the_files(place: Place) -> None:
    result = place.run(*watching(place), command=homeless(PROXYRELOAD), report=True)
    assert (result.status, result.stderr) == (0, "")
    assert "written: data.csv, losses.csv, run.json, report.html" in result.stdout.splitlines()
    assert (place.folder / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    again = place.run("report", "run.json", "--output", "again.html", command=homeless(PROXYRELOAD))
    assert (again.status, again.stderr) == (0, "")
    words = ("compare", "haproxy:reload", "--repeat", "1", "--rate", "100", *place.ports)
    compared = place.run(*words, command=homeless(PROXYRELOAD), report=True)
    assert "written: compare.json, compare.html" in compared.stdout.splitlines()
    assert (place.folder / "compare" / "haproxy-reload-1" / "report.html").is_file()


def test_what_raises_while_a_report_is_drawn_is_a_line_and_costs_no_verdict(place: Place) -> None:
    place.write(
        "sitecustomize.py", "import os\nif 'BROKEN' in os.environ: import bokeh.embed; del bokeh.embed.components"
    )
    environment = {**place.environment, "PYTHONPATH": str(place.folder), "BROKEN": "yes"}
    for words in (watching(place, "--report", "page.html"), watching(place)):
        result = place.run(*words, environment=environment, report=True)
        assert (result.status, result.stderr) == (0, "")
        (line,) = [each for each in result.stdout.splitlines() if each.startswith("not written: ")]
        assert "html: the report cannot be drawn: ImportError: cannot import name 'components'" in line
    assert names(place) - {"__pycache__"} == {"data.csv", "losses.csv", "run.json", "sitecustomize.py"}
    made = place.run("report", "run.json", environment=environment)
    assert_one_line(made, 3, "the report cannot be drawn: ImportError")
