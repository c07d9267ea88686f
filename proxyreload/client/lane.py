"""One of the places that a client has for exchanges over one HTTP/2 connection."""

from collections.abc import Iterator
from typing import cast

import attrs
from twisted.internet.interfaces import IDelayedCall

from proxyreload.client.http2 import HTTP2Connection
from proxyreload.client.pace import Pace
from proxyreload.client.pending import Pending
from proxyreload.system.clock import ClockNs
from proxyreload.traffic.interfaces import ClientEnd, Counting, Incoming


@attrs.define(eq=False)
class Lane:
    """It has an exchange under way, or rests."""

    pending: Pending | None = None
    incoming: Incoming | None = None
    connection: HTTP2Connection | None = None
    connection_number: int = -1  #: among the client's
    pause: IDelayedCall | None = None
    pieces: Iterator[tuple[float, bytes]] | None = None  #: of the request's body that are still to come
    piece: IDelayedCall | None = None  #: sends the next one
    drawn: bytes = b""  #: its bytes
    said_ns: int = 0  #: when the latest one was sent
    pace: Pace | None = None  #: of the answer's messages, where it is many

    def begin(self, pending: Pending, end: ClientEnd, clock_ns: ClockNs) -> None:
        """Have an exchange under way, as its kind has it."""
        self.pending = pending
        pending.content = end.body(pending.request_id)
        self.pieces = end.pieces(pending.request_id)
        pending.continues = self.pieces is not None
        incoming = self.incoming = end.incoming(pending.request_id)
        if incoming is None:
            return
        pending.take = incoming.take
        if end.counted:
            pace = self.pace = Pace(clock_ns())

            def take(data: bytes) -> None:
                incoming.take(data)
                pace.have_come(cast(Counting, incoming).messages, clock_ns())

            pending.take = take

    def end(self) -> Pace | None:
        """Have none under way any more; returns the pace of its answer's messages, where that was many."""
        self.cancel_piece()
        pace, self.pace = self.pace, None
        self.pending = self.incoming = self.connection = self.pieces = None
        self.said_ns = 0
        return pace

    def cancel_pause(self) -> None:
        """Rest no longer."""
        pause, self.pause = self.pause, None
        if pause is not None:
            pause.cancel()

    def cancel_piece(self) -> bytes:
        """Send the piece that is drawn no more, and return it; empty if none is."""
        piece, self.piece = self.piece, None
        if piece is None:
            return b""
        piece.cancel()
        return self.drawn
