"""WebSockets of which one side is in the test's hands."""

from collections.abc import Mapping

import attrs

from proxyreload.client.pending import Pending
from proxyreload.history.events import Exchange
from proxyreload.websocket.closecodes import closing
from proxyreload.websocket.masking import CLOSE, TEXT, frame, masked
from proxyreload.websocket.opening import KEY_FIELD, accept_of, key_of
from proxyreload.websocket.reassembly import Message, Reassembly

from .connections import Wire
from .kinds import BACK_PORT, INSTANCE, Inlet, Talk

EVERY_S, LENGTH_S, TIMEOUT_S = 0.5, 2.0, 2.0
#: Messages of a session.
NUMBER = 4
_LIMIT = 1 << 20


def switching(request_id: bytes, **changes: bytes | None) -> bytes:
    """Return the head that a backend of ours switches with; `changes` are fields by their names, None: left out."""
    fields: Mapping[str, bytes | None] = {
        "Upgrade": b"websocket",
        "Connection": b"Upgrade",
        "Sec_WebSocket_Accept": accept_of(key_of(request_id)),
        "Backend_Id": INSTANCE,
        "Source_Port": b"%d" % BACK_PORT,
        "Proxyreload_Id": request_id,
        **changes,
    }
    lines = [
        b"%b: %b" % (name.replace("_", "-").encode(), value) for name, value in fields.items() if value is not None
    ]
    return b"\r\n".join([b"HTTP/1.1 101 Switching Protocols", *lines]) + b"\r\n\r\n"


@attrs.define(eq=False)
class Session:
    """A client of the kind `websocket`, and the proxy's side of its latest connection."""

    talk: Talk = attrs.field(
        factory=lambda: Talk("websocket", {"every": EVERY_S, "length": LENGTH_S}, timeout_s=TIMEOUT_S)
    )
    heard: list[Message] = attrs.field(factory=list)  #: of this connection, and not echoed
    _wires: int = 0
    _read: int = 0
    _reassembly: Reassembly = attrs.field(factory=lambda: Reassembly(masked=True, limit=_LIMIT))

    def __attrs_post_init__(self) -> None:
        self.talk.client.start()

    @property
    def wire(self) -> Wire:
        """The latest connection."""
        return self.talk.front.wire

    @property
    def request_id(self) -> bytes:
        """Of the latest request."""
        return b"%d-%d" % (self.talk.number, len(self.talk.exchanges))

    @property
    def last(self) -> Exchange:
        """The latest outcome."""
        return self.talk.exchanges[-1]

    @property
    def pending(self) -> Pending | None:
        """The exchange under way."""
        return self.talk.client._pending

    def switches(self, **changes: bytes | None) -> None:
        """Switch protocols."""
        self.wire.says(switching(self.request_id, **changes))
        self.talk.time.advance(0)
        self.hears()

    def says(self, *frames: bytes) -> None:
        """Send frames, in one piece."""
        self.wire.says(b"".join(frames))

    def closes(self, code: int, reason: bytes = b"") -> None:
        """Send a close frame."""
        self.says(frame(CLOSE, closing(code, reason)))

    def hears(self) -> list[Message]:
        """Return what has come of this connection since the last time, behind its head."""
        if len(self.talk.front.wires) != self._wires:
            self._wires = len(self.talk.front.wires)
            self._read = self.wire.written.index(b"\r\n\r\n") + 4
            self._reassembly = Reassembly(masked=True, limit=_LIMIT)
            self.heard = []
        new = self._reassembly.take(self.wire.written[self._read :])
        assert self._reassembly.wrong is None
        self._read = len(self.wire.written)
        self.heard += new
        return new

    def echoes(self) -> None:
        """Echo what has come, and forget it."""
        self.hears()
        heard, self.heard = self.heard, []
        self.says(*[frame(opcode, payload) for opcode, payload in heard])

    def goes_on(self, seconds: float) -> None:
        """Let time pass, and everything be echoed."""
        self.echoes()
        for _ in range(round(seconds / EVERY_S)):
            self.talk.time.advance(EVERY_S)
            self.echoes()

    def message(self, number: int) -> bytes:
        """Return a frame with the message of this number."""
        return frame(TEXT, b"message %d of %b" % (number, self.request_id))


@attrs.define(eq=False)
class Stranger:
    """Somebody's WebSocket at a backend, which may be none of ours."""

    inlet: Inlet = attrs.field(factory=Inlet)
    key: bytes = b"dGhlIHNhbXBsZSBub25jZQ=="
    _reassembly: Reassembly = attrs.field(factory=lambda: Reassembly(masked=False, limit=_LIMIT))

    def asks(self, *more: bytes, version: bytes = b"13") -> bytes:
        """Ask for it, and return the head of the answer."""
        lines = [
            *(b"GET / HTTP/1.1", b"Host: x", b"Connection: keep-alive, Upgrade", b"Upgrade: websocket"),
            *(KEY_FIELD + b": " + self.key, b"Sec-WebSocket-Version: " + version, *more),
        ]
        self.inlet.hears(b"\r\n".join(lines) + b"\r\n\r\n")
        return self.inlet.said()

    def says(self, opcode: int, payload: bytes) -> None:
        """Send a frame."""
        self.inlet.hears(masked(opcode, payload))

    def hears(self) -> list[Message]:
        """Return what has come."""
        return self._reassembly.take(self.inlet.said())
