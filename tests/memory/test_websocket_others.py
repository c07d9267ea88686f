"""Each of our ends beside somebody else's other one (the package `websockets`), in whatever pieces bytes come."""

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from proxyreload.history import failures
from proxyreload.traffic.websocket import LEAVES, MESSAGE_LIMIT

from .connections import Wire, parts
from .kinds import BACK_PORT, INSTANCE, Inlet, cuts_st
from .sessions import EVERY_S, NUMBER, Session

few_examples = settings(max_examples=20)


@attrs.define(eq=False)
class Asking:
    """Their client before our backend."""

    cuts: Sequence[int] = ()
    inlet: Inlet = attrs.field(factory=Inlet)
    protocol: ClientProtocol = attrs.field(factory=lambda: ClientProtocol(parse_uri("ws://front.test/any?x=1")))
    frames: list[Frame] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.protocol.send_request(self.protocol.connect())
        self.carry()

    def carry(self) -> None:
        """Carry bytes to and fro until there are none."""
        while data := b"".join(self.protocol.data_to_send()):
            self.inlet.hears(*parts(data, self.cuts))
            for part in parts(self.inlet.said(), self.cuts):
                self.protocol.receive_data(part)
            if self.inlet.transport.disconnecting:
                self.protocol.receive_eof()
            self.frames += [event for event in self.protocol.events_received() if isinstance(event, Frame)]

    @property
    def heard(self) -> list[tuple[Opcode, bytes]]:
        """What has come."""
        return [(frame.opcode, bytes(frame.data)) for frame in self.frames]


@few_examples
@given(
    cuts=cuts_st,
    text=st.text(max_size=50),
    data=st.one_of(st.binary(max_size=300), st.just(bytes(MESSAGE_LIMIT))),
    ping=st.binary(max_size=125),
)
def test_their_client_is_echoed_by_our_backend(cuts: list[int], text: str, data: bytes, ping: bytes) -> None:
    asking = Asking(cuts)
    asking.protocol.send_text(text.encode())
    asking.protocol.send_binary(data[: len(data) // 2], fin=False)
    asking.protocol.send_ping(ping)
    asking.protocol.send_continuation(data[len(data) // 2 :], fin=True)
    asking.protocol.send_close(CloseCode.NORMAL_CLOSURE, "done")
    asking.carry()
    assert asking.protocol.handshake_exc is None
    assert asking.heard == [
        (Opcode.TEXT, text.encode()),
        (Opcode.PONG, ping),
        (Opcode.BINARY, data),
        (Opcode.CLOSE, b"\x03\xe8"),
    ]
    assert (asking.protocol.close_code, asking.protocol.state.name) == (1000, "CLOSED")
    assert asking.inlet.transport.closed


def test_it_is_told_what_is_too_big() -> None:
    asking = Asking()
    asking.protocol.send_binary(bytes(MESSAGE_LIMIT + 1))
    asking.carry()
    assert (asking.protocol.close_code, asking.protocol.close_reason) == (
        CloseCode.MESSAGE_TOO_BIG,
        f"a message of more than {MESSAGE_LIMIT} bytes",
    )


def test_it_is_told_that_the_backend_leaves() -> None:
    asking = Asking()
    asking.inlet.connection.site.leave()
    asking.protocol.receive_data(asking.inlet.said())
    assert asking.protocol.close_rcvd is not None
    assert (asking.protocol.close_rcvd.code, asking.protocol.close_rcvd.reason) == (1001, LEAVES.decode())
    asking.carry()  # it answers by itself
    assert asking.inlet.transport.closed


@attrs.define(eq=False)
class Answering:
    """Their server behind our client."""

    cuts: Sequence[int] = ()
    session: Session = attrs.field(factory=Session)
    protocol: ServerProtocol = attrs.field(factory=ServerProtocol)
    _read: int = 0

    def __attrs_post_init__(self) -> None:
        (request,) = self.hears()
        assert isinstance(request, Request)
        response = self.protocol.accept(request)
        for name, value in (("Backend-Id", INSTANCE), ("Source-Port", b"%d" % BACK_PORT)):
            response.headers[name] = value.decode()
        response.headers["Proxyreload-Id"] = request.headers["Proxyreload-Id"]
        self.protocol.send_response(response)
        self.says()

    def echoes(self) -> None:
        """Echo what has come."""
        for event in self.hears():
            assert isinstance(event, Frame)
            if event.opcode is Opcode.TEXT:
                self.protocol.send_text(event.data)
        self.says()

    def says(self) -> None:
        """Let the client hear what it says."""
        for data in self.protocol.data_to_send():
            self._wire.says(*parts(data, self.cuts))
        self.session.talk.time.advance(0)

    def hears(self) -> list[object]:
        written = self._wire.written
        new, self._read = written[self._read :], len(written)
        for part in parts(new, self.cuts):
            self.protocol.receive_data(part)
        return list(self.protocol.events_received())

    @property
    def _wire(self) -> Wire:
        return self.session.talk.front.wires[0]


@few_examples
@given(cuts=cuts_st)
def test_our_client_has_a_session_with_their_server(cuts: list[int]) -> None:
    answering = Answering(cuts)
    for _ in range(NUMBER):
        answering.echoes()
        answering.session.talk.time.advance(EVERY_S)
    answering.echoes()
    told = answering.session.talk.exchanges[0]
    assert (told.failure, told.status, told.instance) == ("", 101, "3")
    assert answering.protocol.close_rcvd is not None
    assert answering.protocol.close_rcvd.code == 1000


@pytest.mark.parametrize(("code", "failure"), [(1001, ""), (1012, ""), (1011, failures.CLOSED_MID_SESSION)])
def test_it_is_told_how_that_ends_it(code: int, failure: str) -> None:
    answering = Answering()
    answering.echoes()
    answering.protocol.send_close(code, "bye")
    answering.says()
    assert answering.session.talk.outcomes[:1] == [failure]


def test_its_pings_are_answered() -> None:
    answering = Answering()
    answering.protocol.send_ping(b"are you there")
    answering.says()
    events = answering.hears()
    assert [bytes(event.data) for event in events if isinstance(event, Frame) and event.opcode is Opcode.PONG] == [
        b"are you there"
    ]
