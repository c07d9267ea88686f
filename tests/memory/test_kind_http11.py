"""What a connection does for kinds: more of a request, an answer as it comes, and rests from reading."""

from collections.abc import Iterator

import pytest

from proxyreload.client.front import BODY_KEPT
from proxyreload.client.http11 import HTTP11Connection
from proxyreload.client.pending import Pending
from proxyreload.system.sockets import SocketGroup

from .clocks import Readers, Time
from .connections import KernelTransport, Owner, Wire, answer_bytes


def taking(wire: Wire, request_id: bytes = b"3-7") -> list[bytes]:
    """Send a request whose answer is taken as it comes, and return a list of what is."""
    taken: list[bytes] = []
    pending = Pending(wire.connection.carried, request_id)
    pending.take = taken.append
    wire.pending = pending
    wire.connection.send(b"GET\n", pending)
    return taken


@pytest.fixture(name="wire")
def _wire() -> Wire:
    return Wire.open(Owner(), Time())


def test_a_body_is_taken_as_it_comes(wire: Wire) -> None:
    taken = taking(wire)
    answer = answer_bytes(b"3-7", body=b"abcdef")
    wire.says(answer[:-4])
    assert taken == [b"ab"]
    wire.says(answer[-4:-1], answer[-1:])
    assert taken == [b"ab", b"cde", b"f"]


def test_all_of_it_also_where_it_is_longer_than_is_kept(wire: Wire) -> None:
    taken = taking(wire)
    wire.says(answer_bytes(b"3-7", body=b"x" * (3 * BODY_KEPT)))
    assert sum(map(len, taken)) == 3 * BODY_KEPT
    assert len(wire.pending.body) == BODY_KEPT


def test_an_interim_answer_is_not_taken(wire: Wire) -> None:
    taken = taking(wire)
    wire.says(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", answer_bytes(b"3-7", body=b"abc"))
    assert taken == [b"abc"]


def test_an_answer_that_is_known_is_taken_all_the_same(wire: Wire) -> None:
    wire.send(request_id=b"3-7")
    wire.says(answer_bytes(b"3-7"))
    for _ in range(3):
        taken = taking(wire)
        wire.says(answer_bytes(b"3-7"))
        assert b"".join(taken) == b"backend 0 answers 3-7\n"


def test_when_the_latest_bytes_came_is_noted() -> None:
    time = Time()
    wire = Wire.open(Owner(), time)
    taking(wire)
    answer = answer_bytes(b"3-7", body=b"abc")
    heard = []
    for part in (answer[:5], answer[5:-1], answer[-1:]):
        time.advance(1)
        wire.says(part)
        heard.append(wire.pending.heard_ns)
    assert heard == [time.ns() - 2 * 10**9, time.ns() - 10**9, time.ns()]


def test_more_of_a_request_is_written_while_it_is_under_way_and_not_after(wire: Wire) -> None:
    wire.connection.more(b"before ")
    wire.send(b"head ")
    wire.connection.more(b"more ")
    wire.says(answer_bytes(b"3-7"))
    wire.connection.more(b"after ")
    assert wire.written == b"head more "


@pytest.mark.parametrize("how", ["close", "abort"])
def test_nothing_is_written_or_read_of_a_connection_that_was_given_up(wire: Wire, how: str) -> None:
    wire.send(b"head ")
    getattr(wire.connection, how)()
    wire.connection.more(b"more ")
    wire.connection.rest()
    wire.connection.read_on()
    assert wire.written == b"head "
    assert wire.transport.producerState == "producing"


# Over a socket.


class Kernel:
    """A connection with a socket in a group."""

    def __init__(self, *, careful: bool) -> None:
        time = Readers()
        group = SocketGroup.on(time, time.ns)
        assert group is not None
        self.group, self.owner, self.transport = group, Owner(), KernelTransport()
        self.connection = HTTP11Connection(self.owner, time.ns, time.ns(), group)
        self.connection.careful = careful
        self.transport.protocol = self.connection
        self.connection.makeConnection(self.transport)

    def sends(self, payload: bytes) -> Pending:
        pending = Pending(self.connection.carried, b"3-7")
        self.connection.send(payload, pending)
        return pending


@pytest.fixture(name="kernel", params=[True, False], ids=["careful", "with its group"])
def _kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    kernel = Kernel(careful=request.param)
    yield kernel
    kernel.group.close()
    kernel.transport.release()


def test_while_it_rests_nothing_is_read_and_then_all_is(kernel: Kernel) -> None:
    kernel.sends(b"GET\n")
    kernel.connection.rest()
    kernel.transport.far.send(answer_bytes(b"3-7"))
    kernel.group.doRead()
    assert kernel.owner.heard == []
    kernel.connection.read_on()
    kernel.group.doRead()
    assert kernel.owner.heard == [("answered",)]


def test_a_request_goes_out_at_once_and_once(kernel: Kernel) -> None:
    assert kernel.sends(b"GET\n").written_ns
    assert kernel.transport.arrived() == b"GET\n"
    kernel.group.doRead()
    assert kernel.transport.arrived() == b""


def test_one_over_a_connection_whose_end_has_come_is_not_written(kernel: Kernel) -> None:
    kernel.sends(b"GET\n")
    kernel.transport.arrived()
    kernel.transport.far.send(answer_bytes(b"3-7"))
    kernel.group.doRead()
    kernel.transport.far.close()
    pending = kernel.sends(b"GET\n")
    assert not pending.written_ns
    kernel.group.doRead()
    assert kernel.owner.heard == [("answered",), ("closed", "idle", "")]


def test_careful_ones_look_each_at_its_own_socket_also_while_the_group_works() -> None:
    kernel = Kernel(careful=True)
    try:
        kernel.sends(b"GET\n")
        kernel.transport.far.send(answer_bytes(b"3-7"))
        kernel.group.doRead()
        kernel.transport.arrived()
        kernel.group._in_turn = True  # others of the group are being worked on
        kernel.transport.far.close()
        assert not kernel.sends(b"GET\n").written_ns
    finally:
        kernel.group.close()
        kernel.transport.release()
