"""Who may ask the live page for something."""

from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.testing import StringTransport
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from proxyreload.web.guard import BODY_LIMIT, BoundedRequest, Guarded, Rules
from proxyreload.web.server import loopback_unless_told

HERE = IPv4Address("TCP", "127.0.0.1", 8090)
EVERYWHERE = IPv4Address("TCP", "0.0.0.0", 8090)
JSON = "application/json"


class Served(Resource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        assert request.content is not None
        body: bytes = request.content.read()
        return b"served " + body


def ask(rules: Rules, method: str = "GET", body: bytes = b"", **headers: str) -> tuple[int, str]:
    """Return the status and the body of the answer to one request."""
    site = Site(Guarded(rules, Served()), requestFactory=BoundedRequest)
    site.log = lambda request: None  # type: ignore[method-assign]
    channel: Any = site.buildProtocol(HERE)
    transport = StringTransport()
    channel.makeConnection(transport)
    given = {"Host": "localhost:8090", "Content-Length": str(len(body)), "Connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    channel.dataReceived(f"{method} /x HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
    answer = transport.value()
    channel.connectionLost(None)
    head_bytes, _, content = answer.partition(b"\r\n\r\n")
    assert b"Access-Control" not in head_bytes
    assert b"X-Content-Type-Options: nosniff" in head_bytes or b" 400 " in head_bytes
    return int(head_bytes.split()[1]), content.decode("latin-1")


def at(address: IAddress = HERE, token: str = "", *names: str) -> Rules:
    return Rules.at(address, names, token)


@pytest.mark.parametrize("host", ["localhost:8090", "127.0.0.1:8090", "[::1]:8090", "LOCALHOST:8090"])
def test_it_is_asked_for_by_the_loopbacks_names(host: str) -> None:
    assert ask(at(), Host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.test:8090", "localhost", "localhost:80", "10.0.0.1:8090", "", "a@localhost:8090", "localhost:8090.x"]
)
def test_a_forged_host_is_refused(host: str) -> None:
    status, body = ask(at(), Host=host)
    assert status == 421
    assert "served" not in body.split('"')[0]


@pytest.mark.parametrize(
    ("host", "status"),
    [("10.0.0.1:8090", 200), ("[fe80::1]:8090", 200), ("evil.test:8090", 421), ("page.test:8090", 200)],
)
def test_beyond_the_loopback_it_is_asked_for_by_address_or_by_a_name_that_was_told(host: str, status: int) -> None:
    assert ask(at(EVERYWHERE, "", "page.test"), Host=host)[0] == status


@pytest.mark.parametrize(
    ("address", "local"),
    [
        (HERE, True),
        (EVERYWHERE, False),
        (IPv6Address("TCP", "::1", 1), True),
        (IPv6Address("TCP", "::", 1), False),
        (UNIXAddress(b"x"), True),
    ],
)
def test_it_knows_whether_only_this_machine_can_ask(address: IAddress, local: bool) -> None:  # noqa: FBT001
    assert at(address).local is local


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8091"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_site_is_refused(method: str, headers: dict[str, str]) -> None:
    assert ask(at(), method, b"{}", Content_Type=JSON, **headers)[0] == 403


def test_a_link_from_another_site_may_lead_here_but_change_nothing() -> None:
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert ask(at(), "GET", b"", **link)[0] == 200
    assert ask(at(), "POST", b"{}", Content_Type=JSON, **link)[0] == 403


def test_the_page_itself_may_change_something() -> None:
    page = {"Origin": "http://localhost:8090", "Sec_Fetch_Site": "same-origin", "Content_Type": JSON}
    assert ask(at(), "POST", b"{}", **page) == (200, "served {}")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_what_a_form_could_send_is_refused(kind: str) -> None:
    assert ask(at(), "POST", b"{}", Content_Type=kind)[0] == 415


@pytest.mark.parametrize(
    "authorization", ["", "secret", "Bearer", "Bearer wrong", "Basic secret", "Bearer secret2", "Bearer s\xe9cret"]
)
def test_without_the_token_nothing_is_changed(authorization: str) -> None:
    rules = at(EVERYWHERE, "secret")
    assert ask(rules, "POST", b"{}", Content_Type=JSON, Authorization=authorization)[0] == 401
    assert ask(rules)[0] == 200


def test_with_the_token_it_is() -> None:
    assert ask(at(EVERYWHERE, "secret"), "POST", b"{}", Content_Type=JSON, Authorization="Bearer secret")[0] == 200


@pytest.mark.parametrize(("size", "status"), [(BODY_LIMIT, 200), (BODY_LIMIT + 1, 413), (5_000_000, 413)])
def test_a_long_body_is_refused_and_not_kept(size: int, status: int) -> None:
    answered, body = ask(at(), "POST", b" " * size, Content_Type=JSON)
    assert answered == status
    assert len(body) < BODY_LIMIT + 10


def test_two_origins_are_one_too_many() -> None:
    assert ask(at(), Origin="http://localhost:8090\r\nOrigin: http://evil.test")[0] == 400


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("8090", "tcp:8090:interface=127.0.0.1"),
        ("tcp:8090", "tcp:8090:interface=127.0.0.1"),
        ("tcp:8090:interface=0.0.0.0", "tcp:8090:interface=0.0.0.0"),
        ("tcp:8090:backlog=5", "tcp:8090:backlog=5:interface=127.0.0.1"),
        ("tcp6:8090", r"tcp6:8090:interface=\:\:1"),
        ("unix:page.sock", "unix:page.sock"),
    ],
)
def test_the_interface_is_the_loopback_unless_another_is_named(given: str, taken: str) -> None:
    assert loopback_unless_told(given) == taken
