"""Over TLS an answer is judged by its bytes, in whatever records and segments they come."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol

from proxyreload.client.tls import TLSConnection, TLSFactory, unverified
from proxyreload.history.events import Ending

from .authority import server_context
from .clocks import Time
from .connections import KernelTransport, Owner, Wire, answer_bytes

ANSWER = answer_bytes(b"")


class Asker(Owner):
    """Sends the next request as soon as it has its answer."""

    wire: Wire

    def answered(self, connection: object, pending: object) -> None:
        super().answered(self.wire.connection, self.wire.pending)
        self.wire.send(b"GET 1!\n")


class Server:
    """A proxy that speaks TLS, and a client's connection to it."""

    def __init__(self) -> None:
        self.tls = SSL.Connection(server_context(), None)
        self.tls.set_accept_state()
        self.owner = Asker()
        time = Time()
        connection = TLSConnection(self.owner, time.ns, time.ns())
        factory: Factory[Protocol] = Factory.forProtocol(lambda: connection)
        self.time = time
        client = TLSFactory(unverified("it"), factory, time).buildProtocol(None)
        assert client is not None
        self.client = client
        self.transport = KernelTransport()
        self.client.makeConnection(self.transport)
        self.owner.wire = Wire(connection, self.transport)
        while not connection.secured.called:
            self.takes()
            with suppress(SSL.WantReadError):
                self.tls.do_handshake()
            self.client.dataReceived(self.tls.bio_read(1 << 16))

    def takes(self) -> bytes:
        """Return what the client has sent since the last time."""
        self.time.advance(0)  # small writes are gathered
        sent = self.transport.value()
        self.transport.clear()
        if sent:
            self.tls.bio_write(sent)
        try:
            return self.tls.recv(1 << 16)
        except SSL.Error:
            return b""

    def record(self, data: bytes) -> bytes:
        """Return the bytes of one record."""
        self.tls.send(data)
        return self.tls.bio_read(1 << 16)


@pytest.fixture(name="server")
def _server() -> Iterator[Server]:
    server = Server()
    yield server
    server.transport.release()


@pytest.mark.parametrize("cut", [len(ANSWER), len(ANSWER) - 1, len(ANSWER) + 1, 10])
def test_what_has_come_behind_an_answer_is_seen_before_the_next_request_is_written(server: Server, cut: int) -> None:
    server.owner.wire.send(b"GET 0!\n")
    assert server.takes() == b"GET 0!\n"
    stream = ANSWER + b"\r\nmore"
    server.client.dataReceived(server.record(stream[:cut]) + server.record(stream[cut:]))
    assert [heard[:2] for heard in server.owner.heard] == [("answered",), ("closed", Ending.UNSOLICITED.value)]
    assert server.takes() == b""
    assert server.owner.wire.pending.written_ns == 0


def test_with_nothing_behind_an_answer_the_next_request_is_written(server: Server) -> None:
    server.owner.wire.send(b"GET 0!\n")
    assert server.takes() == b"GET 0!\n"
    server.client.dataReceived(server.record(ANSWER[:10]) + server.record(ANSWER[10:]))
    assert server.owner.heard == [("answered",)]
    assert server.takes() == b"GET 1!\n"


def test_an_end_that_has_come_with_an_answer_is_seen_before_the_next_request_is_written(server: Server) -> None:
    server.owner.wire.send(b"GET 0!\n")
    assert server.takes() == b"GET 0!\n"
    record = server.record(ANSWER)
    server.tls.shutdown()
    server.client.dataReceived(record + server.tls.bio_read(1 << 16))
    assert server.owner.heard == [("answered",)]
    assert server.owner.wire.pending.written_ns == 0
