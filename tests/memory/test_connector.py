"""Opening connections."""

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionRefusedError  # noqa: A004
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from proxyreload.client.agent import AgentConnection
from proxyreload.client.connector import HTTP11Connector
from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.interfaces import IConnection, IConnector

from .clocks import Time, error_of, result_of, waits
from .connections import MemoryTransport, Owner


def opens(reactor: MemoryReactorClock, attempt: int, transport: MemoryTransport) -> None:
    """Let an attempt succeed."""
    protocol = reactor.tcpClients[attempt][2].buildProtocol(IPv4Address("TCP", "127.0.0.1", 8080))
    assert protocol is not None
    protocol.makeConnection(transport)


def test_it_connects_to_the_address_with_the_time_it_was_given() -> None:
    reactor = MemoryReactorClock()
    HTTP11Connector(reactor, "127.0.0.1", 8080, Time().ns).connect(Owner(), 2.5)
    [(host, port, _factory, timeout_s, _bind)] = reactor.tcpClients
    assert (host, port, timeout_s) == ("127.0.0.1", 8080, 2.5)


def test_an_address_of_ipv6_is_connected_to() -> None:
    reactor = MemoryReactorClock()
    HTTP11Connector(reactor, "::1", 8080, Time().ns).connect(Owner(), 2.5)
    assert reactor.tcpClients[0][0] == "::1"


@pytest.mark.parametrize("kind", [HTTP11Connection, AgentConnection])
def test_a_connection_is_given_out_once_it_is_open(kind: type[HTTP11Connection]) -> None:
    reactor, time = MemoryReactorClock(), Time()
    connecting = HTTP11Connector(reactor, "127.0.0.1", 8080, time.ns, connection=kind).connect(Owner(), 2.5)
    assert waits(connecting)
    time.advance(0.25)
    opens(reactor, 0, MemoryTransport(40123))
    connection = result_of(connecting)
    assert isinstance(connection, kind)
    assert verifyObject(IConnection, connection)
    assert (connection.local_port, connection.connect_ns) == (40123, 250_000_000)


def test_a_refusal_is_given_on_as_it_is() -> None:
    reactor = MemoryReactorClock()
    connector = HTTP11Connector(reactor, "127.0.0.1", 8080, Time().ns)
    connecting = connector.connect(Owner(), 2.5)
    reactor.tcpClients[0][2].clientConnectionFailed(reactor.connectors[0], Failure(ConnectionRefusedError()))
    error_of(connecting, ConnectionRefusedError)


def test_it_is_a_connector() -> None:
    assert verifyObject(IConnector, HTTP11Connector(MemoryReactorClock(), "127.0.0.1", 8080, Time().ns))


def test_each_attempt_is_a_connection_of_its_own() -> None:
    reactor, owner = MemoryReactorClock(), Owner()
    connector = HTTP11Connector(reactor, "127.0.0.1", 8080, Time().ns)
    connections = []
    for number in range(2):
        connecting = connector.connect(owner, 2.5)
        opens(reactor, number, MemoryTransport())
        connections.append(result_of(connecting))
    assert connections[0] is not connections[1]
