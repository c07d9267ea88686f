"""Connections with many streams, of which this project has one end and the package h2 the other."""

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event as OtherEvent

from proxyreload.http2.heard import Event
from proxyreload.http2.peer import Streams
from proxyreload.http2.serverstreams import ServerStreams
from proxyreload.http2.streams import ClientStreams

GET = ((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/"))
POST = ((b":method", b"POST"), *GET[1:])
OK = ((b":status", b"200"), (b"content-type", b"text/plain"))


def plain(fields: Iterable[Sequence[Any]]) -> tuple[tuple[bytes, bytes], ...]:
    """Return names and values alone."""
    return tuple((field[0], field[1]) for field in fields)


@attrs.define(eq=False)
class Pair:
    """Our end and h2's, and what each has heard; bytes go from one to the other when `talk` says so."""

    ours: Streams
    theirs: H2Connection
    heard: list[Event] = attrs.field(factory=list)
    they_heard: list[OtherEvent] = attrs.field(factory=list)
    ours_written: bytes = b""  #: not read by h2 yet

    @classmethod
    def client(cls) -> "Pair":
        """Return one in which we are the client; both have said hello."""
        ours = ClientStreams()
        return cls._begun(ours, ours.begin(), H2Connection(H2Configuration(client_side=False, header_encoding=None)))

    @classmethod
    def server(cls) -> "Pair":
        """Return one in which we are the server."""
        ours = ServerStreams()
        return cls._begun(ours, ours.begin(), H2Connection(H2Configuration(client_side=True, header_encoding=None)))

    @classmethod
    def _begun(cls, ours: Streams, hello: bytes, theirs: H2Connection) -> "Pair":
        theirs.initiate_connection()
        pair = cls(ours, theirs, ours_written=hello)
        pair.talk()
        pair.heard.clear()
        pair.they_heard.clear()
        return pair

    def write(self, data: bytes) -> None:
        """Write what our end wants written."""
        self.ours_written += data

    def talk(self) -> list[Event]:
        """Let each read what the other has written until neither says more; returns what our end has heard by it."""
        before = len(self.heard)
        while True:
            written, self.ours_written = self.ours_written, b""
            if written:
                self.they_heard += self.theirs.receive_data(written)
            said = self.theirs.data_to_send()
            if said:
                self.heard += self.ours.received(said)
                self.write(self.ours.answers())
            if not said and not self.ours_written:
                return self.heard[before:]

    def body_they_heard(self, stream: int) -> bytes:
        """Return all of a body that h2 has got."""
        return b"".join(
            getattr(event, "data", b"")
            for event in self.they_heard
            if type(event).__name__ == "DataReceived" and getattr(event, "stream_id", 0) == stream
        )

    def they_credit(self) -> None:
        """Let h2 open its windows by all that it has got and not acknowledged."""
        for event in self.they_heard:
            size = getattr(event, "flow_controlled_length", 0)
            if size:
                self.theirs.acknowledge_received_data(size, getattr(event, "stream_id", 0))
        self.they_heard = [event for event in self.they_heard if not getattr(event, "flow_controlled_length", 0)]


def told(ours: Streams, pieces: Iterable[bytes]) -> tuple[list[Event], bytes]:
    """Return what one end hears in these pieces, and all that it answers."""
    events: list[Event] = []
    answers = b""
    for piece in pieces:
        events += ours.received(piece)
        answers += ours.answers()
    return events, answers
