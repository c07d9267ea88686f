"""The live page's routes, asked as nobody means them to be."""

from pathlib import Path

import attrs
import pytest
from twisted.internet.defer import maybeDeferred
from twisted.internet.testing import MemoryReactorClock

from proxyreload.plan.scenario import watching
from proxyreload.plan.settings import Settings, Target
from proxyreload.web.api import Api
from proxyreload.web.archive import Archive
from proxyreload.web.guard import Guarded, Rules
from proxyreload.web.site import Connection, PageSite
from proxyreload.web.subscribers import SUBSCRIBERS_AT_MOST
from proxyreload.web.whole_file import Download
from proxyreload.web.workbench import Workbench

from .visitors import HERE, Socket

RUN = "20300102T030405Z"
ROUTES = (
    "/",
    "/static/page.js",
    "/bokeh/bokeh.min.js",
    "/metrics",
    "/api/state",
    "/api/losses",
    "/api/events",
    "/api/pictures",
    "/api/runs",
    f"/runs/{RUN}/data.csv",
    f"/runs/{RUN}/losses.csv",
)


class Reactor(MemoryReactorClock):
    """One whose threads are never seen."""

    def getThreadPool(self) -> None:
        """Return nothing that is used."""


@attrs.define(eq=False)
class Scene:
    """A page without a run."""

    bench: Workbench
    site: PageSite

    def ask(self, method: str, path: str, *headers: str) -> Socket:
        """Return a socket on which this has been asked."""
        socket = Socket()
        connection = self.site.buildProtocol(HERE)
        assert isinstance(connection, Connection)
        socket.connection = connection
        connection.makeConnection(socket)
        head = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: localhost:8090", *headers, "", ""))
        connection.dataReceived(head.encode("ascii"))
        return socket


@pytest.fixture(name="scene")
def _scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("proxyreload.web.api.deferToThreadPool", lambda _reactor, _pool, asked: maybeDeferred(asked))
    monkeypatch.setattr("proxyreload.web.api.pictures", lambda _backends, _clients: {})
    reactor = Reactor()
    settings = Settings(Target.parse("http://localhost:1/"), watching(3600))
    bench = Workbench(settings, reactor, Archive(tmp_path), lambda: None, print)  # type: ignore[arg-type, return-value]
    site = PageSite(Guarded(Rules.at(HERE), Api(bench).resource), reactor)
    (tmp_path / RUN).mkdir()
    for name in ("data.csv", "losses.csv"):
        (tmp_path / RUN / name).write_bytes(b"x" * 100_000)
    return Scene(bench, site)


def test_the_head_of_everything_is_told_and_nothing_more(scene: Scene) -> None:
    for path in ROUTES:
        asked = scene.ask("HEAD", path)
        head, _, body = asked.value().partition(b"\r\n\r\n")
        assert (head[:15], body, asked.closed) == (b"HTTP/1.1 200 OK", b"", False), path
        # It is over: another request is answered.
        connection = asked.connection
        assert connection is not None
        assert not connection.answering, path
        asked.close()
    assert len(scene.bench.subscribers) == 0


def test_those_who_ask_for_the_head_of_the_events_keep_nobody_from_reading_them(scene: Scene) -> None:
    for _ in range(2 * SUBSCRIBERS_AT_MOST):
        assert b" 200 OK" in scene.ask("HEAD", "/api/events").value()
    reader = scene.ask("GET", "/api/events")
    assert b"event: state\n" in reader.value()
    assert len(scene.bench.subscribers) == 1
    reader.close()
    assert len(scene.bench.subscribers) == 0


@pytest.mark.parametrize(
    "method", ["OPTIONS", "DELETE", "PUT", "PATCH", "TRACE", "CONNECT", "get", "head", "post", "X-Y.Z!"]
)
@pytest.mark.parametrize(
    "path", [*ROUTES, "/api/changes", "/api/load", "*", "localhost:8090", "http://localhost:8090/"]
)
def test_another_method_is_refused_in_a_line_and_the_connection_goes_on(scene: Scene, method: str, path: str) -> None:
    asked = scene.ask(method, path, "Content-Type: application/json")
    connection = asked.connection
    assert connection is not None
    assert not connection.answering
    assert asked.value().startswith(b"HTTP/1.1 200 " if (method, path) == ("OPTIONS", "*") else b"HTTP/1.1 405 ")
    assert len(asked.value()) < 2000
    assert len(scene.bench.subscribers) == 0


class Asked:
    """A request whose answer is kept."""

    method = b"GET"

    def __init__(self, **headers: bytes) -> None:
        self.headers = headers
        self.told: dict[bytes, bytes] = {}
        self.written = b""
        self.finished = self.lost = False
        self.producer: object = None

    def getHeader(self, name: bytes) -> bytes | None:
        return self.headers.get(name.decode())

    def setHeader(self, name: bytes, value: bytes) -> None:
        self.told[name.lower()] = value

    def setLastModified(self, when: float) -> None:
        assert when

    def setResponseCode(self, code: int) -> None:
        assert code == 200

    def registerProducer(self, producer: object, streaming: bool) -> None:  # noqa: FBT001
        assert not streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.written += data

    def finish(self) -> None:
        self.finished = True

    def loseConnection(self) -> None:
        self.lost = True


def sent(path: Path, meanwhile: bytes | None = None, **headers: bytes) -> Asked:
    """Return what is sent of a file which has become this when the first piece is read."""
    asked = Asked(**headers)
    served = Download(str(path), defaultType="text/csv")
    served.render_GET(asked)
    if meanwhile is not None:
        path.write_bytes(meanwhile)
    for _ in range(10):
        if asked.producer is not None:
            asked.producer.resumeProducing()  # type: ignore[attr-defined]
    assert asked.producer is None
    return asked


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_a_file_is_sent_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"x" * size)
    asked = sent(path)
    assert (len(asked.written), asked.told[b"content-length"], asked.finished) == (size, b"%d" % size, True)


def test_one_that_grows_is_sent_as_long_as_was_promised(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"x" * 70_000)
    asked = sent(path, b"x" * 500_000)
    assert (len(asked.written), asked.told[b"content-length"], asked.finished) == (70_000, b"70000", True)


def test_one_that_was_cut_is_not_taken_for_whole_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"x" * 70_000)
    asked = sent(path, b"x" * 10)
    assert (asked.written, asked.finished, asked.lost) == (b"x" * 10, False, True)


def test_many_ranges_are_not_many_copies(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"x" * 70_000)
    asked = sent(path, range=b"bytes=" + b",".join([b"0-"] * 1000))
    assert (len(asked.written), asked.told[b"accept-ranges"], asked.finished) == (70_000, b"none", True)
