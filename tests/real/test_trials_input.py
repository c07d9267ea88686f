"""What others send and write: proxies, scenarios, a run's files."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from .command import HOST, TIMEOUT_S, Place

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
#: Of the requests on a connection this one's answer has something behind it.
ODD = 10


@contextmanager
def answering(*pieces: bytes) -> Iterator[str]:
    """Serve somebody's URL; what is behind an odd answer comes in these pieces, a write each, the answer in the first."""

    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = 0
        with connection, suppress(OSError):
            while connection.recv(65536):
                asked += 1
                for piece in pieces if asked == ODD else [ANSWER]:
                    connection.sendall(piece)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server((HOST, 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://{HOST}:{listening.getsockname()[1]}/"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("behind", [b"\r\n", SWITCH, ANSWER, b"<html>"])
def test_an_answer_with_something_behind_it_is_judged_the_same_whole_and_in_pieces(place: Place, behind: bytes) -> None:
    for pieces in ((ANSWER + behind,), (ANSWER[:-1], ANSWER[-1:] + behind), (ANSWER, behind)):
        with answering(*pieces) as url:
            result = place.run(url, "--no-backends", "--clients", "2", "--rate", "40", "--duration", "1")
        assert (result.status, result.stderr, result.verdict) == (1, "", "lossy")
        assert result.summary["failure"] == 0
        assert all(reason.endswith("had bytes that no request asked for") for reason in result.summary["reasons"])
        result.assert_complete()


LONG = "[[step]]\npause=0\n" * 3500


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (LONG + "[[step]]\nadd = 1\n", "7002: backend 1 is behind the proxy already"),
        (LONG + "x = 1\n", "7001: unknown key 'x'; there are: at, add, remove, reload, upgrade, rotate, edit, pause"),
        ("a." * 20_000 + "a = 1\n", "1: nested too deeply"),
        ("duration = " + "9" * 10_000, "1: a number of too many digits"),
    ],
)
def test_a_long_scenario_that_is_wrong_is_told_so_with_its_line(place: Place, text: str, complaint: str) -> None:
    scenario = place.write("my.toml", text)
    result = place.run("--plugin", "control", "--scenario", scenario, *place.ports)
    assert (result.status, result.stdout) == (2, "")
    assert f"my.toml:{complaint}\n" in result.stderr


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            '{"format": 1, "finished": true, "summary": {"exchanges": 1e999}}',
            "run.json: summary.exchanges is not a whole",
        ),
        ('{"a":' * 100_000, "run.json:1: not JSON: "),
        ('{"format": ' + "9" * 10_000 + "}", "run.json:1: not JSON: "),
        ('{"format": 1, "finished": true, "changes": [[]]}', "run.json: changes is not a list of tables"),
    ],
)
def test_a_hostile_run_file_is_one_line_and_wrong_usage(place: Place, content: str, complaint: str) -> None:
    run = place.write("run.json", content)
    result = place.run("report", run)
    assert (result.status, result.stdout) == (2, "")
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1


#: What is fed to each target besides what it begins with: without atheris, which `make fuzz` has.
FEED = """
import random
from tests.fuzz.targets import TARGETS
for name, target in TARGETS.items():
    chance, seeds = random.Random(name), list(target.seeds())
    for number in range(200):
        data = bytearray(chance.choice(seeds) if seeds and number % 4 else chance.randbytes(chance.randrange(64)))
        for _change in range(chance.randrange(4)):
            place = chance.randrange(len(data) + 1)
            data[place : place + chance.randrange(3)] = chance.choice([b"", b"\\0", chance.randbytes(2)])
        target.take(bytes(data[: target.longest]))
    print(name)
"""


def test_every_target_takes_what_it_is_fed() -> None:
    fed = subprocess.run((sys.executable, "-c", FEED), cwd=ROOT, capture_output=True, text=True, check=False)
    assert fed.returncode == 0, fed.stderr
    assert len(fed.stdout.split()) == 12


def test_what_a_target_may_not_do_is_noticed_and_can_be_fed_again(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import proxyreload.plan.scenario as scenario\n"
        "parse = scenario.parse\n"
        "def broken(text, *more):\n"
        "    assert 'upgrade' not in text\n"
        "    return parse(text, *more)\n"
        "scenario.parse = broken\n",
        encoding="utf-8",
    )
    words = (sys.executable, "-m", "tests.fuzz", "scenarios", "--runs", "100000", "--seed", "1")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    fed = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert fed.returncode == 1, fed.stderr
    assert "Test unit written to" in fed.stderr, fed.stderr
    [found] = tmp_path.glob("proxyreload-fuzz-scenarios-*/crash-*")
    assert b"upgrade" in found.read_bytes()
    again = subprocess.run(
        (*words[:4], "--again", str(found)), cwd=ROOT, env=environment, capture_output=True, check=False
    )
    assert again.returncode == 1
    assert b"AssertionError" in again.stderr
