"""Talks to a proxy's admin API: one request, one connection, no retry, JSON or a form."""

import json
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from proxyreload.errors import ChangeError, UnansweredError
from proxyreload.proxy.workspace import COMMAND_TIMEOUT_S
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import printable
from proxyreload.system.waiting import LateError

T = TypeVar("T")

_REPLY_LIMIT = 1024 * 1024
_WORDS_LIMIT = 500
_CONNECT_TIMEOUT_S = 5.0
_OK = range(200, 300)


@implementer(IAgentEndpointFactory)
@attrs.frozen
class _AtSocket:
    """Leads every request to a Unix socket, whatever its URL says."""

    reactor: IReactor
    socket: Path

    def endpointForURI(self, uri: URI) -> UNIXClientEndpoint:  # noqa: ARG002
        return UNIXClientEndpoint(self.reactor, str(self.socket), timeout=_CONNECT_TIMEOUT_S)


@attrs.define(eq=False)
class Admin:
    """A proxy's admin API below one URL.

    Each method returns the parsed answer, None if that is empty (`text` and `submit` return it as it is), or raises
    `ChangeError` with the proxy's own words; `UnansweredError` if the connection was lost.

    Any user of the host can reach a port of it. With `socket` the API is at a Unix socket instead, which belongs in the
    workspace's folder; a proxy that has none for it can be told to answer only to what `headers` say.
    """

    reactor: IReactor
    base_url: str = "http://127.0.0.1"  #: without a slash at the end
    socket: Path | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)  #: of every request
    _client: HTTPClient = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the client: a connection that is kept may be closed by a proxy that is being changed."""
        pool = HTTPConnectionPool(self.reactor, persistent=False)
        pool.retryAutomatically = False
        if self.socket is None:
            agent = Agent(self.reactor, pool=pool)
        else:
            agent = Agent.usingEndpointFactory(self.reactor, _AtSocket(self.reactor, self.socket), pool)
        self._client = HTTPClient(agent)

    async def get(self, path: str) -> Any:  # noqa: ANN401  (JSON)
        """Ask for what is at `path`."""
        return await self._ask("GET", path)

    async def delete(self, path: str) -> Any:  # noqa: ANN401
        """Delete what is at `path`."""
        return await self._ask("DELETE", path)

    async def put(self, path: str, content: object) -> Any:  # noqa: ANN401
        """Put `content` there."""
        return await self._ask("PUT", path, json=content)

    async def put_text(self, path: str, text: str) -> Any:  # noqa: ANN401
        """Put a text there that is no JSON."""
        return await self._ask("PUT", path, data=text.encode("utf-8"))

    async def post(self, path: str, content: object, headers: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
        """Post `content` there."""
        return await self._ask("POST", path, json=content, headers=headers)

    async def patch(self, path: str, content: object) -> Any:  # noqa: ANN401
        """Replace what is there by `content`."""
        return await self._ask("PATCH", path, json=content)

    async def text(self, path: str) -> str:
        """Ask for what is at `path` where that is no JSON; return it as it is."""
        return _decoded(await self._answer("GET", path))

    async def submit(self, path: str, fields: Mapping[str, str]) -> str:
        """Post a form there; return the answer as it is."""
        return _decoded(await self._answer("POST", path, data=dict(fields)))

    async def _ask(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401
        body = await self._answer(method, path, **options)
        try:
            return json.loads(body) if body.strip() else None
        except ValueError as error:
            msg = f"{method} {path}: the answer is no JSON: {printable(body.strip(), _WORDS_LIMIT)}"
            raise ChangeError(msg) from error

    async def _answer(self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any) -> bytes:  # noqa: ANN401
        """Return the body of an answer that says that all is well."""
        what = f"{method} {path}"
        options["headers"] = {**self.headers, **(headers or {})}
        try:
            exchange = _cancellable(self._exchange(method, path, options))
            status, body = await exchange.addTimeout(COMMAND_TIMEOUT_S, self.reactor)
        except LateError:
            msg = f"{what}: no answer within {COMMAND_TIMEOUT_S:g} s"
            raise ChangeError(msg) from None
        except CancelledError:
            raise  # the run is ended
        except Exception as error:
            msg = f"{what}: {_words(error)}"
            raise UnansweredError(msg) from error
        if status not in _OK:
            msg = f"{what}: status {status}: {printable(body.strip(), _WORDS_LIMIT) or 'it said nothing'}"
            raise ChangeError(msg)
        return body

    async def _exchange(self, method: str, path: str, options: dict[str, Any]) -> tuple[int, bytes]:
        """Return the status and the body."""
        body = bytearray()
        reactor: Any = self.reactor

        def received(data: bytes) -> None:
            body.extend(data[: _REPLY_LIMIT - len(body)])

        response = await self._client.request(
            method, self.base_url + path, allow_redirects=False, unbuffered=True, reactor=reactor, **options
        )
        await response.collect(received)
        return response.code, bytes(body)


def _cancellable(work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """Return a Deferred whose cancellation is just that: Twisted's agent makes other errors of it, as it likes."""
    doing = Deferred.fromCoroutine(work)

    def cancel(done: Deferred[T]) -> None:
        done.errback(CancelledError())
        doing.cancel()

    def finish(outcome: T | Failure) -> None:
        if not done.called:
            done.callback(outcome)

    done: Deferred[T] = Deferred(cancel)
    doing.addBoth(finish)
    return done


def _decoded(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _causes(error: BaseException) -> list[BaseException]:
    """Return what Twisted's agent wraps, down to what it is about."""
    reasons = [reason.value for reason in getattr(error, "reasons", ())]
    return [cause for reason in reasons for cause in _causes(reason)] or [error]


def _words(error: BaseException) -> str:
    """Say why there is no answer."""
    words = "; ".join(f"{type(cause).__name__}: {cause}" for cause in _causes(error))
    return printable(words.removesuffix(": "), _WORDS_LIMIT)
