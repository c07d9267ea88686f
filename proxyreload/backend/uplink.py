"""What a backend in a process of its own tells the run: lines of JSON over a socket pair.

Each line has events of one topic, or a watermark: up to when everything has been told.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from proxyreload.history.bus import FLUSH_INTERVAL_S, EventBus
from proxyreload.history.events import Arrival, BackClosed, Broken
from proxyreload.history.order import FOREVER_NS, History, Source
from proxyreload.system.clock import ClockNs

_LINE_LIMIT = 16 * 1024 * 1024


@attrs.define(eq=False)
class Uplink:
    """Writes the events of a bus, and watermarks, in the backend's process."""

    write: Callable[[bytes], object]
    bus: EventBus
    clock_ns: ClockNs
    _ticking: LoopingCall | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Write what the bus brings."""
        self.bus.subscribe(Arrival, self._arrived)
        self.bus.subscribe(BackClosed, self._closed)
        self.bus.subscribe(Broken, self._broke)

    def start(self, reactor: IReactorTime) -> None:
        """Say that the port is open, and from now on up to when all has been told."""
        self._line({"listening": self.clock_ns()})
        self._ticking = LoopingCall(self.tick)
        self._ticking.clock = reactor
        self._ticking.start(FLUSH_INTERVAL_S, now=False)

    def tick(self) -> None:
        """Tell everything until now."""
        now_ns = self.clock_ns()
        self.bus.flush()
        self._line({"until": now_ns})

    def stop(self) -> None:
        """Tell everything, and that no more will come."""
        if self._ticking is not None and self._ticking.running:
            self._ticking.stop()
        self.bus.flush()
        self._line({"until": FOREVER_NS})

    def _arrived(self, arrivals: Sequence[Arrival]) -> None:
        told = [
            (
                a.request_id,
                a.back_port,
                a.carried,
                a.received_ns,
                a.executed_ns,
                a.answered_ns,
                a.given_up_ns,
                a.again,
            )
            for a in arrivals
        ]
        self._line({"arrivals": told})

    def _closed(self, events: Sequence[BackClosed]) -> None:
        for event in events:
            self._line({"closed": (event.back_port, event.carried, event.probe_only, event.closed_ns)})

    def _broke(self, events: Sequence[Broken]) -> None:
        for event in events:
            self._line({"broken": (event.reason, event.at_ns)})

    def _line(self, content: dict[str, Any]) -> None:
        self.write(json.dumps(content, separators=(",", ":")).encode("utf-8") + b"\n")


class UplinkReceiver(LineOnlyReceiver):
    """Tells it to the history, in the run's process: the monotonic clock is the machine's, so times hold."""

    delimiter = b"\n"
    MAX_LENGTH = _LINE_LIMIT

    def __init__(self, instance: str, history: History, listening: Deferred[None], ended: Deferred[None]) -> None:
        """Tell `history` as the backend `instance`; fire `listening` once its port is open, and `ended`."""
        self._instance = instance
        self._history = history
        self._listening = listening
        self._ended = ended
        self.source: Source | None = None  #: once it listens
        self.until_ns = 0  #: up to when it has told everything

    @property
    def complete(self) -> bool:
        """Whether it has told all that it will ever have to tell."""
        return self.until_ns == FOREVER_NS

    def lineReceived(self, line: bytes) -> None:
        """Take one line."""
        content = json.loads(line)
        if "listening" in content:
            self.until_ns = content["listening"]
            self.source = self._history.source(f"backend {self._instance}", self.until_ns)
            self._listening.callback(None)
        source = self.source
        if source is None:
            return
        for told in content.get("arrivals", ()):
            source.arrived(Arrival(self._instance, *told))
        if "closed" in content:
            source.publish(BackClosed(self._instance, *content["closed"]))
        if "broken" in content:
            source.publish(Broken(*content["broken"]))
        if "until" in content:
            self.until_ns = source.until_ns = content["until"]

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Say that no more comes."""
        if self.source is not None:
            self._history.remove(self.source)
        self._ended.callback(None)


class OneProtocolFactory(Factory):
    """Hands out the one protocol of an adopted connection."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        """Hand out `protocol`."""
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:  # noqa: ARG002
        """Hand it out."""
        return self._protocol
