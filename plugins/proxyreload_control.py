"""A small reverse proxy of our own, to test the instrument by: honest, or with faults that it counts.

``control:faults`` does to its clients what broken proxies do, one fault at a time, each kind a number of times that is
drawn from the run's seed, and keeps its own books of what the clients must have seen.
"""

import random
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httptools
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload import failures
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import (
    BACK_CHANGED,
    FRONT_CHANGED,
    STRAGGLERS,
    IFaultInjector,
    IProxy,
    Mechanism,
    ProxyPlugin,
)
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace

ID_FIELD = b"proxyreload-id"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
#: How long a fault lasts that takes the port away; clients wait thrice as long before they connect again.
OUTAGE_S = 0.03


class Front(Protocol):
    """One client's connection: takes a request, and hands it over when it is whole."""

    def __init__(self, proxy: "Runtime") -> None:
        self.proxy = proxy
        self.client = b""
        self.carried = 0
        self.harmed = False  # by a fault that this connection will end of
        self._request = b""
        self._parser = httptools.HttpRequestParser(self)

    def connectionMade(self) -> None:
        """Be known to the proxy."""
        self.proxy.fronts.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Collect a request."""
        self._request += data
        self._parser.feed_data(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Be known no more."""
        self.proxy.fronts.discard(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Learn whose it is."""
        if name.lower() == ID_FIELD:
            self.client = value.partition(b"-")[0]

    def on_message_complete(self) -> None:
        """Hand the request over."""
        request, self._request = self._request, b""
        self.carried += 1
        self.proxy.requested(self, request)

    def write(self, data: bytes) -> None:
        """Write to the client."""
        if self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        """Close with a FIN."""
        if self.transport is not None:
            self.transport.loseConnection()

    def reset(self) -> None:
        """Close with a RST."""
        transport: Any = self.transport
        transport.abortConnection()


class Back(Protocol):
    """One connection to a backend: passes a request on, and its answer back when it is whole."""

    def __init__(self, proxy: "Runtime", upstream: Upstream) -> None:
        self.proxy = proxy
        self.upstream = upstream
        self.front: Front | None = None
        self.delivered = False  # an answer to a client
        self._answer = b""
        self._parser = httptools.HttpResponseParser(self)

    def send(self, front: Front, request: bytes) -> None:
        """Pass a request on."""
        self.front = front
        if self.transport is not None:
            self.transport.write(request)

    def dataReceived(self, data: bytes) -> None:
        """Collect an answer."""
        self._answer += data
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Hand the answer over."""
        answer, self._answer = self._answer, b""
        front, self.front = self.front, None
        if front is not None:
            self.proxy.answered(front, self, answer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Answer in place of a backend that is gone."""
        self.proxy.lost(self)
        if self.front is not None:
            self.front.write(UNAVAILABLE)

    def close(self) -> None:
        """Close."""
        if self.transport is not None:
            self.transport.loseConnection()


class Fronts(Factory):
    """Makes the clients' connections."""

    noisy = False

    def __init__(self, proxy: "Runtime") -> None:
        self._proxy = proxy

    def buildProtocol(self, addr: IAddress | None) -> Front:  # noqa: ARG002
        """Make one."""
        return Front(self._proxy)


@implementer(IProxy)
class Runtime:
    """An honest proxy: round robin over its backends, a pool of connections to each."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.fronts: set[Front] = set()
        self.port: Any = None
        self._upstreams: list[Upstream] = []
        self._turn = 0
        self._idle: dict[int, list[Back]] = {}
        self._busy: Counter[int] = Counter()

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Listen."""
        self._upstreams = list(upstreams)
        self.listen()

    async def add_backend(self, upstream: Upstream) -> None:
        """Take it into the round."""
        self._upstreams.append(upstream)

    async def remove_backend(self, upstream: Upstream) -> None:
        """Take it out of the round, and wait until its last answer is with its client."""
        self._upstreams.remove(upstream)

        async def drained() -> bool:
            return not self._busy[upstream.instance]

        await self.workspace.until(drained, f"{upstream.name} drained")
        await pause(self.workspace.reactor, OUTAGE_S)

    async def stop(self) -> None:
        """Listen no more, and close everything."""
        if self.port is not None:
            await maybeDeferred(self.port.stopListening)
        for front in tuple(self.fronts):
            front.close()
        for pool in self._idle.values():
            for back in tuple(pool):
                back.close()

    def listen(self) -> None:
        """Open the front port."""
        workspace: Any = self.workspace
        self.port = workspace.reactor.listenTCP(
            workspace.front_port, Fronts(self), backlog=128, interface=workspace.front_host
        )

    def requested(self, front: Front, request: bytes) -> None:
        """Pass a request on."""
        self._turn += 1
        self.forward(front, request, self._upstreams[self._turn % len(self._upstreams)])

    def forward(self, front: Front, request: bytes, upstream: Upstream) -> None:
        """Pass a request on to this backend."""
        self._busy[upstream.instance] += 1
        pool = self._idle.setdefault(upstream.instance, [])
        if pool:
            pool.pop().send(front, request)
            return
        factory = Factory.forProtocol(lambda: Back(self, upstream))
        factory.noisy = False
        opening: Deferred[Any] = TCP4ClientEndpoint(self.workspace.reactor, upstream.host, upstream.port).connect(
            factory
        )
        opening.addCallbacks(lambda back: back.send(front, request), lambda _reason: front.write(UNAVAILABLE))

    def answered(self, front: Front, back: Back, answer: bytes) -> None:
        """Pass an answer back."""
        self.keep(back)
        front.write(answer)

    def keep(self, back: Back) -> None:
        """Put a backend connection back into its pool."""
        self._busy[back.upstream.instance] -= 1
        self._idle.setdefault(back.upstream.instance, []).append(back)

    def lost(self, back: Back) -> None:
        """Forget a backend connection."""
        pool = self._idle.get(back.upstream.instance, [])
        if back in pool:
            pool.remove(back)


async def pause(reactor: Any, seconds: float) -> None:  # noqa: ANN401
    """Wait, and then until everything that was under way in this reactor has been seen to."""
    await deferLater(reactor, seconds)
    for _turn in range(3):
        await deferLater(reactor, 0)


# What a fault does instead of passing a request on, by the name of the failure that the client must see.
AT_REQUEST: dict[str, Callable[[Front], object]] = {
    failures.RESET_REUSED: Front.reset,
    failures.RESET_FRESH: Front.reset,
    failures.CLOSED_REUSED: Front.close,
    failures.CLOSED_FRESH: Front.close,
    failures.TIMEOUT: lambda front: None,  # noqa: ARG005
    failures.MALFORMED: lambda front: front.write(b"HTTP/1.1 2x0 OK\r\n\r\n"),
    failures.status_failure(503): lambda front: front.write(UNAVAILABLE),
}


def _write_and(then: Callable[[Front], object], front: Front, data: bytes) -> None:
    """Write, and do the rest when the client has read that: a reset would overtake it."""
    front.write(data)
    pausing = Deferred.fromCoroutine(pause(front.proxy.workspace.reactor, OUTAGE_S))
    pausing.addCallback(lambda _none: then(front))


def _close_after(front: Front, data: bytes) -> None:
    """Write and close."""
    front.write(data)
    front.close()


# What a fault does with an answer.
STALLED = "stalled body"
SWAPPED = "swapped answer"
ANNOUNCED = "announced close"
IDLE_CLOSE = "idle close"
REPLACED = "backend connection replaced"
AT_ANSWER: dict[str, Callable[[Front, bytes], object]] = {
    failures.RESET_MID_RESPONSE: lambda front, answer: _write_and(Front.reset, front, answer[:-3]),
    failures.TRUNCATED: lambda front, answer: _write_and(Front.close, front, answer[:-3]),
    STALLED: lambda front, answer: front.write(answer[:-3]),
    failures.UNASKED: lambda front, answer: front.write(answer + b"HTTP/1.1 200 OK\r\n"),
    failures.WRONG_BODY: lambda front, answer: front.write(answer[:-2] + b"?\n"),
    SWAPPED: lambda front, answer: front.write(_swap(answer)),
    ANNOUNCED: lambda front, answer: _close_after(front, answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)),
    IDLE_CLOSE: _close_after,
}
#: The class that a client must report, where the fault has a name of its own; None: no failure at all.
REPORTED = {
    STALLED: failures.TIMEOUT,
    SWAPPED: failures.WRONG_BODY,
    ANNOUNCED: None,
    IDLE_CLOSE: None,
    REPLACED: None,
}
#: Faults that a connection survives.
SURVIVED = {failures.status_failure(503), failures.WRONG_BODY, SWAPPED, REPLACED}
#: Faults that need a client to connect anew: an idle close goes before them.
AFTER_CLOSE = {failures.RESET_FRESH, failures.CLOSED_FRESH, failures.REFUSED, failures.CONNECT_TIMEOUT}
KINDS = (*AT_REQUEST, *AT_ANSWER, REPLACED, failures.REFUSED, failures.CONNECT_TIMEOUT)
#: How many requests there are between two faults, and how often each kind comes.
GAP = (200, 1400)
TIMES = (3, 8)


def _swap(answer: bytes) -> bytes:
    """Turn an answer into the one to another request, of the same length."""
    head, _end, body = answer.rpartition(b"\r\n\r\n")
    other = body[:-2] + (b"1" if body[-2:-1] == b"0" else b"0") + b"\n"
    wanted, given = body.split()[-1], other.split()[-1]
    return head.replace(wanted, given) + b"\r\n\r\n" + other


@implementer(IFaultInjector)
class Faults(Runtime):
    """Injects faults, one at a time, and keeps the books."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.expected: Counter[str] = Counter()
        self.finished: Deferred[None] = Deferred()
        self.requests = 0
        self._chance = random.Random(workspace.seed)  # noqa: S311
        self._plan = self._draw()
        self._fault: str | None = None
        self._countdown = GAP[0]
        self._fresh_fault: str | None = None
        self._stragglers_left = 0
        self._removed: Upstream | None = None
        self._connected: set[bytes] = set()
        self._answered: set[bytes] = set()

    async def remove_backend(self, upstream: Upstream) -> None:
        """Remove it, and let a few requests slip through to it afterwards."""
        await super().remove_backend(upstream)
        self._removed = upstream
        self._stragglers_left = self.expected[STRAGGLERS] = self._chance.randint(*TIMES)

    def requested(self, front: Front, request: bytes) -> None:
        """Pass a request on, or not."""
        if not front.client.isdigit():  # none of the traffic under test
            super().requested(front, request)
            return
        self.requests += 1
        if front.carried == 1:
            self.expected[FRONT_CHANGED] += front.client in self._connected
            self._connected.add(front.client)
        fault = self._due(front)
        if fault in AT_REQUEST:
            self._did(fault, front)
            AT_REQUEST[fault](front)
        elif self._stragglers_left and self._removed is not None:
            self._stragglers_left -= 1
            self.forward(front, request, self._removed)
        else:
            super().requested(front, request)

    def answered(self, front: Front, back: Back, answer: bytes) -> None:
        """Pass an answer back, or something else."""
        if not front.client.isdigit():
            super().answered(front, back, answer)
            return
        self._deliver(front, back)
        fault = self._fault
        if fault == REPLACED:
            self._did(fault, front)
            self._busy[back.upstream.instance] -= 1
            back.close()
            front.write(answer)
            return
        self.keep(back)
        if fault in AT_ANSWER:
            self._did(fault, front)
            AT_ANSWER[fault](front, answer)
        elif fault in AFTER_CLOSE and self._all_connected():
            self._fault = None
            Deferred.fromCoroutine(self._close_and(fault, front, answer))
        else:
            front.write(answer)

    def _draw(self) -> Iterator[str]:
        faults = [kind for kind in KINDS for _time in range(self._chance.randint(*TIMES))]
        self._chance.shuffle(faults)
        return iter(faults)

    def _due(self, front: Front) -> str | None:
        """Return the fault that is to be done at this request, if it is one for requests."""
        if self._fresh_fault is not None and front.carried == 1:
            fault, self._fresh_fault = self._fresh_fault, None
            return fault
        if self._fault is None and self._fresh_fault is None:
            self._countdown -= 1
            if self._countdown <= 0:
                self._countdown = self._chance.randint(*GAP)
                self._fault = next(self._plan, None)
                if self._fault is None:
                    self._finish()
        return self._fault if self._fault not in AFTER_CLOSE and front.carried > 1 else None

    def _did(self, fault: str, front: Front) -> None:
        self._fault = None
        front.harmed = fault not in SURVIVED
        name = REPORTED.get(fault, fault)
        if name is not None:
            self.expected[name] += 1

    def _deliver(self, front: Front, back: Back) -> None:
        """Note whose answer comes over which backend connection."""
        if not back.delivered:
            back.delivered = True
            self.expected[BACK_CHANGED] += front.client in self._answered
        self._answered.add(front.client)

    def _all_connected(self) -> bool:
        """Whether no client but the one at hand can come to connect now."""
        return len(self.fronts) == len(self._connected) and all(
            front.carried and not front.harmed for front in self.fronts
        )

    async def _close_and(self, fault: str, front: Front, answer: bytes) -> None:
        """Close a connection that is idle, and do `fault` to the client when it connects."""
        reactor: Any = self.workspace.reactor
        if fault in AT_REQUEST:
            self._fresh_fault = fault
            _close_after(front, answer)
            return
        hold, self._countdown = self._countdown, sys.maxsize  # no other fault meanwhile
        dummies: list[socket.socket] = []
        if fault == failures.REFUSED:
            await maybeDeferred(self.port.stopListening)
        else:
            dummies = self._fill_queue()
        _close_after(front, answer)
        await pause(reactor, OUTAGE_S if fault == failures.REFUSED else self.workspace.patience_s + OUTAGE_S)
        self._did(fault, front)
        if fault == failures.REFUSED:
            self.listen()
        else:
            for dummy in dummies:
                dummy.close()
            self.port.socket.listen(128)
            self.port.startReading()
        self._countdown = hold

    def _fill_queue(self) -> list[socket.socket]:
        """Accept nothing, and fill the queue of those who wait for it, so that the next one's SYN is dropped."""
        self.port.stopReading()
        self.port.socket.listen(1)
        dummies = []
        for _place in range(8):
            dummy = socket.socket()
            dummy.setblocking(False)  # noqa: FBT003
            dummy.connect_ex((self.workspace.front_host, self.workspace.front_port))
            dummies.append(dummy)
        return dummies

    def _finish(self) -> None:
        if self._removed is not None and not self._stragglers_left and not self.finished.called:
            self.finished.callback(None)


def interpreter() -> str:
    """Return what runs it: this very program."""
    return sys.executable


plugin = ProxyPlugin(
    name="control",
    binary=Binary("control", how_to_get="it is part of proxyreload", version_args=(), packaged=interpreter),
    mechanisms=(
        Mechanism("runtime", "proxyreload's own small proxy, honest", Runtime),
        Mechanism("faults", "the same, with faults that it counts (what selftest uses)", Faults),
    ),
)
