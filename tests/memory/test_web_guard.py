"""Who may ask the live page for something."""

import re
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from proxyreload.errors import UsageError
from proxyreload.system.reactor import IReactor
from proxyreload.web.guard import BODY_LIMIT, BoundedRequest, Guarded, Rules
from proxyreload.web.place import WebSettings
from proxyreload.web.server import endpoint, narrowed

HERE = IPv4Address("TCP", "127.0.0.1", 8090)
EVERYWHERE = IPv4Address("TCP", "0.0.0.0", 8090)
SOCKET = UNIXAddress(b"page.sock")
JSON = "application/json"
TOKEN = "correct-horse"
BEARER = f"Bearer {TOKEN}"


class Served(Resource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        assert request.content is not None
        body: bytes = request.content.read()
        return b"served " + body


def answer(
    rules: Rules, method: str = "GET", path: str = "/x", body: bytes = b"", **headers: str
) -> tuple[int, str, str]:
    """Return the status, the head and the body of the answer to one request."""
    site = Site(Guarded(rules, Served()), requestFactory=BoundedRequest)
    site.log = lambda request: None  # type: ignore[method-assign]
    channel: Any = site.buildProtocol(HERE)
    transport = StringTransport()
    channel.makeConnection(transport)
    given = {"Host": "localhost:8090", "Content-Length": str(len(body)), "Connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    channel.dataReceived(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
    told = transport.value()
    channel.connectionLost(None)
    head_bytes, _, content = told.partition(b"\r\n\r\n")
    assert b"Access-Control" not in head_bytes
    assert b"X-Content-Type-Options: nosniff" in head_bytes or b" 400 " in head_bytes
    return int(head_bytes.split()[1]), head_bytes.decode("latin-1"), content.decode("latin-1")


def ask(rules: Rules, method: str = "GET", body: bytes = b"", **headers: str) -> tuple[int, str]:
    """Return the status and the body of the answer to one request."""
    status, _head, content = answer(rules, method, "/x", body, **headers)
    return status, content


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
    assert ask(at(EVERYWHERE, TOKEN, "page.test"), Host=host, Authorization=BEARER)[0] == status


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


WRONG = ["", TOKEN, "Bearer", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", f"Bearer {TOKEN}2", "Bearer s\xe9cret"]


@pytest.mark.parametrize("address", [HERE, EVERYWHERE, SOCKET])
@pytest.mark.parametrize("authorization", WRONG)
def test_without_the_token_nothing_is_changed(address: IAddress, authorization: str) -> None:
    rules = at(address, TOKEN)
    status, body = ask(rules, "POST", b"{}", Content_Type=JSON, Authorization=authorization)
    assert (status, TOKEN in body) == (401, False)


@pytest.mark.parametrize("address", [EVERYWHERE, SOCKET])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/x", "/metrics", "/api/state", "/static/page.js", "/static/../api/state"])
def test_beyond_the_loopback_and_on_a_socket_nothing_is_read_without_it(
    address: IAddress, method: str, path: str
) -> None:
    for authorization in WRONG:
        status, head, body = answer(at(address, TOKEN), method, path, Authorization=authorization)
        assert (status, "served" in body, TOKEN in head + body) == (401, False, False)
        assert "WWW-Authenticate: Bearer" in head
    assert answer(at(address, TOKEN), "GET", path, Authorization=BEARER)[0] == 200


@pytest.mark.parametrize("token", ["", TOKEN])
def test_on_the_loopback_everybody_here_may_read(token: str) -> None:
    assert ask(at(HERE, token)) == (200, "served ")


def test_a_token_is_made_up_where_one_is_needed() -> None:
    assert at(HERE).token == ""
    made_up = {at(address).token for address in (EVERYWHERE, SOCKET) for _ in range(10)}
    assert len(made_up) == 20
    assert all(len(token) >= 20 for token in made_up)


def test_with_the_token_it_is() -> None:
    assert ask(at(EVERYWHERE, TOKEN), "POST", b"{}", Content_Type=JSON, Authorization=BEARER)[0] == 200


def test_neither_the_rules_nor_the_page_say_the_token() -> None:
    rules = at(EVERYWHERE, TOKEN)
    assert TOKEN not in repr(rules)
    assert rules.permit not in repr(rules)
    assert TOKEN not in repr(WebSettings("8090", Path("runs"), TOKEN))


def test_a_browser_is_shown_a_door_that_says_nothing_and_asks_nobody_else() -> None:
    status, head, body = answer(at(EVERYWHERE, TOKEN), "GET", "/")
    assert (status, "token-form" in body) == (401, True)
    assert "default-src 'none'; script-src 'self'" in head
    for path in ("/static/door.js", "/static/page.css", "/static/icon.svg"):
        assert answer(at(EVERYWHERE, TOKEN), "GET", path)[0] == 200
        assert f'"{path[1:]}"' in body


def test_who_shows_the_token_once_gets_a_cookie_that_reads_and_changes_nothing() -> None:
    rules = at(EVERYWHERE, TOKEN)
    assert answer(rules, "POST", "/api/session", b"{}", Content_Type=JSON)[0] == 401
    status, head, _body = answer(rules, "POST", "/api/session", b"{}", Content_Type=JSON, Authorization=BEARER)
    found = re.search("Set-Cookie: ((proxyreload-[0-9a-f]{8})=([^;]+))(.*)", head)
    assert status == 200
    assert found is not None
    assert found[4].strip() == "; Path=/; HttpOnly; SameSite=strict"
    assert TOKEN not in head
    cookie = found[1]
    assert answer(rules, "GET", "/", Cookie=cookie)[0] == 200
    assert answer(rules, "GET", "/metrics", Cookie=f"other=1; {cookie}")[0] == 200
    assert answer(rules, "POST", "/x", b"{}", Content_Type=JSON, Cookie=cookie)[0] == 401
    assert answer(rules, "POST", "/api/session", b"{}", Content_Type=JSON, Cookie=cookie)[0] == 401
    wrong = [
        f"{cookie}x",
        cookie[:-1],
        f"{found[2]}=",
        f"{found[2]}={TOKEN}",
        f"other={found[3]}",
        found[2],
        "\xff=\xff",
    ]
    assert {answer(rules, "GET", "/x", Cookie=given)[0] for given in wrong} == {401}
    # Another page, even the same one started anew, has another.
    assert answer(at(EVERYWHERE, TOKEN), "GET", "/x", Cookie=cookie)[0] == 401


def test_pages_of_one_host_have_cookies_of_their_own() -> None:
    assert at(EVERYWHERE).cookie != at(IPv4Address("TCP", "0.0.0.0", 8091)).cookie
    assert at(EVERYWHERE).cookie == at(EVERYWHERE).cookie


def test_a_cookie_is_for_where_reading_needs_the_token() -> None:
    status, head, body = answer(at(HERE), "POST", "/api/session", b"{}", Content_Type=JSON)
    assert (status, body, "Set-Cookie" in head) == (200, "served {}", False)


@pytest.mark.parametrize("path", ["/%ff", "/static/%c3", "/\xaf"])
def test_a_path_that_is_no_text_is_refused(path: str) -> None:
    assert answer(at(), "GET", path)[0] == 400


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
        ("unix:page.sock", "unix:page.sock:mode=600:lockfile=0"),
        (r"unix:a\:mode=7:mode=660", r"unix:a\:mode=7:mode=660:lockfile=0"),
    ],
)
def test_the_interface_is_the_loopback_unless_another_is_named(given: str, taken: str) -> None:
    assert narrowed(given) == taken


@pytest.mark.parametrize("given", ["65536", "99999", "tcp:65536", "tcp:port=70000", "tcp6:99999", "9" * 5000])
def test_a_port_beyond_all_bounds_is_wrong_usage(given: str) -> None:
    with pytest.raises(UsageError, match=r"^--web takes a whole number from 0 to 65535, not '[0-9]{5}"):
        endpoint(cast(IReactor, Clock()), given)


@pytest.mark.parametrize("given", ["0", "8090", "tcp:65535", "tcp:0:interface=::1"])
def test_any_other_port_is_taken(given: str) -> None:
    assert endpoint(cast(IReactor, Clock()), given.replace("::", r"\:\:")) is not None
