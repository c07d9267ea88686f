"""treq over our agent, on real sockets."""

from typing import Any, cast

import attrs
import pytest
import treq
from treq.client import HTTPClient
from twisted.internet import reactor as installed
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.interfaces import IAddress, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from proxyreload.backend.backend import Backend
from proxyreload.client.agent import AgentConnection, ExchangeFailed, OneConnectionAgent
from proxyreload.client.connector import HTTP11Connector
from proxyreload.history import failures
from proxyreload.history.bus import EventBus
from proxyreload.history.events import Arrival
from proxyreload.system.clock import monotonic_ns
from proxyreload.system.reactor import IReactor
from proxyreload.system.sockets import SocketGroup

from .command import HOST, TIMEOUT_S, is_free

pytestmark = pytest.mark.real

reactor = cast(IReactor, installed)

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nSource-Port: %d\r\n\r\nyes"


class Serving(Protocol):
    """One connection to a server of a test's own, which does with each request what its script says."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.ended: Deferred[None] = Deferred()

    @property
    def tcp(self) -> ITCPTransport:
        return cast(ITCPTransport, self.transport)

    def connectionMade(self) -> None:
        self.server.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        assert data.endswith(b"\r\n\r\n")
        assert data.count(b"GET ") == 1, "one request at a time"
        self.server.requests += 1
        action = self.server.script.pop(0)
        if action == "answer":
            self.tcp.write(ANSWER % cast(IPv4Address, self.tcp.getPeer()).port)
        elif action == "abort":
            self.tcp.abortConnection()
        elif action == "close":
            self.tcp.loseConnection()
        else:
            assert action == "ignore"
            self.server.ignored.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)


@attrs.define(eq=False, slots=False)
class Server(Factory):
    """Counts requests, and treats them by a script."""

    script: list[str]
    requests: int = 0
    connections: list[Serving] = attrs.field(factory=list)
    ignored: Deferred[None] = attrs.field(factory=Deferred)
    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Serving:
        return Serving(self)


class AgentTests(TestCase):
    timeout = TIMEOUT_S
    #: Whether the sockets are read together, as in a run.
    grouped = True

    def client(self, port: int) -> HTTPClient:
        group = SocketGroup.on(reactor, monotonic_ns) if self.grouped else None
        if group is not None:
            self.addCleanup(group.close)
        connector = HTTP11Connector(reactor, HOST, port, monotonic_ns, connection=AgentConnection, group=group)
        agent = OneConnectionAgent(reactor, connector, TIMEOUT_S)
        self.addCleanup(agent.close)
        self.url = f"http://{HOST}:{port}/"
        return HTTPClient(agent)

    def serve(self, *script: str) -> tuple[Server, HTTPClient]:
        server = Server(list(script))
        listening = reactor.listenTCP(0, cast(Any, server), interface=HOST)

        async def stop() -> None:
            await cast("Deferred[None]", listening.stopListening())
            for connection in server.connections:
                if not connection.ended.called:
                    connection.tcp.abortConnection()
                    await connection.ended

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        return server, self.client(cast(IPv4Address, listening.getHost()).port)

    async def get(self, client: HTTPClient) -> str:
        """Return the answer's Source-Port."""
        response = await client.get(self.url)
        self.assertEqual(response.code, 200)
        self.assertEqual(await treq.content(response), b"yes")
        (port,) = response.headers.getRawHeaders("Source-Port")
        return str(port)

    async def test_two_requests_go_over_one_connection_to_a_backend(self) -> None:
        bus = EventBus()
        arrivals: list[Arrival] = []
        bus.subscribe(Arrival, arrivals.extend)
        backend = Backend(7, 0, bus, monotonic_ns)
        await backend.start(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(backend.stop()))
        client = self.client(backend.port)
        ports = []
        for _ in range(2):
            response = await client.get(self.url)
            self.assertEqual(response.code, 200)
            self.assertEqual(response.headers.getRawHeaders("Backend-Id"), ["7"])
            ports += response.headers.getRawHeaders("Source-Port")
            self.assertEqual(await treq.text_content(response), "backend 7 answers \n")
        self.assertEqual(len(ports), 2)
        self.assertEqual(ports[0], ports[1])
        bus.flush()
        self.assertEqual(
            [(a.instance, str(a.back_port), a.carried) for a in arrivals], [("7", ports[0], 0), ("7", ports[0], 1)]
        )

    async def test_a_connection_closed_while_idle_is_replaced(self) -> None:
        server, client = self.serve("answer", "answer", "answer")
        first = await self.get(client)
        server.connections[0].tcp.loseConnection()
        await server.connections[0].ended
        second = await self.get(client)
        third = await self.get(client)
        self.assertNotEqual(first, second)
        self.assertEqual(second, third)
        self.assertEqual((server.requests, len(server.connections)), (3, 2))

    async def test_a_connection_reset_while_idle_is_replaced(self) -> None:
        server, client = self.serve("answer", "answer")
        first = await self.get(client)
        server.connections[0].tcp.abortConnection()
        await server.connections[0].ended
        self.assertNotEqual(first, await self.get(client))
        self.assertEqual((server.requests, len(server.connections)), (2, 2))

    async def test_nothing_is_retried_when_every_second_request_is_reset(self) -> None:
        server, client = self.serve("answer", "abort", "answer", "abort")
        await self.every_second_fails(client, failures.RESET_REUSED)
        self.assertEqual((server.requests, len(server.connections)), (4, 2))

    async def test_nothing_is_retried_when_every_second_request_is_closed_on(self) -> None:
        server, client = self.serve("answer", "close", "answer", "close")
        await self.every_second_fails(client, failures.CLOSED_REUSED)
        self.assertEqual((server.requests, len(server.connections)), (4, 2))

    async def every_second_fails(self, client: HTTPClient, failure: str) -> None:
        for _ in range(2):
            await self.get(client)
            with self.assertRaises(ExchangeFailed) as caught:
                await self.get(client)
            self.assertEqual(caught.exception.failure, failure)

    async def test_a_first_request_that_fails_is_not_retried_either(self) -> None:
        server, client = self.serve("abort", "answer")
        with self.assertRaises(ExchangeFailed) as caught:
            await self.get(client)
        self.assertEqual(caught.exception.failure, failures.RESET_FRESH)
        self.assertEqual(server.requests, 1)
        await self.get(client)
        self.assertEqual(server.requests, 2)

    async def test_refused(self) -> None:
        server = Server(["answer"])
        listening = reactor.listenTCP(0, cast(Any, server), interface=HOST)
        port = cast(IPv4Address, listening.getHost()).port
        await cast("Deferred[None]", listening.stopListening())
        assert is_free(port)
        with self.assertRaises(RefusedError):
            await self.get(self.client(port))

    async def test_one_request_at_a_time(self) -> None:
        server, client = self.serve("ignore")
        first = client.get(self.url)
        await server.ignored
        with self.assertRaisesRegex(RuntimeError, "one request at a time"):
            await client.get(self.url)
        server.connections[0].tcp.loseConnection()
        with self.assertRaises(ExchangeFailed) as caught:
            await first
        self.assertEqual(caught.exception.failure, failures.CLOSED_FRESH)

    async def test_a_request_that_was_given_up_does_not_stop_the_next(self) -> None:
        server, client = self.serve("answer", "ignore", "answer")
        await self.get(client)
        given_up = client.get(self.url)
        await server.ignored
        given_up.cancel()
        with self.assertRaises(CancelledError):
            await given_up
        # Its connection still owes an answer: the next request needs another.
        await self.get(client)
        self.assertEqual((server.requests, len(server.connections)), (3, 2))


class UngroupedAgentTests(AgentTests):
    grouped = False
