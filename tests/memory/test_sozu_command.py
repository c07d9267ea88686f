"""sozu's command socket: how messages are framed, what its responses come to, and what is no response."""

from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from proxyreload.errors import ChangeError
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import COMMAND_TIMEOUT_S
from proxyreload_sozu_command import (
    CONNECT_TIMEOUT_S,
    LENGTH,
    LENGTH_LIMIT,
    Command,
    CommandSocket,
    Request,
    Response,
    Status,
    framed,
)

from .clocks import error_of, result_of, some_examples, waits
from .connections import MemoryTransport, parts

UPSTREAM = Upstream(2, "127.0.0.1", 1032)


def response(status: int, message: bytes = b"", workers: tuple[dict[str, int], ...] = ()) -> bytes:
    content = {"content": {"workers": {"vec": workers}}} if workers else {}
    return framed(Response(status=status, message=message, **content))


OK = response(Status.OK, b"done")


@attrs.define(eq=False)
class Asked:
    """A request that is under way, and the sozu at the far end."""

    command: Command = attrs.field(factory=lambda: Command(Request(upgrade_main={})))
    transport: MemoryTransport = attrs.field(factory=MemoryTransport)

    def __attrs_post_init__(self) -> None:
        self.command.makeConnection(self.transport)

    def says(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.command.dataReceived(chunk)

    def hangs_up(self) -> None:
        self.command.connectionLost(Failure(ConnectionDone()))

    @property
    def error(self) -> str:
        return str(error_of(self.command.done, ChangeError))


# Messages as they travel.


def test_the_length_is_eight_bytes_little_endian_and_counts_itself() -> None:
    # Field 9 (upgrade_worker), a varint: 7.
    assert framed(Request(upgrade_worker=7)) == b"\x0a" + bytes(7) + b"\x48\x07"


def test_a_request_without_content_names_itself_all_the_same() -> None:
    # Field 8 (upgrade_main), of length 0.
    assert Asked().transport.value() == b"\x0a" + bytes(7) + b"\x42\x00"


@given(st.integers(0, 255), st.text(max_size=40), st.lists(st.integers(0), max_size=8), st.binary(max_size=20))
@some_examples
def test_a_response_may_come_in_any_pieces(port: int, words: str, cuts: list[int], more: bytes) -> None:
    asked = Asked()
    workers = ({"id": 3, "pid": port, "run_state": 0},)
    message = response(Status.OK, words.encode("utf-8"), workers)
    asked.says(*parts(response(Status.PROCESSING) + message + more, cuts))
    answered = result_of(asked.command.done)
    assert answered.message.decode("utf-8") == words
    assert answered.content.workers.vec[0].pid == port


@given(st.lists(st.integers(0), max_size=8), st.data())
@some_examples
def test_a_response_that_is_not_whole_is_none(cuts: list[int], data: st.DataObject) -> None:
    asked = Asked()
    whole = response(Status.FAILURE, b"no")
    asked.says(*parts(whole[: data.draw(st.integers(0, len(whole) - 1))], cuts))
    assert waits(asked.command.done)
    asked.hangs_up()
    assert asked.error == "sozu closed the connection without an answer"


# Responses.


def test_what_is_under_way_is_waited_for() -> None:
    asked = Asked()
    asked.says(response(Status.PROCESSING, b"Upgrading the main process..."))
    assert waits(asked.command.done)
    asked.says(OK)
    assert result_of(asked.command.done).message == b"done"
    asked.hangs_up()


def test_a_failure_has_the_words_of_sozu_on_one_line_made_printable() -> None:
    asked = Asked()
    asked.says(response(Status.FAILURE, b"- worker 0: \x1b[31mno\n- worker 1: \xff"))
    assert asked.error == "- worker 0: \\x1b[31mno / - worker 1: �"
    asked.says(OK)
    asked.hangs_up()


def test_a_failure_without_a_word() -> None:
    asked = Asked()
    asked.says(response(Status.FAILURE))
    assert asked.error == "sozu refused without a word"


def test_a_connection_that_is_cut_says_what_came_before() -> None:
    asked = Asked()
    asked.says(response(Status.PROCESSING, b"Launched a new worker"), OK[:-1])
    asked.hangs_up()
    assert asked.error == "sozu closed the connection without an answer; it said last: Launched a new worker"


@pytest.mark.parametrize("payload", [b"", b"\xff\xff\xff", b"\x08\x07", b"\x12\x01x"], ids=repr)
def test_what_has_no_status_that_there_is_is_no_response(payload: bytes) -> None:
    asked = Asked()
    asked.says(LENGTH.pack(LENGTH.size + len(payload)) + payload)
    assert asked.error == "sozu's answer is no response"


@pytest.mark.parametrize("length", [0, 7, LENGTH_LIMIT + 1, 2**64 - 1])
def test_a_length_that_no_answer_has_is_not_waited_for(length: int) -> None:
    asked = Asked()
    asked.says(LENGTH.pack(length))
    assert asked.error == f"sozu announced an answer of {length} bytes"


@given(st.binary(max_size=100), st.lists(st.integers(0), max_size=8))
@some_examples
def test_whatever_comes_it_is_an_answer_or_an_error_by_the_end_of_the_connection(said: bytes, cuts: list[int]) -> None:
    asked = Asked()
    outcomes: list[object] = []
    asked.command.done.addBoth(outcomes.append)
    asked.says(*parts(said, cuts))
    asked.hangs_up()
    (outcome,) = outcomes
    assert isinstance(outcome, Response) or (isinstance(outcome, Failure) and outcome.check(ChangeError))


# The socket.


@attrs.define(eq=False)
class Socket:
    """A command socket, and what came over it."""

    reactor: MemoryReactorClock = attrs.field(factory=MemoryReactorClock)
    transport: MemoryTransport = attrs.field(factory=MemoryTransport)

    @property
    def commands(self) -> CommandSocket:
        return CommandSocket(cast(Any, self.reactor), Path("/somewhere/sozu.sock"))

    def connects(self) -> Command:
        """Let the latest request in."""
        address, factory, timeout_s, _check_pid = self.reactor.unixClients[-1]
        assert (address, timeout_s) == ("/somewhere/sozu.sock", CONNECT_TIMEOUT_S)
        command = factory.buildProtocol(None)
        command.makeConnection(self.transport)
        return cast(Command, command._wrappedProtocol)

    @property
    def request(self) -> Any:
        """What was sent."""
        said: bytes = self.transport.value()
        assert LENGTH.unpack_from(said) == (len(said),)
        return Request.FromString(said[LENGTH.size :])


def begin(work: Any) -> Deferred[Any]:
    return Deferred.fromCoroutine(work)


def test_an_added_backend_has_the_weight_of_one_that_is_configured() -> None:
    socket = Socket()
    adding = begin(socket.commands.add_backend("app", UPSTREAM))
    command = socket.connects()
    added = socket.request.add_backend
    assert (added.cluster_id, added.backend_id) == ("app", "backend2")
    assert (added.address.ip.v4, added.address.port) == (0x7F000001, 1032)
    assert added.load_balancing_parameters.weight == 100
    command.dataReceived(OK)
    result_of(adding)
    assert socket.transport.aborted


def test_a_removed_backend_is_named_as_it_was_added() -> None:
    socket = Socket()
    removing = begin(socket.commands.remove_backend("app", UPSTREAM))
    command = socket.connects()
    removed = socket.request.remove_backend
    assert (removed.cluster_id, removed.backend_id, removed.address.port) == ("app", "backend2", 1032)
    command.dataReceived(response(Status.FAILURE, b"Did not find backend"))
    assert str(error_of(removing, ChangeError)) == "Did not find backend"
    assert socket.transport.aborted


def test_a_certificate_takes_the_place_of_the_one_with_a_fingerprint() -> None:
    socket = Socket()
    replacing = begin(socket.commands.replace_certificate("127.0.0.1", 8443, b"new\n", b"its key\n", "ab12"))
    command = socket.connects()
    replaced = socket.request.replace_certificate
    assert (replaced.address.ip.v4, replaced.address.port, replaced.old_fingerprint) == (0x7F000001, 8443, "ab12")
    new = replaced.new_certificate
    assert (new.certificate, list(new.certificate_chain), new.key) == (b"new\n", [b"new\n"], b"its key\n")
    command.dataReceived(OK)
    result_of(replacing)


def test_workers_that_have_been_replaced_are_left_out() -> None:
    socket = Socket()
    listing = begin(socket.commands.workers())
    states = [{"id": state, "pid": 100 + state, "run_state": state} for state in range(4)]
    socket.connects().dataReceived(response(Status.OK, b"", tuple(states)))
    assert result_of(listing) == {0: 100, 3: 103}


def test_a_socket_that_nobody_listens_on() -> None:
    socket = Socket()
    upgrading = begin(socket.commands.upgrade_main())
    _address, factory, *_more = socket.reactor.unixClients[-1]
    factory.clientConnectionFailed(None, Failure(ConnectError(string="nobody is\nthere")))
    assert str(error_of(upgrading, ChangeError)) == "sozu.sock: An error occurred while connecting: nobody is / there."


def test_an_answer_that_is_late_says_what_came_before() -> None:
    socket = Socket()
    upgrading = begin(socket.commands.upgrade_worker(1))
    socket.connects().dataReceived(response(Status.PROCESSING, b"Soft stopping worker with id 1"))
    socket.reactor.advance(COMMAND_TIMEOUT_S)
    words = "sozu has not finished within 30 s; it said last: Soft stopping worker with id 1"
    assert str(error_of(upgrading, ChangeError)) == words
    assert socket.transport.aborted


def test_cancelling_while_it_connects_is_a_cancellation() -> None:
    upgrading = begin(Socket().commands.upgrade_main())
    upgrading.cancel()
    error_of(upgrading, CancelledError)


def test_cancelling_while_it_waits_is_a_cancellation_too() -> None:
    socket = Socket()
    upgrading = begin(socket.commands.upgrade_main())
    socket.connects()
    upgrading.cancel()
    error_of(upgrading, CancelledError)
    assert socket.transport.aborted
