"""Every mechanism carries every kind of traffic, or says why it cannot; what comes bit by bit goes on so."""

import http.server
import signal
import socket
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest

from proxyreload.proxy.recipe import HOSTNAME
from proxyreload.proxy.registry import choose, installed, load
from proxyreload.traffic.registry import kinds

from .command import HOST, TIMEOUT_S, TRAFFIC, Place
from .mechanisms import third_party
from .proxies import is_built

pytestmark = pytest.mark.real


def mechanisms() -> list[str]:
    """Return every mechanism of a proxy that is started here, by its whole name."""
    plugins = [load(point) for point in installed().values()]
    return [
        f"{plugin.name}:{mechanism.name}"
        for plugin in plugins
        if plugin.binary is not None and not plugin.testing and (plugin.name != "pingap" or is_built("pingap"))
        for mechanism in plugin.mechanisms
    ]


MECHANISMS = mechanisms()
#: Each kind with short settings of its own.
KEYS = {
    "idle": "gap = 0.3",
    "aimed": "gap = 0.3\nclients = 3",
    "post": "size = 100000\ngap = 0.2",
    "slow": "delay = 0.5",
    "stream": "every = 0.05\nlength = 1",
    "download": "size = 1000000\nrate = 1000000",
    "upload": "every = 0.05\nlength = 1",
    "websocket": "every = 0.05\nlength = 1",
}


def every(carried: set[str]) -> str:
    """Return a scenario of these kinds, without a change."""
    tables = [f'[[traffic]]\nkind = "{kind}"\nrtt = 2\n{KEYS.get(kind, "")}\n' for kind in kinds() if kind in carried]
    return "duration = 2.5\n" + "".join(tables)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_mechanism_carries_every_kind(place: Place, mechanism: str) -> None:
    made = choose(mechanism).mechanism
    cannot = {name for name, kind in kinds().items() if made.why_not_carried(name, kind.needs, tls=False)}
    path = place.write("every.toml", every(kinds().keys() - cannot))
    result = place.run("--plugin", mechanism, "--scenario", path, "--clients", "1", "--rate", "20", *place.ports)
    assert result.stderr == ""
    assert (result.status, result.verdict) in ((0, "seamless"), (0, "graceful"))
    assert place.left() == []
    assert result.summary["failures"] == {}
    assert result.summary["kinds"].keys() == kinds().keys() - cannot


CANNOT = """\
import attrs
import proxyreload_haproxy

whole = proxyreload_haproxy.plugin
mechanism = attrs.evolve(whole.mechanisms[0], carries_not={"upload": "it has no time"})
plugin = attrs.evolve(whole, name="hasty", mechanisms=(mechanism,))
"""


def test_what_a_mechanism_cannot_carry_is_said_and_not_sent(place: Place) -> None:
    environment = third_party(place, "hasty", CANNOT)
    result = place.run(
        "--plugin", "hasty", "--traffic", "all", "--duration", "3", *place.ports, environment=environment
    )
    assert "upload  cannot: it has no time" in result.stdout
    assert "upload" not in result.summary["kinds"]
    assert {"kind": "upload", "clients": 0, "cannot": "it has no time"} in result.run_json["traffic"]
    assert {row.kind for row in result.rows} == kinds().keys() - {"upload"}


def test_asked_for_by_name_it_is_refused(place: Place) -> None:
    environment = third_party(place, "hasty", CANNOT)
    result = place.run("--plugin", "hasty", "--traffic", "upload=1", *place.ports, environment=environment)
    assert result.stderr == "proxyreload: hasty:runtime cannot carry upload: it has no time\n"
    assert result.status == 2


class Backend(http.server.BaseHTTPRequestHandler):
    """Sends the end of a stream when the client has had its beginning, and tells of an upload's beginning."""

    protocol_version = "HTTP/1.1"
    heard: ClassVar[threading.Event]
    begun: ClassVar[threading.Event]

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path != "/stream":
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"e\r\ndata: begins\n\n\r\n")
        self.wfile.flush()
        self.heard.wait(TIMEOUT_S)
        self.wfile.write(b"c\r\ndata: ends\n\n\r\n0\r\n\r\n")

    def do_POST(self) -> None:
        while (size := int(self.rfile.readline(), 16)) > 0:
            assert len(self.rfile.read(size + 2)) == size + 2
            self.begun.set()
        self.rfile.readline()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: object) -> None: ...


@pytest.fixture
def backends(place: Place) -> Iterator[type[Backend]]:
    """Let somebody else's backends listen where the proxy will look for them."""

    class Handler(Backend):
        heard, begun = threading.Event(), threading.Event()

    servers = [http.server.ThreadingHTTPServer((HOST, place.first_port + number), Handler) for number in range(4)]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Handler
    for server in servers:
        server.shutdown()
        server.server_close()


def until(connection: socket.socket, end: bytes) -> None:
    """Read until these bytes have come."""
    said = b""
    while end not in said:
        more = connection.recv(65536)
        assert more, said
        said += more


PLUGINS = sorted({name.partition(":")[0] for name in MECHANISMS})


@pytest.mark.parametrize("plugin", PLUGINS)
def test_what_comes_bit_by_bit_goes_on_bit_by_bit(place: Place, backends: type[Backend], plugin: str) -> None:
    words = ("--plugin", plugin, "--no-backends", "--duration", "3600", "--clients", "1", "--rate", "20")
    session = place.start(*words, *place.ports)
    session.until(TRAFFIC)
    head = f" HTTP/1.1\r\nHost: {HOSTNAME}:{place.front_port}\r\n".encode()
    with socket.create_connection((HOST, place.front_port), TIMEOUT_S) as connection:
        connection.sendall(b"GET /stream" + head + b"\r\n")
        until(connection, b"data: begins")
        backends.heard.set()
        until(connection, b"0\r\n\r\n")
    with socket.create_connection((HOST, place.front_port), TIMEOUT_S) as connection:
        connection.sendall(b"POST /upload" + head + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        assert backends.begun.wait(TIMEOUT_S)
        connection.sendall(b"3\r\ntwo\r\n0\r\n\r\n")
        until(connection, b" 200 ")
    session.signal(signal.SIGINT)
    assert session.ended().stderr == ""


def test_there_are_as_many_as_the_readme_says() -> None:
    assert len(MECHANISMS) >= 40
