"""The live page's API: every example of docs/api.md, and who is turned away."""

import json
import re
import shlex
import signal
import socket
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from .command import EXIT_STATUS, HOST, TIMEOUT_S, Place, Session, free_ports

pytestmark = pytest.mark.real

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"
DOCUMENTED_PORT = 8090


def serve(place: Place, *words: str) -> tuple[Session, int]:
    """Start a run with its page; returns the page's port."""
    port = free_ports(1)
    session = place.start("--web", str(port), "--log", "changes", *words, *place.ports)
    session.until(f"the page is http://{HOST}:{port}/$")
    session.until("haproxy:reload: changes by hand; .* until Ctrl-C")
    return session, port


def ask(port: int, path: str, body: str | None = None, **headers: str) -> tuple[int, str, bytes]:
    """Return an answer's status, its kind and its content, of events the first three."""
    connection = HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    connection.request("GET" if body is None else "POST", path, body, headers)
    answer = connection.getresponse()
    content = b"".join(answer.readline() for _ in range(9)) if path == "/api/events" else answer.read()
    kind = answer.headers["Content-Type"]
    connection.close()
    return answer.status, kind, content


def told(port: int, path: str, **asked: Any) -> Any:
    """Return what is answered with success."""
    body = json.dumps(asked) if asked else None
    status, _kind, content = ask(port, path, body, **{"Content-Type": "application/json"})
    assert status == 200, content
    return json.loads(content)


def examples() -> list[tuple[str, str, str | None]]:
    """Return the document's examples: the section, the path, the body."""
    found, section = [], ""
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        section = line.removeprefix("### ") if line.startswith("### ") else section
        if line.startswith("curl "):
            words = shlex.split(line)
            url = urlsplit(words[-1])
            assert (url.hostname, url.port) == (HOST, DOCUMENTED_PORT)
            found.append((section, url.path, words[words.index("-d") + 1] if "-d" in words else None))
    return found


def documented(section: str, heading: str = "| key | meaning |") -> set[str]:
    """Return the keys in a section's table."""
    text = DOCUMENT.read_text(encoding="utf-8").split(f"### {section}\n")[1].split("\n### ")[0]
    rows = text.split(heading)[1].splitlines()[2:]
    cells = [row.split("|")[1] for row in rows if row.startswith("|")]
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


def test_every_example_does_what_the_document_says(place: Place) -> None:
    session, port = serve(place, "--plugin", "haproxy:reload", "--rate", "200", "--tls")
    answers: dict[tuple[str, str], Any] = {}
    for section, path, body in examples():
        status, kind, content = ask(port, path, body, **{"Content-Type": "application/json"} if body else {})
        assert status == 200, (path, body, content)
        assert section.endswith(path)
        answers[path, body or ""] = content if kind != "application/json" else json.loads(content)
        if body == '{"running": false}':
            session.until("verdict: ")
            while told(port, "/api/state")["state"] != "idle":
                continue
    assert set(answers["/api/state", ""]) == documented("GET /api/state")
    changes = [answer for (path, _body), answer in answers.items() if path == "/api/changes"]
    assert [(change["number"], change["action"], change["backend"], change["phase"]) for change in changes] == [
        (1, "add", 2, "applied"),
        (2, "remove", 0, "applied"),
        (3, "reload", None, "applied"),
        (4, "upgrade", None, "applied"),
        (5, "rotate", None, "applied"),
    ]
    rates = [answer["rate"] for (path, _body), answer in answers.items() if path == "/api/load"]
    assert rates == [500, None, None, 500]
    assert answers["/api/events", ""].startswith(b"event: state\ndata: {")
    history = json.loads(answers["/api/events", ""].split(b"event: history\ndata: ")[1].partition(b"\n")[0])
    lists = {"losses", "changes", "segments", "ends", "back"}
    assert set(history) == {"slices", *lists}
    for each in history["slices"]:
        assert set(each) | lists == documented("GET /api/events")
    tail = json.loads(answers["/api/events", ""].split(b"event: tail\ndata: ")[1])
    assert all(set(each) == {"name", "kind", "number", "count", "percentiles", "max_us"} for each in tail["curves"])
    [metric] = [
        line
        for line in answers["/metrics", ""].splitlines()
        if line.startswith(b'proxyreload_changes_total{action="reload"')
    ]
    assert metric.endswith(b" 1.0")
    newest, oldest = answers["/api/runs", ""]["runs"]
    assert (newest["finished"], oldest["finished"]) == (False, True)
    _status, _kind, content = ask(port, f"/runs/{oldest['name']}/run.json")
    run = json.loads(content)
    assert run["summary"]["verdict"] == oldest["verdict"]
    assert [change["action"] for change in run["changes"]] == ["add", "remove", "reload", "upgrade", "rotate"]
    session.signal(signal.SIGTERM)
    assert session.ended().stderr == ""
    assert place.left() == []


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        ("/api/changes", '{"action": "add", "backend": 0}', 409, "backend 0 is behind the proxy already"),
        ("/api/changes", '{"action": "remove", "backend": 3}', 409, "backend 3 is not behind the proxy"),
        ("/api/changes", '{"action": "add", "backend": 4}', 400, "backend must be a number from 0 to 3"),
        ("/api/changes", '{"action": "add", "backend": true}', 400, "backend must be a number from 0 to 3"),
        ("/api/changes", '{"action": "stop"}', 400, "action must be one of add, remove, reload, upgrade"),
        ("/api/changes", '{"action": "reload", "backend": 0}', 400, "add and remove need a backend"),
        ("/api/changes", '{"action": ["add"]}', 400, "action must be one of"),
        ("/api/changes", "[]", 400, "the body must be a JSON object"),
        ("/api/changes", "[" * 4000, 400, "the body must be a JSON object"),
        ("/api/load", '{"rate": 0}', 400, "rate takes a number from 0.001 to 1000000 requests/s"),
        ("/api/load", '{"rate": NaN}', 400, "rate takes a number from 0.001 to 1000000 requests/s"),
        ("/api/load", '{"rate": 1e99}', 400, "rate takes a number from 0.001 to 1000000 requests/s"),
        ("/api/load", '{"running": true}', 409, "a run is going on"),
        ("/api/load", "{}", 400, "say rate or running"),
        ("/api/state", "{}", 405, "method not allowed"),
        ("/api/nothing", None, 404, "not found"),
        ("/runs/../run.json", None, 404, ""),
        ("/runs/%2e%2e/run.json", None, 404, ""),
        ("/runs/20300102T030405Z/..%2f..%2fdata.csv", None, 404, ""),
        ("/static/..%2f..%2f__init__.py", None, 404, ""),
    ],
)
def test_what_makes_no_sense_is_refused(served: int, path: str, body: str | None, status: int, why: str) -> None:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    answered, kind, content = ask(served, path, body, **headers)
    assert (answered, kind) == (status, "application/json")
    assert why in json.loads(content)["error"]


@pytest.fixture(name="served", scope="module")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = Place(tmp_path_factory.mktemp("served"))
    try:
        session, port = serve(place, "--plugin", "haproxy:reload", "--rate", "50")
        while told(port, "/api/state")["state"] != "running":
            continue
        yield port
        session.signal(signal.SIGTERM)
        assert session.ended().status == EXIT_STATUS["seamless"]
    finally:
        place.close()


def test_a_reader_that_sleeps_slows_nobody_down(served: int) -> None:
    with socket.create_connection((HOST, served)) as asleep:
        asleep.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asleep.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % served)
        before = told(served, "/api/state")["counts"]["exchanges"]
        while told(served, "/api/state")["counts"]["exchanges"] < before + 100:
            continue
    assert told(served, "/api/state")["counts"]["failure"] == 0


def test_beyond_the_loopback_a_token_is_made_up(place: Place) -> None:
    port = free_ports(1)
    session = place.start(
        "--web", f"tcp:{port}:interface=0.0.0.0", "--plugin", "haproxy", "--log", "none", *place.ports
    )
    line = session.until(f"the page is http://0.0.0.0:{port}/#token=")
    token = line.strip().partition("#token=")[2]
    session.until("success: ")
    load, kind = '{"rate": 10}', {"Content-Type": "application/json"}
    assert ask(port, "/api/load", load, **kind)[0] == 401
    assert ask(port, "/api/load", load, **kind, Authorization=f"Bearer {token}x")[0] == 401
    assert ask(port, "/api/load", load, **kind, Authorization=f"Bearer {token}")[0] == 200
    session.signal(signal.SIGTERM)
    assert session.ended().stderr == ""


def test_a_first_run_that_cannot_start_ends_it_and_says_why(place: Place) -> None:
    with socket.create_server((HOST, place.front_port)):
        result = place.run("--web", str(free_ports(1)), "--plugin", "haproxy", *place.ports)
    assert result.status == 3
    assert f"{place.front_port}" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("library", ["bokeh", "klein", "prometheus_client"])
def test_without_its_libraries_it_says_what_to_install(place: Place, library: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; from proxyreload.entry import main; main()"
    words = ("--web", "8090", "--plugin", "haproxy", *place.ports)
    result = place.run(*words, command=(sys.executable, "-c", code))
    assert result.status == 2
    assert (
        result.stderr == f"proxyreload: --web needs {library}, which is not installed: pip install 'proxyreload[web]'\n"
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--web", "nonsense:1"), "--web takes a port or a server endpoint"),
        (("--web", "1", "--csv", "x.csv"), "--csv does not go with --web"),
        (("--web", "1", "--losses", "x.csv"), "--losses does not go with --web"),
        (("--token", "x"), "--token is for the live page: --web"),
        (("--web", "1", "--token", "a b"), "--token: a token is 8 to 256 printable ASCII characters"),
        (("--web", "8090", "--runs", "/dev/null/x"), "cannot be made"),
    ],
)
def test_wrong_options_are_told_in_a_line(place: Place, words: tuple[str, ...], why: str) -> None:
    result = place.run("--plugin", "haproxy", *words, *place.ports)
    assert result.status == 2
    assert why in result.stderr
    assert result.stderr.count("\n") == 1
