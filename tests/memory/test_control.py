"""The proxy that injects faults: what it writes in its books is what its clients see, whatever pieces bytes come in."""

from collections import Counter
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.history import failures
from proxyreload.history.events import Ending
from proxyreload.proxy.interfaces import BACK_CHANGED, Sender
from proxyreload.proxy.workspace import Workspace
from proxyreload.traffic.registry import kinds
from proxyreload_control import Faults
from proxyreload_control_books import Books, numbered
from proxyreload_control_faults import ANEW, Fault, faults_of
from proxyreload_control_messages import with_length
from proxyreload_control_proxy import Front, Passing

from .clocks import Readers
from .kinds import cuts_st
from .relayed import SETTINGS, FaultsInMemory, FrontTransport, Relayed

#: HTTP/2 has a file of its own, and calls are for backends that speak it.
KINDS = tuple(name for name in kinds() if name not in ("h2", "grpc"))
SENDERS = {number: Sender(kind) for number, kind in enumerate(KINDS)}
EACH = [(kind, fault) for kind in KINDS for fault in faults_of(kind)]

few_examples = settings(max_examples=8)


def plan(seed: int) -> list[tuple[str, str, float]]:
    """Return the faults that are drawn from `seed`, in their order, for each kind: names, and where in a message."""
    drawn = Faults(cast(Workspace, SimpleNamespace(seed=seed)), SENDERS)._plans
    return [(sender.kind, each.fault.name, each.share) for sender, planned in drawn.items() for each in planned.faults]


def test_the_same_seed_draws_the_same_faults() -> None:
    assert plan(7) == plan(7)


def test_another_seed_draws_others() -> None:
    assert plan(7) != plan(8)
    assert len(plan(7)) != len(plan(8))


@pytest.mark.parametrize("seed", range(20))
def test_every_fault_of_every_kind_is_drawn(seed: int) -> None:
    drawn = {(kind, name) for kind, name, _share in plan(seed)}
    assert drawn == {(kind, fault.name) for kind, fault in EACH}


def test_what_can_befall_a_kind_is_more_than_what_can_befall_any() -> None:
    classes = {kind: {fault.failure for fault in faults_of(kind)} for kind in KINDS}
    assert {failures.MESSAGE_LOST, failures.MESSAGE_REPEATED} < classes["stream"]
    assert {*failures.MID_SESSION, *failures.MESSAGES} < classes["websocket"]
    assert "status 502" in classes["post"] & classes["upload"]
    for kind in KINDS:
        assert {failures.WRONG_BODY, failures.TIMEOUT, failures.MALFORMED} < classes[kind]
        assert (failures.TRUNCATED in classes[kind]) is (kind != "websocket")


@pytest.mark.parametrize(("kind", "fault"), EACH, ids=[f"{kind}, {fault.name}" for kind, fault in EACH])
def test_a_fault_is_found_as_what_it_is_and_nothing_else(kind: str, fault: Fault) -> None:
    relayed = Relayed(kind, fault)
    relayed.run()
    assert relayed.found == relayed.expected
    assert relayed.settled == relayed.booked
    nothing = not fault.failure and fault.ending is None
    assert sum(relayed.expected.values()) == (0 if nothing else 1 + fault.on_new)


@pytest.mark.parametrize("kind", KINDS)
@few_examples
@given(data=st.data(), cuts=cuts_st, share=st.floats(0, 0.999))
def test_it_is_whatever_pieces_bytes_come_in(kind: str, data: st.DataObject, cuts: list[int], share: float) -> None:
    fault = data.draw(st.sampled_from(faults_of(kind)))
    if fault.ending is Ending.UNSOLICITED and "gap" not in SETTINGS.get(kind, {}):
        # Cut off right behind the answer they would meet the next request, and be taken for a part of its answer.
        cuts = []
    relayed = Relayed(kind, fault, share, cuts)
    relayed.run()
    assert relayed.found == relayed.expected
    assert relayed.settled == relayed.booked


@pytest.mark.parametrize("kind", KINDS)
@few_examples
@given(cuts=cuts_st)
def test_without_one_nothing_is(kind: str, cuts: list[int]) -> None:
    relayed = Relayed(kind, None, cuts=cuts)
    relayed.run()
    assert (relayed.found, relayed.expected) == ({}, {})
    assert relayed.settled == relayed.booked == {"answered_once": len(relayed.talk.exchanges)}
    assert relayed.talk.front.attempts == 1 or kind in ANEW


@pytest.mark.parametrize("kind", ["get", "post", "upload"])
@pytest.mark.parametrize(
    ("name", "fates"),
    [
        ("silence", {"lost_never_arrived": 1}),
        ("upload cut", {"lost_unexecuted": 1}),
        ("upload's end cut", {"lost_executed": 1}),
        ("stalled in the answer", {"lost_executed": 1}),
        ("last byte changed", {"lost_executed": 1}),
        ("answer to another", {"lost_never_arrived": 1, "answered_twice": 1}),
        ("repeated", {"answered_twice": 1}),
        ("repeated, and reset", {"lost_executed_twice": 1}),
        ("repeated, and closed", {"lost_executed_twice": 1}),
        ("made up", {"never_sent": 1}),
        ("announced", {}),
    ],
)
def test_what_becomes_of_a_request_is_booked_as_it_is(kind: str, name: str, fates: dict[str, int]) -> None:
    faults = {fault.name: fault for fault in faults_of(kind)}
    if name not in faults:
        assert (kind, "upload" in name) == ("get", True)
        return
    relayed = Relayed(kind, faults[name])
    relayed.run()
    others = len(relayed.talk.exchanges) - sum(fates.values()) + fates.get("never_sent", 0)
    assert relayed.booked == relayed.settled == {"answered_once": others, **fates}


@pytest.mark.parametrize(("opening_s", "share"), [(0.02, 0.5), (0.0, 0.9999), (0.02, 0.9999)])
@pytest.mark.parametrize("kind", ["post", "upload"])
def test_of_a_request_that_is_cut_a_backend_has_the_head_and_not_all(kind: str, opening_s: float, share: float) -> None:
    relayed = Relayed(kind, next(fault for fault in faults_of(kind) if fault.name == "reset in the upload"), share)
    relayed.faults.opening_s = opening_s
    relayed.run()
    assert relayed.found == {(kind, failures.RESET_REUSED): 1}
    assert (
        relayed.booked
        == relayed.settled
        == {
            "answered_once": len(relayed.talk.exchanges) - 1,
            "lost_unexecuted": 1,
        }
    )


def test_what_a_backend_had_when_it_died_is_unknown_and_what_came_later_never_arrived() -> None:
    relayed = Relayed("slow", None)
    relayed.talk.client.start()
    relayed.carry_until(lambda: len(relayed.talk.exchanges) == 2)
    relayed.carry_until(lambda: relayed.faults.backs[0][0].passing is not None)
    relayed.faults.crash()
    relayed.carry_until(lambda: len(relayed.talk.exchanges) > 4)
    later = len(relayed.talk.exchanges) - 3
    assert relayed.talk.outcomes == ["", "", "status 503", *["status 503"] * later]
    assert relayed.booked == {"answered_once": 2, "lost_unknown": 1, "lost_never_arrived": later}


def test_a_backend_connection_is_new_unless_its_port_has_carried_an_answer_of_any_kind() -> None:
    faults = Faults(cast(Workspace, SimpleNamespace(seed=0)), {0: Sender("get"), 1: Sender("idle")})

    def answers(client: bytes, port: int) -> int:
        back = SimpleNamespace(upstream=SimpleNamespace(instance=2), port=port)
        faults.delivered(cast(Passing, SimpleNamespace(back=back, front=SimpleNamespace(client=client))))
        return faults.expected["get", BACK_CHANGED]

    assert answers(b"0", 50000) == 0  # its first
    assert answers(b"1", 50001) == 0
    assert answers(b"0", 50001) == 0  # the kernel gives a port again that is free
    assert answers(b"0", 50002) == 1


def test_a_request_that_meets_the_end_on_its_way_never_arrives() -> None:
    faults = FaultsInMemory(Readers(), Sender("idle", far=True), None)
    front = Front(faults)
    front.makeConnection(FrontTransport())
    front.finish()
    front.dataReceived(b"GET / HTTP/1.1\r\nProxyreload-Id: 3-7\r\n\r\n")
    assert faults.fates == {("idle", "lost_never_arrived"): 1}
    assert +faults.expected == {("idle", failures.CLOSED_REUSED): 1}
    assert faults.backs == []


def test_what_comes_again_is_something_else_than_it_was() -> None:
    books = Books()
    became = {
        "answered_once": "answered_twice",
        "lost_never_arrived": "lost_executed",
        "lost_unexecuted": "lost_executed",
        "lost_executed": "lost_executed_twice",
        "lost_executed_twice": "lost_executed_twice",
    }
    for number, fate in enumerate(became):
        books.book("post", b"%d-7" % number, fate)
        books.again("post", b"%d-7" % number)
    assert +books.counts == Counter(("post", fate) for fate in became.values())
    books.again("post", b"0-7")
    assert books.counts["post", "answered_twice"] == 1


def test_the_books_know_each_clients_latest_request() -> None:
    books = Books()
    books.book("get", b"3-7", "answered_once")
    books.book("get", b"4-1", "answered_once")
    assert [books.know(request_id) for request_id in (b"3-7", b"3-6", b"4-1", b"5-0", b"")] == [
        True,
        False,
        True,
        *[False] * 2,
    ]
    assert (numbered(b"3-7", -1), numbered(b"3-7", 10), numbered(b"3-0", -1)) == (b"3-6", b"3-17", b"")


@pytest.mark.parametrize(
    ("head", "grown"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length:7\r\nA: b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nA: b\r\n\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
    ],
)
def test_a_head_says_how_long_its_body_has_become(head: bytes, grown: bytes) -> None:
    assert with_length(head, -3) == grown
    assert with_length(head, 0) == head


def test_of_an_empty_body_nothing_can_be_taken() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    assert with_length(head, -5) == head
