"""A small reverse proxy of our own, to test the instrument by: honest, or with faults that it counts.

``control:faults`` does to its clients what broken proxies do, one fault at a time, each kind a number of times that is
drawn from the run's seed, and keeps its own books of what the clients must have seen.
"""

import random
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import implementer

from proxyreload.history import failures
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import (
    BACK_CHANGED,
    FRONT_CHANGED,
    STRAGGLERS,
    IFaultInjector,
    Mechanism,
    ProxyPlugin,
)
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload_control_proxy import OUTAGE_S, UNAVAILABLE, Back, Front, Runtime, pause

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
    failures.UNSOLICITED: lambda front, answer: front.write(answer + b"HTTP/1.1 200 OK\r\n"),
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
        self._asked: set[Front] = set()  # who has asked for something since then
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
        elif self._stragglers_left and self._removed is not None and self._sent_since(front):
            self._stragglers_left -= 1
            self.forward(front, request, self._removed)
        else:
            super().requested(front, request)

    def _sent_since(self, front: Front) -> bool:
        """Whether this client's request was sent after the removal, not before it and read after it."""
        if front in self._asked:
            return True
        self._asked.add(front)  # its next request is
        return False

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
        await pause(reactor, OUTAGE_S if fault == failures.REFUSED else self.workspace.client_timeout_s + OUTAGE_S)
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
    binary=Binary("control", how_to_get="it is part of proxyreload", packaged=interpreter),
    mechanisms=(
        Mechanism("runtime", "proxyreload's own small proxy, honest", Runtime),
        Mechanism("faults", "the same, with faults that it counts (what selftest uses)", Faults),
    ),
    testing=True,
)
