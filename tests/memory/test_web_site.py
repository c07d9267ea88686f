"""The live page's connections: how many, and how long one may keep the page waiting."""

from collections.abc import Callable, Iterator

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from proxyreload.web.guard import BODY_LIMIT, Guarded, Rules
from proxyreload.web.place import CONNECTIONS_AT_MOST
from proxyreload.web.site import READER_S, REQUEST_S, SPARE, Connection, PageSite
from proxyreload.web.subscribers import Subscribers

from .clocks import some_examples
from .visitors import HERE, ROOM, Socket

GET = b"GET /quick HTTP/1.1\r\nHost: localhost:8090\r\n\r\n"
SLOW = GET.replace(b"quick", b"slow")
LARGE = GET.replace(b"quick", b"large")
EVENTS = GET.replace(b"quick", b"events")
FORM = b"POST /quick HTTP/1.1\r\nHost: localhost:8090\r\nContent-Length: 5\r\n"
POST = b"POST /quick HTTP/1.1\r\nHost: localhost:8090\r\nContent-Type: application/json\r\n"
LARGE_BYTES = 1_000_000


class Served(Resource):
    """Answers at once, much, or when the test says."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.under_way: list[Request] = []
        self.gone: list[Request] = []
        self.subscribers = Subscribers(lambda: b"everything")

    def render(self, request: Request) -> bytes | int:
        if request.path == b"/large":
            return b"x" * LARGE_BYTES
        if request.path == b"/slow":
            self.under_way.append(request)
            waiting: Deferred[None] = request.notifyFinish()
            waiting.addErrback(lambda _left: self.gone.append(request))
            return NOT_DONE_YET
        if request.path == b"/events":
            self.subscribers.add(request)
            return NOT_DONE_YET
        return b"quick"


@attrs.define(eq=False)
class Scene:
    """The page, and who connects to it."""

    time: Clock
    site: PageSite
    served: Served
    aborted: Callable[[Socket], None] | None = None

    def connect(self, *pieces: bytes) -> Socket:
        """Make a connection that says this; the socket is closed if there is no room."""
        socket = Socket(self.aborted)
        connection = self.site.buildProtocol(HERE)
        if connection is None:
            socket.closed = True
            return socket
        assert isinstance(connection, Connection)
        socket.connection = connection
        connection.makeConnection(socket)
        for piece in pieces:
            self.say(socket, piece)
        return socket

    def say(self, socket: Socket, data: bytes) -> None:
        """Let it say something."""
        assert socket.connection is not None
        socket.connection.dataReceived(data)

    def answer(self) -> None:
        """Answer all that are still there."""
        for request in self.served.under_way:
            if request not in self.served.gone and not request.finished:
                request.finish()


@pytest.fixture(name="scene")
def _scene() -> Iterator[Scene]:
    scene = made()
    yield scene
    for connection in scene.site.connections:
        connection.abort()
    assert scene.time.getDelayedCalls() == []


def made() -> Scene:
    time, served = Clock(), Served()
    site = PageSite(Guarded(Rules.at(HERE), served), time)
    return Scene(time, site, served)


@pytest.mark.parametrize(
    "said",
    [
        (),
        (b"G",),
        (GET[:-2],),
        (POST + b"Content-Length: 100\r\n\r\n{",),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n",),
        (GET,),
        (GET, GET[:9]),
    ],
)
def test_a_whole_request_must_have_come_in_time_whatever_part_of_it_has(scene: Scene, said: tuple[bytes, ...]) -> None:
    socket = scene.connect(*said)
    scene.time.advance(REQUEST_S - 0.01)
    assert not socket.closed
    scene.time.advance(0.01)
    assert socket.closed
    assert len(scene.site.connections) == 0


def test_a_byte_now_and_then_keeps_no_connection(scene: Scene) -> None:
    socket = scene.connect()
    for byte in GET[: int(REQUEST_S)]:
        assert not socket.closed
        scene.say(socket, bytes([byte]))
        scene.time.advance(1)
    assert socket.closed


def test_the_time_for_the_next_request_counts_from_the_answer(scene: Scene) -> None:
    socket = scene.connect()
    for number in range(1, 6):
        scene.time.advance(REQUEST_S - 0.01)
        scene.say(socket, GET)
        assert (socket.answers, socket.closed) == (number, False)


def test_an_answer_may_take_us_longer_than_a_request_may_take_them(scene: Scene) -> None:
    socket = scene.connect(SLOW)
    scene.time.advance(100 * REQUEST_S)
    [request] = scene.served.under_way
    request.write(b"at last")
    request.finish()
    assert (socket.answers, socket.closed) == (1, False)
    scene.time.advance(REQUEST_S)
    assert socket.closed


def test_who_does_not_read_an_answer_is_left(scene: Scene) -> None:
    socket = scene.connect(LARGE)
    scene.time.advance(READER_S - 0.01)
    assert not socket.closed
    scene.time.advance(0.01)
    assert socket.closed


def test_who_reads_it_slowly_but_in_time_is_not(scene: Scene) -> None:
    socket = scene.connect(SLOW)
    [request] = scene.served.under_way
    for _ in range(20):
        request.write(b"x" * LARGE_BYTES)
        scene.time.advance(READER_S - 0.01)
        socket.read()
    request.finish()
    assert not socket.closed


@pytest.mark.parametrize("request_", [GET.replace(b"1.1", b"1.0"), b"nonsense\r\n", b"GET /" + b"x" * 20_000])
def test_one_that_is_to_be_closed_is_closed_though_nobody_reads_its_last_answer(scene: Scene, request_: bytes) -> None:
    socket = scene.connect()
    socket.waiting = ROOM + 1  # of an answer before
    scene.say(socket, request_)
    assert not socket.closed
    scene.time.advance(READER_S)
    assert socket.closed


def test_what_is_asked_for_before_the_answer_is_read_waits_for_its_reader(scene: Scene) -> None:
    socket = scene.connect(LARGE * 10)
    assert socket.answers == 1
    assert len(socket.value()) < LARGE_BYTES + ROOM
    for number in range(2, 11):
        scene.time.advance(READER_S - 0.01)
        socket.read()
        assert socket.answers == number
    scene.time.advance(READER_S)
    assert socket.closed


def test_small_answers_to_many_requests_wait_for_their_reader_too(scene: Scene) -> None:
    socket = scene.connect(GET * 5_000)
    assert len(socket.value()) < 2 * ROOM
    while socket.answers < 5_000:
        socket.read()
    scene.time.advance(REQUEST_S)
    assert socket.closed


def test_who_reads_no_events_is_left_and_no_subscriber_any_more(scene: Scene) -> None:
    socket = scene.connect(EVENTS)
    for _ in range(100):
        scene.served.subscribers.tell(b"x" * 1_000)
    scene.time.advance(READER_S)
    assert socket.closed
    assert len(scene.served.subscribers) == 0


def test_who_reads_events_may_stay(scene: Scene) -> None:
    socket = scene.connect(EVENTS)
    for _ in range(100):
        scene.served.subscribers.tell(b"x" * 1_000)
        socket.read()
        scene.time.advance(READER_S)
    assert not socket.closed
    socket.close()
    assert len(scene.served.subscribers) == 0


def test_who_goes_away_while_it_is_answered_is_forgotten(scene: Scene) -> None:
    socket = scene.connect(SLOW, GET)
    socket.close()
    assert scene.served.gone == scene.served.under_way
    assert (len(scene.site.connections), scene.time.getDelayedCalls()) == (0, [])


def test_who_goes_away_while_its_answer_waits_is_forgotten(scene: Scene) -> None:
    socket = scene.connect(LARGE * 3)
    socket.close()
    assert (len(scene.site.connections), scene.time.getDelayedCalls()) == (0, [])


def test_of_many_that_only_wait_the_oldest_make_room(scene: Scene) -> None:
    busy, idle = scene.connect(SLOW), scene.connect(GET)
    half_open = [scene.connect(b"G") for _ in range(400)]
    assert len(scene.site.connections) == CONNECTIONS_AT_MOST - SPARE
    assert (busy.closed, idle.closed) == (False, True)
    assert [socket.closed for socket in half_open] == [True] * (len(half_open) + SPARE + 1 - CONNECTIONS_AT_MOST) + [
        False
    ] * (CONNECTIONS_AT_MOST - SPARE - 1)
    assert scene.connect(GET).answers == 1
    scene.served.under_way[0].finish()
    assert busy.answers == 1


def test_so_many_as_come_at_once_are_all_let_in(scene: Scene) -> None:
    """As after a moment in which the process stood still: the reactor accepts them all before it closes any."""
    aborted: list[Socket] = []
    scene.aborted = aborted.append
    come = [scene.connect(b"G") for _ in range(CONNECTIONS_AT_MOST * 2)]
    assert not any(socket.closed for socket in come)
    assert aborted == come[: len(aborted)]
    assert scene.connect(GET).answers == 1
    for socket in aborted:
        socket.close()
    assert len(scene.site.connections) == CONNECTIONS_AT_MOST - SPARE


def test_who_does_not_read_makes_room_when_nobody_else_can(scene: Scene) -> None:
    unread = [scene.connect(LARGE) for _ in range(CONNECTIONS_AT_MOST)]
    assert sum(socket.closed for socket in unread) == SPARE
    assert scene.connect(GET).answers == 1


def test_those_that_are_answered_keep_their_place_and_more_are_turned_away(scene: Scene) -> None:
    busy = [scene.connect(SLOW) for _ in range(CONNECTIONS_AT_MOST + 5)]
    assert [socket.closed for socket in busy] == [False] * CONNECTIONS_AT_MOST + [True] * 5
    scene.served.under_way[0].finish()
    assert scene.connect(GET).answers == 1


def test_within_tls_too_one_is_turned_away_by_closing_it(scene: Scene) -> None:
    for _ in range(CONNECTIONS_AT_MOST):
        scene.connect(SLOW)
    scene.site.secure = True
    refused, transport = scene.site.buildProtocol(HERE), StringTransport()
    assert refused is not None
    refused.makeConnection(transport)
    assert transport.disconnecting
    assert len(scene.site.connections) == CONNECTIONS_AT_MOST


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET /quick?" + b"x" * 17_000 + b" HTTP/1.1\r\n", None),
        (GET[:-2] + b"X: " + b"x" * 17_000 + b"\r\n\r\n", None),
        (GET[:-2] + b"X: y\r\n" * 600 + b"\r\n", 400),
        (GET[:-2] + b"X: y\r\n" + b" z\r\n" * 9_000 + b"\r\n", 400),
        (POST + b"Content-Length: 9" + b"9" * 30 + b"\r\n\r\n", None),
        (POST + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: 5000\r\n\r\n" + b" " * 5_000, 413),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * (BODY_LIMIT + 1) + b"0\r\n\r\n", 413),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 2_000, 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 70_000, 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
        (
            POST + b"Content-Length: 5\r\nContent-Type: multipart/form-data; boundary=xCookie: a=b; \xff*\r\n\r\n12345",
            400,
        ),
        (FORM + b"Content-Type: multipart/form-data; boundary=xCookie: a=b; \xff*\r\n\r\n12345", 415),
        (FORM + b"Content-Type: application/x-www-form-urlencoded\r\n\r\na=b&c", 415),
        (b"GET /quick HTTP/2.0\r\n\r\n", 400),
        (b"\xff" * 100 + b"\r\n", 400),
    ],
)
def test_what_is_too_long_or_no_request_is_refused_or_ended(scene: Scene, said: bytes, status: int | None) -> None:
    socket = scene.connect(said)
    scene.time.advance(REQUEST_S)
    assert socket.value()[9:12] == (b"" if status is None else b"%d" % status)
    assert socket.closed


SAID = {"connect": b"", "half": b"G", "get": GET, "slow": SLOW, "large": LARGE}


@some_examples
@given(st.lists(st.sampled_from([*SAID, "read", "close", "finish", "wait"])))
def test_whatever_happens_there_are_never_more_and_none_stays_for_ever(done: list[str]) -> None:
    scene = made()
    sockets: list[Socket] = []
    for what in done * 3:
        if what in SAID:
            sockets.append(scene.connect(SAID[what]))
        elif what == "finish":
            scene.answer()
        elif what == "wait":
            scene.time.advance(7)
        else:
            for socket in [each for each in sockets if not each.closed][::3]:
                socket.read() if what == "read" else socket.close()
        assert len(scene.site.connections) == sum(not socket.closed for socket in sockets) <= CONNECTIONS_AT_MOST
    scene.answer()
    scene.time.advance(REQUEST_S + READER_S)
    scene.time.advance(READER_S)
    assert (len(scene.site.connections), scene.time.getDelayedCalls()) == (0, [])
