"""An `IAgent` with exactly one connection and no retries, for treq."""

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer

from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.interfaces import IConnection, IConnectionOwner, IConnector
from proxyreload.client.pending import Pending
from proxyreload.client.request import serialize
from proxyreload.errors import ProxyreloadError
from proxyreload.history.events import Ending
from proxyreload.history.failures import TIMEOUT


class ExchangeFailed(ProxyreloadError):
    """A request failed; ``failure`` is its class."""

    def __init__(self, failure: str, message: str) -> None:
        """Name class and message."""
        super().__init__(f"{failure}: {message}" if message else failure)
        self.failure = failure


#: How many of an answer's fields are kept.
_FIELDS_KEPT = 256


class AgentConnection(HTTP11Connection):
    """A connection that keeps all of an answer's fields."""

    def on_message_begin(self) -> None:
        """Forget those of the answer before."""
        self.fields: list[tuple[bytes, bytes]] = []
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one."""
        if len(self.fields) < _FIELDS_KEPT:
            self.fields.append((name, value))
        super().on_header(name, value)


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

    A request is written once. Bodies of answers are kept up to `proxyreload.client.front.BODY_KEPT`.
    """

    reactor: IReactorTime
    connector: IConnector  #: of `AgentConnection`
    timeout_s: float  #: for one exchange, its body included
    _alarm: IDelayedCall | None = attrs.field(default=None, init=False)
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

    def answered(self, connection: IConnection, pending: Pending) -> None:
        """Give the answer out."""
        if not pending.keep_alive:
            connection.close()
            self._connection = None
        headers = Headers({})
        for name, value in getattr(connection, "fields", ()):
            headers.addRawHeader(name, value)
        waiting = self._settled()
        if waiting is not None:
            waiting.callback(WholeResponse(pending.status, headers, pending.body))

    def broken(self, connection: IConnection, pending: Pending, failure: str, message: str) -> None:  # noqa: ARG002
        """Give the failure out."""
        self._connection = None
        waiting = self._settled()
        if waiting is not None:
            waiting.errback(Failure(ExchangeFailed(failure, message)))

    def closed(self, connection: IConnection, ending: Ending, message: str) -> None:  # noqa: ARG002
        """Open another connection if a request waits for it."""
        self._connection = None
        if self._waiting is not None:
            self._open(self._waiting)

    def _settled(self) -> Deferred[IResponse] | None:
        """Return whoever waits, who is to wait no longer."""
        waiting, self._waiting = self._waiting, None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        return waiting

    def _cancelled(self, _waiting: Deferred[IResponse]) -> None:
        """Give up the exchange under way: whoever asked no longer wants to know."""
        self.close()
        self._settled()

    def _late(self) -> None:
        """Give up the exchange under way, its body included."""
        self._alarm = None
        self.close()
        waiting = self._settled()
        if waiting is not None:
            waiting.errback(Failure(ExchangeFailed(TIMEOUT, "")))

    async def _request(
        self, method: bytes, uri: bytes, headers: Headers | None, body_producer: IBodyProducer | None
    ) -> IResponse:
        prepared = await serialize(method, uri, headers, body_producer)
        self._payload = prepared.encode(b"")
        waiting: Deferred[IResponse] = Deferred(self._cancelled)
        self._waiting = waiting
        self._alarm = self.reactor.callLater(self.timeout_s, self._late)
        if self._connection is None:
            self._open(waiting)
        else:
            self._connection.send(self._payload, Pending(0, b""))  # if it is gone, `closed` follows
        return await waiting

    def _open(self, waiting: Deferred[IResponse]) -> None:
        def opened(connection: IConnection) -> None:
            if self._waiting is not waiting:  # it came too late
                connection.abort()
                return
            self._connection = connection
            connection.send(self._payload, Pending(0, b""))

        def failed(reason: Failure) -> None:
            if self._waiting is waiting:
                self._settled()
                waiting.errback(reason)

        self.connector.connect(self, self.timeout_s).addCallbacks(opened, failed)
