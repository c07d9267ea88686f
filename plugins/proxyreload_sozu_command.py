"""sozu's command socket: the few messages that the plugin needs, and how one is sent and answered.

A message is an 8-byte little-endian length, itself included, and a protobuf ``Request`` or ``Response``:
https://github.com/sozu-proxy/sozu/blob/main/command/src/channel.rs
https://github.com/sozu-proxy/sozu/blob/main/command/src/command.proto
"""

import struct
from collections.abc import Mapping
from enum import IntEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import attrs
from google.protobuf.message import DecodeError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from proxyreload.errors import ChangeError
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import COMMAND_TIMEOUT_S
from proxyreload.system.messages import BYTES, FIXED32, INT32, STRING, UINT32, Fields, described
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import WORDS_LIMIT, one_line
from proxyreload.system.waiting import LateError

CONNECT_TIMEOUT_S = 5
#: What is answered here has a few hundred bytes; what announces more is no sozu.
LENGTH_LIMIT = 1024 * 1024
LENGTH = struct.Struct("<Q")

MESSAGES: Mapping[str, Fields] = {
    "Request": (
        ("list_workers", 4, "ListWorkers"),
        ("upgrade_main", 8, "UpgradeMain"),
        ("upgrade_worker", 9, UINT32),
        ("reload_configuration", 11, STRING),
        ("add_http_frontend", 15, "Frontend"),
        ("remove_http_frontend", 16, "Frontend"),
        ("add_https_frontend", 17, "Frontend"),
        ("remove_https_frontend", 18, "Frontend"),
        ("replace_certificate", 20, "ReplaceCertificate"),
        ("add_backend", 24, "AddBackend"),
        ("remove_backend", 25, "RemoveBackend"),
    ),
    "ListWorkers": (),
    "UpgradeMain": (),
    "AddBackend": (
        ("cluster_id", 1, STRING),
        ("backend_id", 2, STRING),
        ("address", 3, "SocketAddress"),
        ("load_balancing_parameters", 5, "LoadBalancingParams"),
    ),
    "RemoveBackend": (("cluster_id", 1, STRING), ("backend_id", 2, STRING), ("address", 3, "SocketAddress")),
    "Frontend": (
        ("cluster_id", 1, STRING),
        ("address", 2, "SocketAddress"),
        ("hostname", 3, STRING),
        ("path", 4, "PathRule"),
        ("position", 6, INT32),
    ),
    "PathRule": (("kind", 1, INT32), ("value", 2, STRING)),
    "ReplaceCertificate": (
        ("address", 1, "SocketAddress"),
        ("new_certificate", 2, "CertificateAndKey"),
        ("old_fingerprint", 3, STRING),
    ),
    "CertificateAndKey": (("certificate", 1, BYTES), ("certificate_chain", 2, [BYTES]), ("key", 3, BYTES)),
    "SocketAddress": (("ip", 1, "IpAddress"), ("port", 2, UINT32)),
    "IpAddress": (("v4", 1, FIXED32),),
    "LoadBalancingParams": (("weight", 1, INT32),),
    # Enumerations are read as numbers and text as bytes, to be looked at here.
    "Response": (("status", 1, INT32), ("message", 2, BYTES), ("content", 3, "ResponseContent")),
    "ResponseContent": (("workers", 1, "WorkerInfos"),),
    "WorkerInfos": (("vec", 1, ["WorkerInfo"]),),
    "WorkerInfo": (("id", 1, UINT32), ("pid", 2, INT32), ("run_state", 3, INT32)),
}


class Status(IntEnum):
    """What a response says of its request."""

    OK = 0
    PROCESSING = 1
    FAILURE = 2


#: What a path begins with, and a frontend that is found by its host's name.
PREFIX, TREE = 0, 2
#: The run states of a worker that has been replaced: stopping, stopped.
REPLACED = (1, 2)
#: The weight of a backend whose configuration names none.
WEIGHT = 100


_CLASSES = described(MESSAGES)
Request: Any = _CLASSES["Request"]
Response: Any = _CLASSES["Response"]


def backend(cluster: str, upstream: Upstream) -> dict[str, Any]:
    """Return what names a backend in a request."""
    return {"cluster_id": cluster, "backend_id": upstream.name, "address": address_of(upstream.host, upstream.port)}


def address_of(host: str, port: int) -> dict[str, Any]:
    """Return what an address is called there."""
    return {"ip": {"v4": int(IPv4Address(host))}, "port": port}


def framed(message: Any) -> bytes:  # noqa: ANN401  (a class made at run time)
    """Return a message as it travels."""
    payload: bytes = message.SerializeToString()
    return LENGTH.pack(LENGTH.size + len(payload)) + payload


class Command(Protocol):
    """Sends one request. `done` fires with the response OK, or fails with `ChangeError` and sozu's words."""

    def __init__(self, request: Any) -> None:  # noqa: ANN401
        self.done: Deferred[Any] = Deferred()
        self.progress = ""  #: sozu's latest words
        self._request = request
        self._said = b""

    def connectionMade(self) -> None:
        """Send it."""
        assert self.transport is not None  # noqa: S101
        self.transport.write(framed(self._request))

    def dataReceived(self, data: bytes) -> None:
        """Take whole messages off what was said, until one of them is the end."""
        self._said += data
        while not self.done.called and len(self._said) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._said)
            if not LENGTH.size <= length <= LENGTH_LIMIT:
                self._fail(f"sozu announced an answer of {length} bytes")
            elif length > len(self._said):
                return
            else:
                message, self._said = self._said[LENGTH.size : length], self._said[length:]
                self._answered(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Fail, if that was no end."""
        if not self.done.called:
            self._fail(f"sozu closed the connection without an answer{self.last_words}")

    def hang_up(self) -> None:
        """Close the connection, whatever is under way."""
        transport: Any = self.transport  # ITransport has no abortConnection; TCP and Unix have
        transport.abortConnection()

    @property
    def last_words(self) -> str:
        """Sozu's latest words, to end a sentence with."""
        return f"; it said last: {self.progress}" if self.progress else ""

    def _answered(self, message: bytes) -> None:
        try:
            response = Response.FromString(message)
            status = Status(response.status if response.HasField("status") else -1)
        except (DecodeError, ValueError):
            self._fail("sozu's answer is no response")
            return
        words = one_line(response.message.decode("utf-8", "replace"), WORDS_LIMIT)
        if status is Status.PROCESSING:
            self.progress = words
        elif status is Status.FAILURE:
            self._fail(words or "sozu refused without a word")
        else:
            self.done.callback(response)

    def _fail(self, words: str) -> None:
        self.done.errback(ChangeError(words))


@attrs.frozen
class CommandSocket:
    """Where a sozu takes requests, each over a connection of its own."""

    reactor: IReactor
    path: Path

    async def add_backend(self, cluster: str, upstream: Upstream) -> None:
        """Done when every worker has it. Without a weight it would get one request in a hundred."""
        weight = {"weight": WEIGHT}
        await self._ask(add_backend={**backend(cluster, upstream), "load_balancing_parameters": weight})

    async def remove_backend(self, cluster: str, upstream: Upstream) -> None:
        """Done when no worker has it."""
        await self._ask(remove_backend=backend(cluster, upstream))

    async def replace_certificate(self, host: str, port: int, chain: bytes, key: bytes, old_fingerprint: str) -> None:
        """Let who listens there show another certificate; done when every worker does."""
        new = {"certificate": chain, "certificate_chain": [chain], "key": key}
        await self._ask(
            replace_certificate={
                "address": address_of(host, port),
                "new_certificate": new,
                "old_fingerprint": old_fingerprint,
            }
        )

    async def refuse(self, verb: str, host: str, port: int, hostname: str, path: str) -> None:
        """``add`` or ``remove`` a frontend without a cluster: what asks for it is answered 401. Done by every worker.

        `verb` is ``add_http``, ``add_https``, ``remove_http`` or ``remove_https``.
        """
        rule = {"kind": PREFIX, "value": path}
        frontend = {"address": address_of(host, port), "hostname": hostname, "path": rule, "position": TREE}
        await self._ask(**{f"{verb}_frontend": frontend})

    async def reload(self, config: Path) -> None:
        """Read a configuration: what is new in it is added, nothing is taken away."""
        await self._ask(reload_configuration=str(config))

    async def upgrade_main(self) -> None:
        """Replace the main process; done when its successor is in charge."""
        await self._ask(upgrade_main={})

    async def upgrade_worker(self, worker: int) -> None:
        """Replace a worker, by its id; done when it has finished what was under way and the new one serves."""
        await self._ask(upgrade_worker=worker)

    async def workers(self) -> dict[int, int]:
        """Return the ids and pids of the workers that have not been replaced."""
        response = await self._ask(list_workers={})
        return {each.id: each.pid for each in response.content.workers.vec if each.run_state not in REPLACED}

    async def _ask(self, **request: Any) -> Any:  # noqa: ANN401
        """Return the response to a request; raises `ChangeError` if it is not OK, or late."""
        command = Command(Request(**request))
        endpoint = UNIXClientEndpoint(self.reactor, str(self.path), timeout=CONNECT_TIMEOUT_S)
        try:
            await endpoint.connect(Factory.forProtocol(lambda: command))
        except (CancelledError, ConnectingCancelledError):
            raise CancelledError from None
        except Exception as error:
            msg = f"{self.path.name}: {one_line(str(error))}"
            raise ChangeError(msg) from error
        try:
            return await command.done.addTimeout(COMMAND_TIMEOUT_S, self.reactor)
        except LateError:
            msg = f"sozu has not finished within {COMMAND_TIMEOUT_S:g} s{command.last_words}"
            raise ChangeError(msg) from None
        finally:
            command.hang_up()
