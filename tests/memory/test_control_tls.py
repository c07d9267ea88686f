"""The front of the control proxy over TLS: what it shows, and what it speaks."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from OpenSSL import SSL
from twisted.internet.defer import Deferred

from proxyreload.http2.frames import PREFACE
from proxyreload.proxy.authority import FrontCertificate
from proxyreload.proxy.workspace import Workspace
from proxyreload_control_proxy import Front, Runtime
from proxyreload_control_streams import StreamsFront
from proxyreload_control_tls import SecuredRuntime, Stays

from .authority import authority
from .clocks import Time
from .connections import MemoryTransport


class Client:
    """A client's connection to a proxy's front, whose handshake is complete."""

    def __init__(self, proxy: Runtime, spoken: Sequence[bytes] = (b"http/1.1",)) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()
        self.tls.set_alpn_protos(list(spoken))
        self._time = cast(Time, proxy.workspace.reactor)
        self._front = cast(Any, proxy.taking().buildProtocol(cast(Any, None)))
        self._transport = MemoryTransport()
        self._front.makeConnection(self._transport)
        for _turn in range(4):
            with suppress(SSL.WantReadError):
                self.tls.do_handshake()
            self._carry()

    def says(self, data: bytes) -> bytes:
        """Send something, and return what comes back."""
        self.tls.send(data)
        self._carry()
        return self.tls.recv(1 << 16)

    @property
    def serial(self) -> str:
        """Of the certificate that it was shown."""
        certificate = self.tls.get_peer_certificate()
        assert certificate is not None
        return f"{certificate.get_serial_number():x}"

    def _carry(self) -> None:
        with suppress(SSL.WantReadError):
            self._front.dataReceived(self.tls.bio_read(1 << 16))
        self._time.advance(0)  # small writes are gathered
        said = self._transport.value()
        self._transport.clear()
        if said:
            self.tls.bio_write(said)


def started(made: type[Runtime], certificate: FrontCertificate | None) -> Any:
    """Return a proxy that shows it."""
    return made(cast(Workspace, SimpleNamespace(tls=certificate, reactor=Time())))


def rotated(proxy: SecuredRuntime) -> None:
    """Let it take another certificate, or say so."""
    assert Deferred.fromCoroutine(cast(Any, proxy.rotate())).called


@pytest.fixture(name="certificate")
def _certificate(tmp_path: Path) -> FrontCertificate:
    return FrontCertificate(tmp_path / "tls", authority())


def test_it_shows_another_certificate_when_it_is_told_so(certificate: FrontCertificate) -> None:
    proxy, first = started(SecuredRuntime, certificate), certificate.current.serial
    second = certificate.renew().serial
    assert Client(proxy).serial == first
    rotated(proxy)
    assert Client(proxy).serial == second != first


def test_one_that_only_says_so_goes_on_with_the_one_before(certificate: FrontCertificate) -> None:
    proxy, first = started(Stays, certificate), certificate.current.serial
    certificate.renew()
    rotated(proxy)
    assert Client(proxy).serial == first != certificate.current.serial


@pytest.mark.parametrize("spoken", [[b"h2"], [b"http/1.1"]])
def test_it_agrees_on_what_its_client_speaks(certificate: FrontCertificate, spoken: Sequence[bytes]) -> None:
    assert Client(started(SecuredRuntime, certificate), spoken).tls.get_alpn_proto_negotiated() == spoken[0]


def test_http2_is_handed_over_within_tls(certificate: FrontCertificate) -> None:
    proxy = started(SecuredRuntime, certificate)
    client = Client(proxy, [b"h2"])
    [front] = proxy.fronts
    assert isinstance(front, Front)
    assert client.says(PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")[3] == 4  # SETTINGS
    [front] = proxy.fronts
    assert isinstance(front, StreamsFront)


def test_in_the_clear_nothing_is_between() -> None:
    assert isinstance(started(SecuredRuntime, None).taking().buildProtocol(None), Front)
