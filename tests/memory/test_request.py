"""Requests: prepared once, whole but for their ids."""

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from proxyreload.client.request import PreparedRequest, prepare, serialize

from .clocks import result_of

URL = "http://proxyreload.test:8080/"


def prepared(method: str = "GET", url: str = URL, **options: object) -> PreparedRequest:
    """Return what treq and we make of a request."""
    return result_of(Deferred.fromCoroutine(prepare(method, url, **options)))


def fields(request: PreparedRequest) -> dict[str, str]:
    """Return the header fields of a request."""
    head = request.encode(b"7-1").partition(b"\r\n\r\n")[0].decode()
    return dict(line.split(": ", 1) for line in head.split("\r\n")[1:])


def first_line(request: PreparedRequest) -> bytes:
    return request.encode(b"7-1").partition(b"\r\n")[0]


def test_the_id_takes_its_place() -> None:
    request = prepared()
    assert fields(request)["Proxyreload-Id"] == "7-1"
    assert request.encode(b"7-1").replace(b"7-1", b"7-22") == request.encode(b"7-22")


def test_a_request_has_no_body_and_ends_with_its_head() -> None:
    whole = prepared().encode(b"7-1")
    assert whole.endswith(b"\r\n\r\n")
    assert whole.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        (URL, b"GET / HTTP/1.1", "proxyreload.test:8080"),
        ("http://example.test", b"GET / HTTP/1.1", "example.test"),
        ("http://example.test/a/b?c=d&e=f", b"GET /a/b?c=d&e=f HTTP/1.1", "example.test"),
        ("http://example.test/a#part", b"GET /a HTTP/1.1", "example.test"),
        ("http://my_service:8080/", b"GET / HTTP/1.1", "my_service:8080"),
        ("http://[::1]:8080/", b"GET / HTTP/1.1", "[::1]:8080"),
    ],
)
def test_target_and_host_come_from_the_url(url: str, line: bytes, host: str) -> None:
    request = prepared(url=url)
    assert first_line(request) == line
    assert fields(request)["Host"] == host


def test_who_is_named_in_the_url_is_not_in_the_host() -> None:
    request = result_of(Deferred.fromCoroutine(serialize(b"GET", b"http://user:pw@example.test:81/", None, None)))
    assert fields(request)["Host"] == "example.test:81"


def test_no_answer_is_asked_for_compressed() -> None:
    assert "Accept-Encoding" not in fields(prepared(headers={"accept-encoding": "gzip"}))


def test_connections_are_asked_to_persist() -> None:
    assert "Connection" not in fields(prepared())


def test_a_host_of_ones_own_is_kept() -> None:
    assert fields(prepared(headers={"Host": "other.test"}))["Host"] == "other.test"


def test_headers_params_and_auth_are_treqs() -> None:
    request = prepared(headers={"X-One": "1"}, params={"q": "a b"}, auth=("user", "pw"))
    assert first_line(request) == b"GET /?q=a+b HTTP/1.1"
    assert (fields(request)["X-One"], fields(request)["Authorization"]) == ("1", "Basic dXNlcjpwdw==")


@implementer(IBodyProducer)
class Body:
    """Produces a body at once."""

    length = 7

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        for part in (b'{"a"', b":1}"):
            consumer.write(part)
        return succeed(None)

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


def test_a_body_is_whole_with_its_length() -> None:
    request = result_of(Deferred.fromCoroutine(serialize(b"POST", URL.encode(), None, Body())))
    assert first_line(request) == b"POST / HTTP/1.1"
    assert fields(request)["Content-Length"] == "7"
    assert request.encode(b"7-1").partition(b"\r\n\r\n")[2] == b'{"a":1}'


def test_the_callers_headers_are_not_touched() -> None:
    headers = Headers({b"accept-encoding": [b"gzip"]})
    result_of(Deferred.fromCoroutine(serialize(b"GET", URL.encode(), headers, None)))
    assert headers.hasHeader(b"accept-encoding")
    assert not headers.hasHeader(b"host")
