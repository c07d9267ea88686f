"""Trials of the live page: peers that ask for too much, say too little or read nothing, and who may read."""

import json
import os
import re
import resource
import select
import signal
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest

from .browser import BROWSER, browser
from .command import EXIT_STATUS, HOST, TIMEOUT_S, Place, Session, free_ports

pytestmark = pytest.mark.real

JSON = {"Content-Type": "application/json"}
TOKEN = "correct-horse-battery"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
READ = ("/", "/api/state", "/api/losses", "/api/runs", "/api/pictures", "/metrics", "/api/events", "/static/page.js")
RUN = ("--plugin", "haproxy:reload", "--rate", "200", "--log", "changes")
#: What the command may open, and more connections than that.
DESCRIPTORS = 400


class UnixConnection(HTTPConnection):
    """One to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def open_to_all() -> None:
    """Mask nothing, as some do."""
    os.umask(0)


def serve(place: Place, where: str, *words: str, environment: Mapping[str, str] | None = None) -> Session:
    """Start a run with its page, and wait until the clients send."""
    session = place.start(
        *("--web", where, *RUN, *words, *place.ports),
        environment={**place.environment, **(environment or {})},
        preexec_fn=open_to_all,
    )
    session.until("haproxy:reload: changes by hand; .* until Ctrl-C")
    return session


def ask(
    to: HTTPConnection | int, path: str, body: str | None = None, method: str = "", **headers: str
) -> tuple[int, bytes]:
    """Return an answer's status and content, of events the first line."""
    connection = HTTPConnection(HOST, to, timeout=TIMEOUT_S) if isinstance(to, int) else to
    connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
    answer = connection.getresponse()
    content = answer.readline() if path == "/api/events" and answer.status == 200 else answer.read()
    connection.close()
    return answer.status, content


def state(port: int) -> Any:
    """Return the page's state."""
    status, content = ask(port, "/api/state")
    assert status == 200, content
    return json.loads(content)


def more_traffic(port: int, exchanges: int = 100) -> None:
    """Wait for more exchanges."""
    enough = state(port)["counts"]["exchanges"] + exchanges
    while state(port)["counts"]["exchanges"] < enough:
        continue


def seamless(session: Session) -> None:
    """End the run, which must have lost nothing and said nothing."""
    session.signal(signal.SIGTERM)
    result = session.ended()
    assert (result.status, result.stderr) == (EXIT_STATUS["seamless"], "")
    assert "failure: 0 " in result.stdout.splitlines()[-1]


def wait_until_closed(sockets: list[socket.socket]) -> None:
    """Wait until the other side has closed them all."""
    deadline = time.monotonic() + TIMEOUT_S
    waiting = set(sockets)
    while waiting:
        readable = select.select(list(waiting), [], [], max(0, deadline - time.monotonic()))[0]
        assert readable, f"{len(waiting)} of {len(sockets)} are still open"
        for each in readable:
            try:
                if not each.recv(65_536):
                    waiting.discard(each)
            except ConnectionError:
                waiting.discard(each)


@contextmanager
def connected(port: int, number: int, said: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open many connections that say this."""
    with ExitStack() as opened:
        sockets = []
        for _ in range(number):
            each = opened.enter_context(socket.create_connection((HOST, port)))
            each.sendall(said)
            sockets.append(each)
        yield sockets


def test_half_open_connections_leave_the_run_its_descriptors_and_the_page_to_others(place: Place) -> None:
    port = free_ports(1)
    session = serve(place, str(port))
    resource.prlimit(session.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    with connected(port, DESCRIPTORS, b"GET /api/state HTTP/1.1\r\nHost: ") as half_open:
        # Each of the probe's requests needs a connection.
        more_traffic(port, 400)
        assert psutil.Process(session.pid).num_fds() < DESCRIPTORS / 2
        wait_until_closed(half_open)
    seamless(session)


def test_a_byte_now_and_then_keeps_no_connection(place: Place) -> None:
    port = free_ports(1)
    session = serve(place, str(port))
    with connected(port, 1, b"GET /") as [dribbling], pytest.raises(ConnectionError):
        dribble(dribbling, port)
    seamless(session)


def dribble(connection: socket.socket, port: int) -> None:
    """Say a byte now and then."""
    while True:
        connection.sendall(b"x")
        more_traffic(port, 20)


def test_who_asks_for_much_and_reads_nothing_costs_no_memory_and_is_left(place: Place) -> None:
    port = free_ports(1)
    session = serve(place, str(port))
    process = psutil.Process(session.pid)
    more_traffic(port)
    before = process.memory_info().rss
    pictures = b"GET /api/pictures HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % port
    assert len(ask(port, "/api/pictures")[1]) > 20_000
    with connected(port, 3, pictures * 2_000):
        more_traffic(port)
        assert process.memory_info().rss - before < 40_000_000
        wait_until_left(process, port)
    seamless(session)


def wait_until_left(process: psutil.Process, port: int) -> None:
    """Wait until the page has no connections but those that ask here."""
    while True:
        more_traffic(port, 20)
        open_ones = [each for each in process.net_connections("tcp") if each.laddr[1] == port and each.raddr]
        if not [each for each in open_ones if each.status == psutil.CONN_ESTABLISHED]:
            return


def test_who_asks_for_the_head_of_the_events_keeps_no_place(place: Place) -> None:
    port = free_ports(1)
    session = serve(place, str(port))
    head = b"HEAD /api/events HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % port
    with connected(port, 40, head) as asking:
        for each in asking:
            assert each.recv(15) == b"HTTP/1.1 200 OK"
        assert ask(port, "/api/events") == (200, b"event: state\n")
    # Those who read, and leave without a word, keep none either.
    for _ in range(40):
        assert ask(port, "/api/events") == (200, b"event: state\n")
    # Nor those who have nothing more to say.
    events = b"GET /api/events HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % port
    with connected(port, 40, events) as half_closed:
        for each in half_closed:
            each.shutdown(socket.SHUT_WR)
        wait_until_closed(half_closed)
    assert ask(port, "/api/events") == (200, b"event: state\n")
    seamless(session)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "page.test:{port}"}, 200),
        ({"Host": "page.test:{port}", "Origin": "http://page.test:{port}"}, 200),
        ({"Host": "evil.test:{port}"}, 421),
        ({"Host": "page.test"}, 421),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "http://page.test:{port}"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_a_forged_host_or_origin_is_refused(named: int, headers: dict[str, str], status: int) -> None:
    given = {name: value.format(port=named) for name, value in headers.items()}
    assert ask(named, "/api/state", **given)[0] == status
    assert ask(named, "/api/load", '{"rate": 200}', **JSON, **given)[0] == status


@pytest.fixture(name="named", scope="module")
def _named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    place, port = Place(tmp_path_factory.mktemp("named")), free_ports(1)
    try:
        session = serve(place, str(port), "--web-names", "page.test")
        yield port
        seamless(session)
    finally:
        place.close()


def test_beyond_the_loopback_nothing_is_read_without_the_token_which_stands_nowhere(place: Place) -> None:
    port = free_ports(1)
    where = f"tcp:{port}:interface=0.0.0.0"
    session = serve(place, where, environment={"PROXYRELOAD_TOKEN": TOKEN})
    # What is started by the run does not inherit it.
    for process in session.descendants():
        assert TOKEN not in process.environ().values()
    for path in READ:
        for headers in ({}, {"Authorization": "Bearer wrong-horse"}, {"Cookie": f"proxyreload={TOKEN}"}):
            for method in ("GET", "HEAD"):
                status, content = ask(port, path, None, method, **headers)
                assert (status, TOKEN.encode() in content) == (401, False)
        status, content = ask(port, path, **BEARER)
        assert (status, TOKEN.encode() in content) == (200, False)
    assert ask(port, "/api/load", '{"rate": 100}', **JSON)[0] == 401
    assert ask(port, "/api/load", '{"rate": 100}', **JSON, **BEARER)[0] == 200
    session.signal(signal.SIGTERM)
    result = session.ended()
    assert result.stderr == ""
    said = [result.stdout, *(path.read_text("utf-8") for path in place.folder.rglob("*") if path.is_file())]
    assert len(said) > 3
    assert not [text for text in said if TOKEN in text]


def test_on_the_loopback_everybody_here_may_read_and_who_has_the_token_change(place: Place) -> None:
    file, port = place.write("token", f"{TOKEN}\n", mode=0o600), free_ports(1)
    session = serve(place, str(port), "--token-file", file)
    for path in READ:
        assert ask(port, path)[0] == 200
    assert ask(port, "/api/load", '{"rate": 100}', **JSON)[0] == 401
    assert ask(port, "/api/load", '{"rate": 100}', **JSON, **BEARER)[0] == 200
    seamless(session)


def test_a_unix_socket_is_its_owners_alone_and_asks_for_a_token(place: Place) -> None:
    path = place.temp / "page.sock"
    session = place.start("--web", f"unix:{path}", *RUN, *place.ports, preexec_fn=open_to_all)
    line = session.until("the page is at the Unix socket ")
    found = re.search(rf"{re.escape(str(path))}, as http://localhost/#token=(\S+)$", line)
    assert found is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for asked in READ:
        assert ask(UnixConnection(path), asked)[0] == 401
        assert ask(UnixConnection(path), asked, Authorization=f"Bearer {found[1]}")[0] == 200
    assert ask(UnixConnection(path), "/api/state", Host="evil.test", Authorization=f"Bearer {found[1]}")[0] == 421
    session.until("changes by hand; .* until Ctrl-C")
    seamless(session)
    assert place.left() == []


def test_a_socket_that_a_dead_one_left_is_replaced_and_that_of_a_living_one_is_not(
    place: Place, tmp_path: Path
) -> None:
    path = place.temp / "page.sock"
    first = serve(place, f"unix:{path}")
    other = Place(tmp_path)
    try:
        refused = other.run("--web", f"unix:{path}", *RUN, *other.ports)
        assert (refused.status, refused.stderr) == (
            3,
            f"proxyreload: the page cannot be served at unix:{path}: somebody serves there\n".replace("unix:", ""),
        )
        assert ask(UnixConnection(path), "/api/state")[0] == 401
        first.signal(signal.SIGKILL)
        first.ended()
        assert path.is_socket()
        second = serve(other, f"unix:{path}")
        assert ask(UnixConnection(path), "/api/state")[0] == 401
        seamless(second)
        path.write_text("mine")
        assert "something else stands there" in other.run("--web", f"unix:{path}", *RUN, *other.ports).stderr
        assert path.read_text() == "mine"
    finally:
        other.close()


@BROWSER
def test_a_browser_shows_the_page_to_who_has_the_token(place: Place) -> None:
    port = free_ports(1)
    session = place.start("--web", f"tcp:{port}:interface=0.0.0.0", *RUN, *place.ports)
    line = session.until("the page is http://0.0.0.0:")
    token = line.strip().partition("#token=")[2]
    session.until("changes by hand; .* until Ctrl-C")
    page = f"http://{HOST}:{port}/"
    with browser() as shown:
        shown.driver.get(page)
        field = shown.driver.find_element("css selector", "#token")
        field.send_keys("not-this-one")
        field.submit()
        shown.until("document.querySelector('#said').textContent === 'this is not the token'")
        assert "exchanges" not in shown.driver.page_source
        shown.driver.get("about:blank")
        shown.driver.get(f"{page}#token={token}")
        shown.until("models && seen.slices.length > 3")
        assert shown.driver.current_url == page
        assert token not in shown.driver.page_source
        [cookie] = shown.driver.get_cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert shown.ask("return document.cookie") == ""
        shown.ask("document.querySelector('[data-action=reload]').click()")
        shown.until("document.querySelector('#said').textContent === 'change 1, reload: applied'")
        # Another window reads by the cookie, and asks for the token before it changes anything.
        shown.driver.switch_to.new_window("tab")
        shown.driver.get(page)
        shown.until("models && seen.slices.length > 3")
        shown.until("!document.querySelector('#token-form').hidden")
    session.signal(signal.SIGTERM)
    assert session.ended().stderr == ""
