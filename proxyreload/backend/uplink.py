"""What a backend in a process of its own tells the run: lines of JSON over a socket pair.

Each line has events of one topic, or a watermark: up to when everything has been told.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from proxyreload.history.bus import FLUSH_INTERVAL_S
from proxyreload.history.events import Arrival, BackClosed, Broken
from proxyreload.history.order import FOREVER_NS, RARE, History, Source
from proxyreload.system.clock import ClockNs

_LINE_LIMIT = 16 * 1024 * 1024
#: So many events stand in a line at most, which so stays far below that.
_EVENTS_AT_ONCE = 1024


@attrs.define(eq=False)
class Uplink:
    """Writes what a backend has seen, and watermarks, in the backend's process."""

    write: Callable[[bytes], object]
    seen: Source  #: what has not been told waits in it
    clock_ns: ClockNs
    _ticking: LoopingCall | None = attrs.field(default=None, init=False)

    def start(self, reactor: IReactorTime) -> None:
        """Say that the port is open, and from now on up to when all has been told."""
        self.write(_line("listening", self.clock_ns()))
        self._ticking = LoopingCall(self.tick)
        self._ticking.clock = reactor
        self._ticking.start(FLUSH_INTERVAL_S, now=False)

    def tick(self) -> None:
        """Tell everything until now."""
        self._tell(self.clock_ns())

    def stop(self) -> None:
        """Tell everything, and that no more will come."""
        if self._ticking is not None and self._ticking.running:
            self._ticking.stop()
        self._tell(FOREVER_NS)

    def _tell(self, until_ns: int) -> None:
        """Write what waits, however much of which topic, and up to when that is all."""
        lines = [
            *_lines("arrivals", self.seen.waiting(Arrival), _arrival),
            *_lines("closed", self.seen.waiting(BackClosed), _closed),
            *_lines("broken", self.seen.waiting(RARE), _broken),
            _line("until", until_ns),
        ]
        self.write(b"".join(lines))


def _lines(topic: str, events: list[Any], told: Callable[[Any], tuple[Any, ...]]) -> Iterator[bytes]:
    """Take all events of a topic, and yield them as lines."""
    for begin in range(0, len(events), _EVENTS_AT_ONCE):
        yield _line(topic, [told(each) for each in events[begin : begin + _EVENTS_AT_ONCE]])
    events.clear()


def _line(topic: str, content: object) -> bytes:
    return json.dumps({topic: content}, separators=(",", ":")).encode("utf-8") + b"\n"


def _arrival(a: Arrival) -> tuple[Any, ...]:
    return (
        a.request_id,
        a.back_port,
        a.carried,
        a.received_ns,
        a.executed_ns,
        a.answered_ns,
        a.given_up_ns,
        a.again,
    )


def _closed(closed: BackClosed) -> tuple[Any, ...]:
    return closed.back_port, closed.carried, closed.probe_only, closed.closed_ns


def _broken(broken: Broken) -> tuple[Any, ...]:
    return broken.reason, broken.at_ns


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
        for told in content.get("closed", ()):
            source.publish(BackClosed(self._instance, *told))
        for told in content.get("broken", ()):
            source.publish(Broken(*told))
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
