"""What a proxy's admin API may answer, on real sockets."""

import json
import tempfile
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from proxyreload.errors import ChangeError, UnansweredError
from proxyreload.proxy.http import Admin
from proxyreload.system.reactor import IReactor

from .command import HOST, TIMEOUT_S

pytestmark = pytest.mark.real

reactor = cast(IReactor, installed)

OPEN_END = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


def answer(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


class Api(Protocol):
    """Keeps what it is asked, and says what it is told to."""

    def __init__(self, tests: "AdminTests") -> None:
        self.tests = tests
        self.request = b""

    @property
    def tcp(self) -> ITCPTransport:
        return cast(ITCPTransport, self.transport)

    def connectionMade(self) -> None:
        self.tests.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.request += data
        head, end, body = self.request.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().splitlines() if line.startswith(b"content-length:")]
        if not end or len(body) < sum(int(line.split()[1]) for line in lengths):
            return
        if self.tests.says is None:
            self.tcp.abortConnection()
            return
        self.tcp.write(self.tests.says)
        if not self.tests.asked.called:
            self.tests.asked.callback(None)


class AdminTests(TestCase):
    timeout = TIMEOUT_S

    def setUp(self) -> None:
        self.says: bytes | None = answer(b"200 OK", b"")
        self.connections: list[Api] = []
        self.asked: Deferred[None] = Deferred()
        factory = cast(Any, Factory.forProtocol(lambda: Api(self)))
        self.listening = cast(Any, reactor.listenTCP(0, factory, interface=HOST))
        self.addCleanup(self.close)
        self.admin = Admin(reactor, f"http://{HOST}:{self.listening.getHost().port}")

    async def close(self) -> None:
        for connection in self.connections:
            connection.tcp.abortConnection()
        await maybeDeferred(self.listening.stopListening)

    async def refused(self) -> str:
        with pytest.raises(ChangeError) as raised:
            await self.admin.get("/x")
        return str(raised.value)

    async def test_a_form_is_sent_as_one_and_what_is_no_json_is_handed_on_as_it_is(self) -> None:
        self.says = answer(b"200 OK", b"<told/>")
        assert await self.admin.text("/manager") == "<told/>"
        assert await self.admin.submit("/manager", {"w": "http://a:1", "d": "1"}) == "<told/>"
        head, _end, body = self.connections[-1].request.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /manager HTTP/1.1")
        assert b"application/x-www-form-urlencoded" in head
        assert body == b"w=http%3A%2F%2Fa%3A1&d=1"

    async def test_answers_are_json_or_nothing(self) -> None:
        self.says = answer(b"200 OK", b'[{"dial": "a"}]\n')
        assert await self.admin.get("/x") == [{"dial": "a"}]
        self.says = answer(b"204 No Content", b"")
        assert await self.admin.delete("/x/0") is None

    async def test_each_method_is_one_request_on_a_connection_of_its_own(self) -> None:
        for method in (self.admin.put, self.admin.post, self.admin.patch):
            await method("/a@b", {"c": [1]})
        heads = [connection.request.partition(b"\r\n\r\n") for connection in self.connections]
        assert [head.split(b"\r\n")[0] for head, _, _ in heads] == [
            b"%s /a@b HTTP/1.1" % method for method in (b"PUT", b"POST", b"PATCH")
        ]
        assert [json.loads(body) for _, _, body in heads] == [{"c": [1]}] * 3

    async def test_a_refusal_is_in_the_proxys_words_on_one_bounded_line(self) -> None:
        self.says = answer(b"400 Bad Request", b"no\x1b[31m such\nserver " + b"x" * 10_000)
        said = await self.refused()
        assert said.startswith("GET /x: status 400: no\\x1b[31m such\\nserver xxx")
        assert said.endswith("x…")
        assert len(said) < 600

    async def test_a_refusal_without_words(self) -> None:
        self.says = answer(b"404 Not Found", b"")
        assert await self.refused() == "GET /x: status 404: it said nothing"

    async def test_a_redirection_is_not_followed(self) -> None:
        self.says = b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n"
        assert await self.refused() == "GET /x: status 302: it said nothing"
        assert len(self.connections) == 1

    async def test_what_is_no_json(self) -> None:
        self.says = answer(b"200 OK", b"<html>")
        assert await self.refused() == "GET /x: the answer is no JSON: <html>"

    async def test_a_connection_that_is_lost_is_told_and_nothing_is_sent_again(self) -> None:
        self.says = None
        with pytest.raises(UnansweredError, match=r"^GET /x: ConnectionLost: "):
            await self.admin.get("/x")
        assert len(self.connections) == 1

    async def test_headers_of_every_request(self) -> None:
        admin = Admin(reactor, self.admin.base_url, headers={"X-Secret": "s3cret", "X-Also": "a"})
        await admin.get("/x")
        await admin.post("/x", None, {"X-Also": "b"})
        heads = [connection.request.partition(b"\r\n\r\n")[0].split(b"\r\n") for connection in self.connections]
        assert [b"X-Secret: s3cret" in head for head in heads] == [True, True]
        assert [[line for line in head if b"Also" in line] for head in heads] == [[b"X-Also: a"], [b"X-Also: b"]]
        assert "s3cret" not in repr(admin)

    async def test_at_a_unix_socket(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="prt-"))
        self.addCleanup(folder.rmdir)
        admin = Admin(reactor, socket=folder / "admin.sock")
        with pytest.raises(ChangeError) as raised:
            await admin.get("/x")
        assert str(raised.value).startswith("GET /x: ConnectError: ")
        assert "No such file" in str(raised.value)
        listening = reactor.listenUNIX(str(admin.socket), cast(Any, Factory.forProtocol(lambda: Api(self))))
        self.addCleanup(maybeDeferred, listening.stopListening)
        self.says = answer(b"200 OK", b"[1]")
        assert await admin.get("/x") == [1]
        assert self.connections[0].request.startswith(b"GET /x HTTP/1.1\r\n")

    async def test_nobody_there(self) -> None:
        await self.listening.stopListening()
        assert (await self.refused()).startswith("GET /x: ConnectionRefusedError: ")

    async def cancelled(self, *, when_asked: bool) -> None:
        asking = Deferred.fromCoroutine(self.admin.get("/x"))
        if when_asked:
            await self.asked
        asking.cancel()
        with pytest.raises(CancelledError):
            await asking

    async def test_cancelled_while_it_connects(self) -> None:
        await self.cancelled(when_asked=False)

    async def test_cancelled_while_it_waits(self) -> None:
        self.says = b""
        await self.cancelled(when_asked=True)

    async def test_cancelled_in_the_middle_of_an_answer(self) -> None:
        self.says = OPEN_END
        await self.cancelled(when_asked=True)
