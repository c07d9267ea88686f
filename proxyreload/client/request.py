"""What a client sends: prepared once by treq, repeated with a new id each time."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import attrs
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from proxyreload.http2 import hpack
from proxyreload.traffic.identity import ID_FIELD

_STAND_IN = "stand-in.invalid"


@attrs.frozen
class PreparedRequest:
    """One HTTP/1.1 request, whole but for its id."""

    before: bytes
    after: bytes

    def encode(self, request_id: bytes) -> bytes:
        """Return the request's bytes with this id."""
        return self.before + request_id + self.after


@attrs.frozen
class KindRequest:
    """A request of a kind that sends more than a head."""

    head: PreparedRequest
    body: Callable[[bytes], bytes]  #: of the request with this id
    own_fields: Callable[[bytes], tuple[tuple[bytes, bytes], ...]] = lambda _request_id: ()  #: of that request alone

    def encode(self, request_id: bytes) -> bytes:
        """Return the request's first bytes with this id."""
        own = b"".join([b"\r\n%b: %b" % field for field in self.own_fields(request_id)])
        head = self.head
        return head.before + request_id + own + head.after + self.body(request_id)


@attrs.frozen
class HTTP2Request:
    """A request's block of header fields for HTTP/2, whole but for its id; nothing in it depends on a table."""

    before: bytes
    after: bytes

    @classmethod
    def of(cls, method: str, url: str, fields: Iterable[tuple[bytes, bytes]], path: bytes = b"") -> "HTTP2Request":
        """Return a request (RFC 9113, 8.3.1), for this path if one is given."""
        parts = urlsplit(url)
        path = path or ((parts.path or "/") + (f"?{parts.query}" if parts.query else "")).encode("ascii")
        pseudo = (
            (b":method", method.encode("ascii")),
            (b":scheme", parts.scheme.encode("ascii")),
            (b":authority", parts.netloc.rpartition("@")[2].encode("ascii")),
            (b":path", path),
        )
        others = [(name.lower(), value) for name, value in fields]
        return cls(hpack.encoded([*pseudo, *others]) + hpack.literal(ID_FIELD.lower()), b"")

    def encode(self, request_id: bytes) -> bytes:
        """Return the block with this id."""
        return self.before + hpack.string(request_id) + self.after


@implementer(IConsumer)
@attrs.define
class _Collector:
    """Keeps what a body producer writes."""

    chunks: list[bytes] = attrs.field(factory=list)

    def write(self, data: bytes) -> None:
        self.chunks.append(data)

    def registerProducer(self, producer: object, streaming: bool) -> None:  # noqa: FBT001
        """Accept any producer."""

    def unregisterProducer(self) -> None:
        """Nothing to undo."""


async def serialize(
    method: bytes,
    uri: bytes,
    headers: Headers | None,
    body_producer: IBodyProducer | None,
    host: bytes | None = None,
) -> PreparedRequest:
    """Turn the arguments of `IAgent.request` into bytes (RFC 9112, 3 and 6); `host` in place of the URI's."""
    url = urlsplit(uri)
    target = (url.path or b"/") + (b"?" + url.query if url.query else b"")
    fields = Headers({}) if headers is None else headers.copy()
    # Answers are checked byte by byte, so none is to be compressed.
    fields.removeHeader(b"accept-encoding")
    if not fields.hasHeader(b"host"):
        fields.setRawHeaders(b"host", [host or url.netloc.rpartition(b"@")[2]])
    body = b""
    if body_producer is not None:
        collector = _Collector()
        await body_producer.startProducing(collector)
        body = b"".join(collector.chunks)
        fields.setRawHeaders(b"content-length", [b"%d" % len(body)])
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    lines += [b"%b: %b" % (name, value) for name, values in fields.getAllRawHeaders() for value in values]
    return PreparedRequest(b"\r\n".join(lines) + b"\r\n" + ID_FIELD + b": ", b"\r\n\r\n" + body)


@implementer(IAgent)
@attrs.define
class _RecordingAgent:
    """Records the one request that treq makes of it, and never answers."""

    recorded: tuple[bytes, bytes, Headers | None, IBodyProducer | None] | None = None

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        self.recorded = (method, uri, headers, bodyProducer)
        return Deferred()


async def prepare(method: str, url: str, **options: Any) -> PreparedRequest:  # noqa: ANN401  (treq's own)
    """Let treq prepare a request; `options` are those of `treq.request`: headers, params, auth, json, data, cookies."""
    # treq takes no host that is not a name of the DNS, like [::1] or my_service: it gets another, and we put ours back.
    parts = urlsplit(url)
    agent = _RecordingAgent()
    client = HTTPClient(agent)
    client.request(method, parts._replace(netloc=_STAND_IN).geturl(), allow_redirects=False, unbuffered=True, **options)
    assert agent.recorded is not None  # noqa: S101
    return await serialize(*agent.recorded, host=parts.netloc.rpartition("@")[2].encode("ascii"))
