"""What this kernel says of connections that have ended, by sockets of its own."""

import select
import socket
from collections.abc import Iterator

import attrs
import pytest

from proxyreload.system.tcpinfo import LastState, last_state

from .command import HOST

pytestmark = pytest.mark.real

REQUEST = b"x" * 118


@attrs.frozen
class Pair:
    """A connection over the loopback, of which both ends are in the test's hands."""

    near: socket.socket
    far: socket.socket

    def asks(self) -> None:
        """Send a request."""
        self.near.sendall(REQUEST)

    def until(self, event: int, end: socket.socket | None = None) -> None:
        """Wait until that has come to one end, the near one unless said otherwise."""
        poll = select.poll()
        poll.register(self.near if end is None else end, event)
        poll.poll()

    def state(self) -> LastState | None:
        """Read the end, and ask the kernel, as a client does."""
        self.until(select.POLLIN)
        try:
            read = self.near.recv(1000)
        except ConnectionResetError:
            return last_state(self.near, fin=False)
        assert read == b""
        return last_state(self.near, fin=True)


@pytest.fixture(name="pair", params=[0, 2], ids=["fresh", "reused"])
def _pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with socket.create_server((HOST, 0)) as server, socket.create_connection(server.getsockname()) as near:
        far, _whose = server.accept()
        with far:
            for _number in range(request.param):
                near.sendall(REQUEST)
                assert far.recv(1000) == REQUEST
                far.sendall(b"an answer")
                assert near.recv(1000) == b"an answer"
            yield Pair(near, far)


def test_what_was_sent_to_who_had_closed_is_acknowledged_by_nobody(pair: Pair) -> None:
    pair.far.close()
    pair.until(select.POLLIN)
    pair.asks()
    pair.until(select.POLLHUP)  # the RST in answer to it
    assert pair.state() == LastState(fin=True, gone=True, unacknowledged=len(REQUEST))


def test_what_was_read_before_the_end_is_acknowledged(pair: Pair) -> None:
    pair.asks()
    assert pair.far.recv(1000) == REQUEST
    pair.far.close()
    assert pair.state() == LastState(fin=True, gone=False, unacknowledged=0)


def test_who_closes_what_he_has_not_read_resets_it_without_fin(pair: Pair) -> None:
    pair.asks()
    pair.until(select.POLLIN, pair.far)
    pair.far.close()
    state = pair.state()
    assert state is not None
    assert (state.fin, state.gone) == (False, True)
    assert state.unacknowledged in (0, len(REQUEST))  # an acknowledgement may wait for company


def test_what_waits_to_be_accepted_is_reset_with_its_queue() -> None:
    with socket.create_server((HOST, 0)) as server, socket.create_connection(server.getsockname()) as near:
        near.sendall(REQUEST)
        server.close()
        state = Pair(near, near).state()
    assert state is not None
    assert (state.fin, state.gone) == (False, True)


def test_of_what_is_no_connection_nothing_is_said() -> None:
    near, far = socket.socketpair()
    with near, far:
        assert last_state(near, fin=True) is None
    assert last_state(near, fin=True) is None
