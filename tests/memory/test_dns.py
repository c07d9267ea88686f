"""The name server of a service: what it answers, and when a change has been asked for."""

from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import FakeDatagramTransport
from twisted.names import dns

from proxyreload.errors import ChangeError, StartError
from proxyreload.proxy.dns import TTL_S, NameServer
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import COMMAND_TIMEOUT_S

from .clocks import Time, error_of, result_of, waits

HOST = "127.0.0.1"
CLIENT = (HOST, 5000)
DOMAIN = "app.test"
SERVICE = f"_http._tcp.{DOMAIN}"
ONE, TWO = Upstream(1, HOST, 1031), Upstream(2, "127.0.0.2", 1032)


def target(upstream: Upstream) -> str:
    """Return what a backend is called there."""
    return f"{upstream.name}.{DOMAIN}"


@attrs.define(eq=False)
class FakePort:
    """A port that is listened on."""

    port: int
    reactor: "Ports"

    def getHost(self) -> "FakePort":
        return self

    def stopListening(self) -> None:
        self.reactor.listening.remove(self)


class Ports(Time):
    """A reactor whose ports are free for streams, and for datagrams only from one on."""

    def __init__(self, first_free: int = 0) -> None:
        super().__init__()
        self.first_free = first_free
        self.next_port = 5300
        self.listening: list[FakePort] = []

    def listenTCP(self, port: int, _factory: object, interface: str) -> FakePort:
        assert (port, interface) == (0, HOST)
        self.next_port += 1
        return self._listen(self.next_port)

    def listenUDP(self, port: int, protocol: dns.DNSDatagramProtocol, interface: str, _size: int) -> FakePort:
        if port < self.first_free:
            raise CannotListenError(interface, port, OSError())
        self.protocol = protocol
        return self._listen(port)

    def _listen(self, port: int) -> FakePort:
        self.listening.append(FakePort(port, self))
        return self.listening[-1]


@attrs.define(eq=False)
class Asking:
    """A name server, and somebody who asks it."""

    reactor: Ports = attrs.field(factory=Ports)
    domain: str = DOMAIN
    server: NameServer = attrs.field(init=False)
    _protocol: dns.DNSDatagramProtocol = attrs.field(init=False)
    _transport: FakeDatagramTransport = attrs.field(factory=FakeDatagramTransport)

    def __attrs_post_init__(self) -> None:
        self.server = NameServer(cast(Any, self.reactor), HOST, self.domain)
        self.server.publish([ONE])
        self._protocol = dns.DNSDatagramProtocol(self.server.factory, reactor=self.reactor)
        self._protocol.makeConnection(self._transport)

    def ask(self, name: str, kind: int = dns.SRV) -> dns.Message:
        question = dns.Message(id=7)
        question.addQuery(name.encode("ascii"), kind)
        self._protocol.datagramReceived(question.toStr(), CLIENT)
        packet, address = self._transport.written.pop()
        assert address == CLIENT
        answer = dns.Message()
        answer.fromStr(packet)
        assert answer.id == 7
        return answer

    def asked(self, *names: str) -> Deferred[None]:
        return Deferred.fromCoroutine(self.server.asked(*names))


def payloads(answer: dns.Message) -> list[Any]:
    """Return what the records of an answer say."""
    return [record.payload for record in answer.answers]


def records(answer: dns.Message) -> list[tuple[str, int]]:
    """Return the targets and ports of an answer about the service."""
    return [(str(record.target), record.port) for record in payloads(answer)]


def test_each_backend_has_a_record_of_the_service() -> None:
    asking = Asking()
    asking.server.publish([ONE, TWO])
    answer = asking.ask(SERVICE)
    assert (answer.rCode, answer.auth) == (dns.OK, True)
    assert records(answer) == [(target(ONE), 1031), (target(TWO), 1032)]
    assert {record.ttl for record in answer.answers} == {TTL_S}
    # A weight of 0 is for a target that is hardly to be chosen at all.
    assert {(record.priority, record.weight) for record in payloads(answer)} == {(0, 1)}


def test_a_record_leads_to_an_address() -> None:
    asking = Asking()
    asking.server.publish([TWO])
    (record,) = payloads(asking.ask(target(TWO), dns.A))
    assert record.dottedQuad() == "127.0.0.2"


def test_a_change_is_what_is_answered_next() -> None:
    asking = Asking()
    assert records(asking.ask(SERVICE)) == [(target(ONE), 1031)]
    asking.server.publish([TWO])
    assert records(asking.ask(SERVICE)) == [(target(TWO), 1032)]
    asking.server.publish([])
    empty = asking.ask(SERVICE)
    assert (empty.rCode, empty.answers) == (dns.OK, [])


def test_the_address_of_a_removed_backend_can_still_be_asked_for() -> None:
    asking = Asking()
    asking.server.publish([TWO])
    assert len(asking.ask(target(ONE), dns.A).answers) == 1


def test_names_have_no_case() -> None:
    asking = Asking()
    done = asking.asked(SERVICE)
    (record,) = asking.ask(SERVICE.upper()).answers
    assert str(record.name) == SERVICE.upper()
    assert result_of(done) is None


@pytest.mark.parametrize(("name", "kind"), [(SERVICE, dns.A), (target(ONE), dns.AAAA), (target(ONE), dns.SRV)])
def test_a_known_name_without_such_a_record_is_no_error(name: str, kind: int) -> None:
    answer = Asking().ask(name, kind)
    assert (answer.rCode, answer.answers) == (dns.OK, [])


@pytest.mark.parametrize("name", ["example.org", "app.test", target(TWO)])
def test_an_unknown_name_does_not_exist(name: str) -> None:
    answer = Asking().ask(name, dns.A)
    assert (answer.rCode, answer.answers) == (dns.ENAME, [])


def test_a_change_has_been_asked_for_once_every_name_has_been_answered() -> None:
    asking = Asking()
    asking.server.publish([ONE, TWO])
    done = asking.asked(SERVICE, target(TWO))
    asking.ask(SERVICE)
    asking.ask(target(ONE), dns.A)
    asking.ask(target(TWO), dns.AAAA)  # nobody can connect to that answer
    assert waits(done)
    asking.ask(target(TWO), dns.A)
    assert result_of(done) is None


def test_what_was_asked_before_does_not_count() -> None:
    asking = Asking()
    asking.ask(SERVICE)
    assert waits(asking.asked(SERVICE))


def test_the_answer_is_on_its_way_before_it_counts() -> None:
    asking = Asking()
    written: list[int] = []
    asking.asked(SERVICE).addCallback(lambda _none: written.append(len(asking._transport.written)))
    asking.ask(SERVICE)
    assert written == [1]


def test_two_may_wait() -> None:
    asking = Asking()
    service, both = asking.asked(SERVICE), asking.asked(SERVICE, target(ONE))
    asking.ask(SERVICE)
    assert result_of(service) is None
    assert waits(both)
    asking.ask(target(ONE), dns.A)
    assert result_of(both) is None


def test_a_proxy_that_does_not_ask_is_told_by_name() -> None:
    asking = Asking()
    done = asking.asked(SERVICE, target(ONE))
    asking.ask(SERVICE)
    asking.reactor.advance(COMMAND_TIMEOUT_S)
    said = f"the proxy has not asked for {target(ONE)} within 30 s"
    assert str(error_of(done, ChangeError)) == said
    asking.ask(target(ONE), dns.A)  # nobody waits for that any more


def test_a_change_stays_once_it_has_been_asked_for() -> None:
    asking = Asking()
    done = Deferred.fromCoroutine(asking.server.change([TWO], SERVICE))
    assert records(asking.ask(SERVICE)) == [(target(TWO), 1032)]
    assert result_of(done) is None
    assert records(asking.ask(SERVICE)) == [(target(TWO), 1032)]


def test_a_change_that_nobody_has_asked_for_is_taken_back() -> None:
    asking = Asking()
    done = Deferred.fromCoroutine(asking.server.change([TWO], SERVICE))
    asking.reactor.advance(COMMAND_TIMEOUT_S)
    error_of(done, ChangeError)
    assert records(asking.ask(SERVICE)) == [(target(ONE), 1031)]


def test_waiting_can_be_ended() -> None:
    asking = Asking()
    done = asking.asked(SERVICE)
    done.cancel()
    error_of(done, CancelledError)
    asking.ask(SERVICE)
    assert asking.reactor.getDelayedCalls() == []


@pytest.mark.parametrize("host", ["localhost", "::1", "127.0.0.1 ", ""])
def test_a_host_that_is_no_address_is_refused_and_changes_nothing(host: str) -> None:
    asking = Asking()
    with pytest.raises(ChangeError, match="is no IPv4 address"):
        asking.server.publish([ONE, Upstream(3, host, 1033)])
    assert records(asking.ask(SERVICE)) == [(target(ONE), 1031)]


def test_it_listens_on_one_port_for_both_and_can_stop() -> None:
    asking = Asking(Ports())
    result_of(Deferred.fromCoroutine(asking.server.start()))
    assert [each.port for each in asking.reactor.listening] == [5301, 5301]
    assert asking.server.address == f"{HOST}:5301"
    result_of(Deferred.fromCoroutine(asking.server.stop()))
    assert asking.reactor.listening == []


def test_a_port_that_is_taken_for_datagrams_is_left() -> None:
    asking = Asking(Ports(first_free=5303))
    result_of(Deferred.fromCoroutine(asking.server.start()))
    assert [each.port for each in asking.reactor.listening] == [5303, 5303]


def test_without_a_port_it_does_not_start() -> None:
    asking = Asking(Ports(first_free=9000))
    error_of(Deferred.fromCoroutine(asking.server.start()), StartError)
    assert asking.reactor.listening == []


def test_each_name_server_has_a_domain_that_nobody_can_guess() -> None:
    one, other = (NameServer(cast(Any, Ports()), HOST) for _time in range(2))
    assert one.domain != other.domain
    asking = Asking(domain=one.domain)
    for name in (SERVICE, target(ONE), "test", ""):
        assert asking.ask(name).rCode == dns.ENAME
    assert records(asking.ask(one.service)) == [(one.target(ONE), 1031)]
