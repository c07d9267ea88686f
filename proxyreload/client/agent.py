"""An `IAgent` with exactly one connection and no retries, for treq."""

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer

from proxyreload.client.interfaces import IConnection, IConnectionOwner, IConnector
from proxyreload.client.request import serialize
from proxyreload.errors import ProxyreloadError


class ExchangeFailed(ProxyreloadError):
    """A request failed; ``failure`` is its class."""

    def __init__(self, failure: str, message: str) -> None:
        """Name class and message."""
        super().__init__(f"{failure}: {message}" if message else failure)
        self.failure = failure


@implementer(IResponse)
@attrs.define(eq=False)
class WholeResponse:
    """An answer that has arrived whole."""

    code: int
    headers: Headers
    _body: bytes
    version: tuple[bytes, int, int] = (b"HTTP", 1, 1)
    phrase: bytes = b""
    length: int | str = UNKNOWN_LENGTH
    request: IClientRequest | None = None
    previousResponse: IResponse | None = None

    def deliverBody(self, protocol: IProtocol) -> None:
        """Deliver it at once."""
        if self._body:
            protocol.dataReceived(self._body)
        protocol.connectionLost(Failure(ResponseDone()))

    def setPreviousResponse(self, response: IResponse) -> None:
        """Keep the response that redirected here."""
        self.previousResponse = response


@implementer(IAgent, IConnectionOwner)
@attrs.define(eq=False)
class OneConnectionAgent:
    """Sends one request at a time over one connection, which it opens anew when the last one is gone.

    A request is written once. Bodies of answers are kept up to `proxyreload.client.http11.BODY_KEPT`.
    """

    connector: IConnector
    timeout_s: float
    _connection: IConnection | None = attrs.field(default=None, init=False)
    _waiting: Deferred[IResponse] | None = attrs.field(default=None, init=False)
    _payload: bytes = attrs.field(default=b"", init=False)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Send one request; fails with `ExchangeFailed` or the connector's reasons."""
        if self._waiting is not None:
            return fail(RuntimeError("one request at a time"))
        return Deferred.fromCoroutine(self._request(method, uri, headers, bodyProducer))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    # IConnectionOwner

    def answered(self, connection: IConnection) -> None:
        """Give the answer out."""
        if not connection.keep_alive:
            connection.close()
            self._connection = None
        headers = Headers({})
        for name, value in (
            (b"Backend-Id", connection.instance),
            (b"Source-Port", connection.back_port),
            (b"Proxyreload-Id", connection.echoed_id),
        ):
            if value:
                headers.addRawHeader(name, value)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(WholeResponse(connection.status, headers, connection.body))

    def broken(self, connection: IConnection, failure: str, message: str) -> None:  # noqa: ARG002
        """Give the failure out."""
        self._connection = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(Failure(ExchangeFailed(failure, message)))

    def closed(self, connection: IConnection, message: str) -> None:  # noqa: ARG002
        """Open another connection if a request waits for it."""
        self._connection = None
        if self._waiting is not None:
            self._open(self._waiting)

    async def _request(
        self, method: bytes, uri: bytes, headers: Headers | None, body_producer: IBodyProducer | None
    ) -> IResponse:
        prepared = await serialize(method, uri, headers, body_producer)
        self._payload = prepared.encode(b"")
        waiting: Deferred[IResponse] = Deferred()
        self._waiting = waiting
        if self._connection is None:
            self._open(waiting)
        else:
            self._connection.send(self._payload)  # if it is gone, `closed` follows
        return await waiting

    def _open(self, waiting: Deferred[IResponse]) -> None:
        def opened(connection: IConnection) -> None:
            self._connection = connection
            connection.send(self._payload)

        def failed(reason: Failure) -> None:
            self._waiting = None
            waiting.errback(reason)

        self.connector.connect(self, self.timeout_s).addCallbacks(opened, failed)
