"""Bad input: one clear line, the right exit status, and nothing left."""

import os
import resource
import socket
import sys
from pathlib import Path

import pytest

from proxyreload.proxy.registry import installed

from .command import COLUMNS, HOST, Place, Result

pytestmark = pytest.mark.real

HAPROXY = ("--plugin", "haproxy")


def assert_one_line(result: Result, status: int, *words: str) -> None:
    assert result.stderr.startswith("proxyreload: "), result.stderr
    assert result.stderr.endswith("\n")
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr
    assert result.stdout == ""
    assert result.status == status


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--plugin", "gopher"], f"no plugin 'gopher'; there are: {', '.join(installed())}"),
        (["--plugin", ""], f"no plugin ''; there are: {', '.join(installed())}"),
        (["--plugin", "haproxy:magic"], "plugin haproxy has no mechanism 'magic'; there are: runtime"),
        (["--plugin", "nginx:"], "plugin nginx has no mechanism ''; there are: reload"),
        ([], "give either --plugin NAME or the URL of a proxy"),
        ([*HAPROXY, "http://localhost/"], "give either --plugin NAME or the URL of a proxy"),
        (["lolcatho.st"], "'lolcatho.st' is not a URL"),
        (["ftp://lolcatho.st/"], "'ftp://lolcatho.st/' is not a URL"),
        (["http://"], "'http://' is not a URL"),
        (["http://localhost:99999/"], "'http://localhost:99999/' is not a URL"),
        (["http://local host/"], "'http://local host/' is not a URL"),
        (["http://a/", "http://b/"], "http://a/ http://b/"),
        (["http://localhost/", "--repeat", "3"], "--repeat needs --plugin"),
        ([*HAPROXY, "--colour"], "--colour"),
        ([*HAPROXY, "--clients", "ten"], "--clients takes a whole number from 1 to 10000, not 'ten'"),
        ([*HAPROXY, "--clients", "0"], "--clients takes a whole number from 1 to 10000, not '0'"),
        ([*HAPROXY, "--clients", "1.5"], "--clients takes a whole number from 1 to 10000, not '1.5'"),
        ([*HAPROXY, "--rate", "-1"], "--rate takes a number from 0.001 to 1000000 requests/s, not '-1'"),
        ([*HAPROXY, "--rate", "nan"], "--rate takes a number from 0.001 to 1000000 requests/s, not 'nan'"),
        ([*HAPROXY, "--duration", "0"], "--duration takes a number from 0.001 to 2678400 seconds, not '0'"),
        ([*HAPROXY, "--duration", "inf"], "--duration takes a number from 0.001 to 2678400 seconds, not 'inf'"),
        ([*HAPROXY, "--duration", "1 min"], "--duration takes a number from 0.001 to 2678400 seconds, not '1 min'"),
        ([*HAPROXY, "--timeout", "0"], "--timeout takes a number from 0.001 to 3600 seconds, not '0'"),
        ([*HAPROXY, "--backends", "0"], "--backends takes a whole number from 1 to 1000, not '0'"),
        ([*HAPROXY, "--backends", "2"], "the scenario names backend 2, but --backends 2 are 0 to 1"),
        ([*HAPROXY, "--first-port", "65533"], "--first-port takes a whole number from 1 to 65532, not '65533'"),
        ([*HAPROXY, "--front-port", "70000"], "--front-port takes a whole number from 1 to 65535, not '70000'"),
        ([*HAPROXY, "--front-port", "1031"], "--front-port 1031 is one of the backends' ports, 1030 to 1033"),
        ([*HAPROXY, "--seed", "-1"], "--seed takes a whole number from 0"),
        ([*HAPROXY, "--log", "loud"], "--log takes all, changes, none, not 'loud'"),
        ([*HAPROXY, "--binary", "/nonexistent"], "--binary /nonexistent: no such program"),
        ([*HAPROXY, "--scenario", "missing.toml"], "missing.toml: No such file or directory"),
        (["backend", "zero", "1030"], "ID takes a whole number from 0 to 1000000000, not 'zero'"),
        (["backend", "0", "0"], "PORT takes a whole number from 1 to 65535, not '0'"),
        (["backend", "0"], "backend takes ID and PORT"),
    ],
)
def test_wrong_usage(place: Place, words: list[str], complaint: str) -> None:
    assert_one_line(place.run(*words), 2, complaint)
    assert {path.name for path in place.folder.iterdir()} == {"stderr-0.txt"}
    assert place.left() == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "duration = 5\n\n[[step]]\nat = 1\nad = 2\n",
            ":5: unknown key 'ad'; there are: at, add, remove, reload, upgrade, rotate, edit, pause",
        ),
        ("duration = 5\nclients = 3\n", ":2: unknown key 'clients'; there are: title, duration, backends, step"),
        ("duration = 5\n[[step]]\nat = \n", ":3: "),
        ("duration = 5\n[[step]]\nat = 1\nadd = 1\n", ":4: backend 1 is behind the proxy already"),
        ("duration = 5\n[[step]]\nat = 6\nadd = 2\n", ":3: this step comes at 6 s, but the run ends after 5 s"),
        ("duration = 5\n[[step]]\nat = 1\nadd = 9\n", "the scenario names backend 9, but --backends 4 are 0 to 3"),
    ],
)
def test_wrong_scenario(place: Place, text: str, complaint: str) -> None:
    place.write("mine.toml", text)
    result = place.run(*HAPROXY, "--scenario", "mine.toml", *place.ports)
    assert_one_line(result, 2, f"mine.toml{complaint}" if complaint.startswith(":") else complaint)
    assert not result.csv.exists()
    assert place.left() == []


def test_sozu_that_is_not_there_says_how_to_get_it(place: Place) -> None:
    if (Path(sys.executable).parent / "sozu").exists():
        pytest.skip("sozu is beside this Python")
    environment = {**place.environment, "PATH": "", "HOME": str(place.folder)}
    environment.pop("XDG_CACHE_HOME", None)
    result = place.run("--plugin", "sozu", *place.ports, environment=environment)
    assert_one_line(result, 3, "sozu is not installed", "make sozu", "--binary")
    assert not result.csv.exists()
    assert place.left() == []


def listen(port: int) -> socket.socket:
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind((HOST, port))
    taken.listen()
    return taken


def test_front_port_in_use(place: Place) -> None:
    with listen(place.front_port):
        result = place.run(*HAPROXY, *place.ports)
    assert_one_line(result, 3, f"port {place.front_port} (the front) is in use by ", f"(pid {os.getpid()})")
    assert place.left() == []


def test_backend_port_in_use(place: Place) -> None:
    port = place.first_port + 2
    with listen(port):
        result = place.run(*HAPROXY, *place.ports)
    assert_one_line(result, 3, f"port {port} (backend 2) is in use by ", f"(pid {os.getpid()})")
    assert place.left() == []


def test_port_of_a_backend_by_itself_in_use(place: Place) -> None:
    with listen(place.first_port):
        result = place.run("backend", "0", str(place.first_port))
    assert_one_line(result, 3, f"port {place.first_port} (backend 0) is in use by ", f"(pid {os.getpid()})")


@pytest.mark.parametrize("option", ["--csv", "--losses", "--run"])
@pytest.mark.parametrize(
    ("path", "why"),
    [
        (".", "Is a directory"),
        ("missing/file", "No such file or directory"),
        ("/dev/full", "No space left on device"),
        ("file/file", "Not a directory"),
    ],
)
def test_files_that_cannot_be_written(place: Place, option: str, path: str, why: str) -> None:
    place.write("file", "")
    result = place.run(*HAPROXY, option, path, *place.ports)
    assert_one_line(result, 2, f"{path} cannot be written: {why}")
    assert place.left() == []


def test_disk_that_fills_up_in_mid_run(place: Place) -> None:
    limit = 100_000

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    result = place.run(*HAPROXY, "--duration", "3600", *place.ports, preexec_fn=small_files)
    assert (result.status, result.verdict, result.stderr) == (3, "invalid", "")
    head, *rows = result.table
    assert head == COLUMNS
    assert {len(row) for row in rows} == {len(COLUMNS)}
    size = result.csv.stat().st_size
    assert limit - 1000 < size <= limit
    reason = f"data.csv: File too large; {len(rows)} rows were written"
    assert result.summary["reasons"] == [reason]
    lines = [line for line in result.stdout.splitlines() if "File too large" in line]
    assert len(lines) == 2
    assert lines[0].endswith(f"  {reason}")
    assert lines[1] == f"verdict: invalid ({reason})"
    # What was sent is counted, though it could not be written.
    assert result.last_line.success >= len(rows)
    assert result.summary["exchanges"] == sum(result.last_line[:2])
    assert place.left() == []
