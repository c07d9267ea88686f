"""What a backend in a process of its own tells the run: lines of JSON over a socket pair."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from proxyreload.history.bus import EventBus
from proxyreload.history.events import Arrival, BackClosed

_LINE_LIMIT = 16 * 1024 * 1024


@attrs.define(eq=False)
class Report:
    """Writes the events of a bus, in the backend's process."""

    write: Callable[[bytes], object]

    def subscribe(self, bus: EventBus) -> None:
        """Write what `bus` brings."""
        bus.subscribe(Arrival, self._arrived)
        bus.subscribe(BackClosed, self._closed)

    def listening(self) -> None:
        """Say that the port is open."""
        self._line({"listening": True})

    def _arrived(self, arrivals: Sequence[Arrival]) -> None:
        self._line({"arrivals": [(a.request_id, a.back_port, a.carried, a.arrived_ns) for a in arrivals]})

    def _closed(self, events: Sequence[BackClosed]) -> None:
        for event in events:
            self._line({"closed": (event.back_port, event.carried, event.probe_only, event.closed_ns)})

    def _line(self, content: dict[str, Any]) -> None:
        self.write(json.dumps(content, separators=(",", ":")).encode("utf-8") + b"\n")


class ReportReceiver(LineOnlyReceiver):
    """Publishes them again, in the run's process: the monotonic clock is the machine's, so times hold."""

    delimiter = b"\n"
    MAX_LENGTH = _LINE_LIMIT

    def __init__(self, instance: str, bus: EventBus, listening: Deferred[None], ended: Deferred[None]) -> None:
        """Publish to `bus` as the backend `instance`; fire `listening` once its port is open, and `ended`."""
        self._instance = instance
        self._bus = bus
        self._listening = listening
        self._ended = ended

    def lineReceived(self, line: bytes) -> None:
        """Take one line."""
        content = json.loads(line)
        for request_id, back_port, carried, arrived_ns in content.get("arrivals", ()):
            self._bus.arrived(Arrival(self._instance, request_id, back_port, carried, arrived_ns))
        if "closed" in content:
            self._bus.publish(BackClosed(self._instance, *content["closed"]))
        if "listening" in content:
            self._listening.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Say that no more comes."""
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
