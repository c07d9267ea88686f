"""Clients a network away, over TLS: the handshake takes its round trip too, and so does how it ends."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from proxyreload.client.connector import HTTP11Connector
from proxyreload.client.delayline import DelayLine
from proxyreload.client.interfaces import IConnection
from proxyreload.client.pending import Pending
from proxyreload.client.tls import TLSConnection, Trust, trusting, unverified
from proxyreload.history import failures
from proxyreload.history.events import UNCLEAN, Ending
from proxyreload.system.clock import ns

from .authority import server_context
from .clocks import Time
from .connections import MemoryTransport, Owner, answer_bytes

HALF_S = 0.5


class Far:
    """A client half a second away from a proxy that speaks TLS; the test has the proxy's end of the socket."""

    def __init__(self, tls: Trust, patched: pytest.MonkeyPatch) -> None:
        self.time = Time()
        patched.setattr("twisted.protocols.tls._get_default_clock", lambda: self.time)
        self.reactor = MemoryReactorClock()
        self.owner = Owner()
        self.line = DelayLine(self.time, self.time.ns, ns(HALF_S))
        self.connector = HTTP11Connector(self.reactor, "127.0.0.1", 8080, self.time.ns, tls, line=self.line)
        self.opened: list[IConnection] = []
        self.opening: Deferred[None] = self.connector.connect(self.owner, 4).addCallback(self.opened.append)
        self.tls = SSL.Connection(server_context(), None)
        self.tls.set_accept_state()
        self.transport = MemoryTransport()
        self.end: IProtocol | None = None
        self.got = b""

    def goes_on(self, duration_s: float) -> None:
        """Let time pass, and the proxy take and say what it has, at once."""
        for _ in range(round(duration_s / 0.125)):
            self.time.advance(0.125)
            if self.end is None and self.reactor.tcpClients:
                self.end = self.reactor.tcpClients[0][2].buildProtocol(None)
                assert self.end is not None
                self.end.makeConnection(self.transport)
            self.takes()

    def takes(self) -> None:
        self.time.advance(0)  # small writes are gathered
        sent = self.transport.value()
        self.transport.clear()
        if sent:
            self.tls.bio_write(sent)
            with suppress(SSL.Error):
                self.tls.do_handshake()
            with suppress(SSL.Error):
                self.got += self.tls.recv(1 << 16)
        self.says()

    def says(self) -> None:
        """Send what TLS has to send."""
        with suppress(SSL.WantReadError):
            if self.end is not None:
                self.end.dataReceived(self.tls.bio_read(1 << 16))

    def answers(self) -> None:
        self.tls.send(answer_bytes(b"3-0"))
        self.says()

    def closes(self, *, notify: bool) -> None:
        if notify:
            self.tls.shutdown()
            self.says()
        self.end.readConnectionLost()  # type: ignore[union-attr]

    def connection(self) -> TLSConnection:
        [connection] = self.opened
        assert isinstance(connection, TLSConnection)
        return connection

    def sends(self, request_id: bytes = b"3-0") -> Pending:
        pending = Pending(0, request_id)
        self.connection().send(b"GET %b!\n" % request_id, pending)
        self.time.advance(0)
        return pending


@pytest.fixture(name="far")
def _far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    far = Far(unverified("it"), monkeypatch)
    yield far
    far.line.close()


def opened(far: Far) -> Far:
    """Open it, and let one request be answered."""
    far.goes_on(2)
    far.sends()
    far.goes_on(HALF_S)
    assert far.got == b"GET 3-0!\n"
    far.answers()
    far.goes_on(HALF_S)
    assert far.owner.heard == [("answered",)]
    return far


def test_it_is_open_after_a_round_trip_of_tcp_and_one_of_tls(far: Far) -> None:
    far.goes_on(1.875)
    assert far.opened == []
    far.goes_on(0.125)
    assert far.connection().connect_ns == ns(2)


def test_a_request_and_its_answer_take_half_a_round_trip_each(far: Far) -> None:
    far.goes_on(2)
    pending = far.sends()
    far.goes_on(HALF_S - 0.125)
    assert far.got == b""
    far.goes_on(0.125)
    assert far.got == b"GET 3-0!\n"
    far.answers()
    far.goes_on(HALF_S)
    assert far.owner.heard == [("answered",)]
    assert pending.last_byte_ns - pending.written_ns == ns(1)


@pytest.mark.parametrize("notify", [True, False])
def test_a_request_that_crosses_the_end_is_written_all_the_same_and_lost(far: Far, *, notify: bool) -> None:
    opened(far)
    far.closes(notify=notify)
    far.goes_on(0.25)
    far.sends(b"3-1")
    far.goes_on(0.125)
    assert far.owner.failures == []
    far.goes_on(0.125)
    assert far.owner.failures == [failures.CLOSED_REUSED]
    assert (UNCLEAN in far.owner.heard[-1][2]) is not notify
    assert far.transport.value() == b""
    assert not far.transport.disconnecting
    far.time.advance(0.25)
    assert far.transport.value() != b""  # the request, which nobody reads


def test_an_end_that_came_while_it_rested_is_heard_half_a_round_trip_later(far: Far) -> None:
    opened(far)
    far.closes(notify=True)
    far.goes_on(HALF_S - 0.125)
    assert far.owner.heard == [("answered",)]
    far.goes_on(0.125)
    assert far.owner.heard[1:] == [("closed", Ending.IDLE.value, "")]
    assert not far.transport.disconnecting
    far.goes_on(HALF_S)
    assert far.transport.closed


def test_a_close_notify_alone_is_an_end_at_once(far: Far) -> None:
    opened(far)
    far.tls.shutdown()
    far.says()
    far.goes_on(HALF_S)
    assert far.owner.heard[1:] == [("closed", Ending.IDLE.value, "")]
    far.goes_on(HALF_S)
    assert far.transport.closed
    far.end.connectionLost(Failure(ConnectionDone()))  # type: ignore[union-attr]
    far.goes_on(2)
    assert len(far.owner.heard) == 2


def test_a_certificate_that_is_not_trusted_fails_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    far = Far(trusting("it", None), monkeypatch)
    failed: list[Failure] = []
    far.opening.addErrback(failed.append)
    far.goes_on(1.875)
    assert failed == []
    far.goes_on(0.125)
    assert [reason.type for reason in failed] == [SSL.Error]
    assert not far.transport.disconnecting
    far.goes_on(HALF_S)
    assert far.transport.disconnecting


@pytest.mark.parametrize("after_s", [1, 1.25, 1.5, 1.75])
def test_one_that_is_given_up_in_its_handshake_is_reset_half_a_round_trip_later(far: Far, after_s: float) -> None:
    far.goes_on(after_s)
    far.opening.addErrback(lambda _reason: None)
    far.opening.cancel()
    far.goes_on(HALF_S - 0.125)
    assert not far.transport.disconnecting
    far.goes_on(0.125)
    assert far.transport.aborted
    far.goes_on(2)
    assert far.owner.heard == []
