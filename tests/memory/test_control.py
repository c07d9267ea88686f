"""The proxy that injects faults: what it writes in its books is what its clients see, whatever pieces bytes come in."""

from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.history import failures
from proxyreload.proxy.interfaces import Sender
from proxyreload.proxy.workspace import Workspace
from proxyreload.traffic.registry import kinds
from proxyreload_control import Faults
from proxyreload_control_faults import Fault, faults_of
from proxyreload_control_messages import with_length

from .kinds import cuts_st
from .relayed import Relayed

KINDS = tuple(kinds())
SENDERS = {number: Sender(kind) for number, kind in enumerate(KINDS)}
EACH = [(kind, fault) for kind in KINDS for fault in faults_of(kind)]

few_examples = settings(max_examples=8, deadline=None)


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
    assert "status 502" in classes["post"] & classes["upload"]
    for kind in KINDS:
        assert {failures.WRONG_BODY, failures.TRUNCATED, failures.TIMEOUT, failures.MALFORMED} < classes[kind]


@pytest.mark.parametrize(("kind", "fault"), EACH, ids=[f"{kind}, {fault.name}" for kind, fault in EACH])
def test_a_fault_is_found_as_what_it_is_and_nothing_else(kind: str, fault: Fault) -> None:
    relayed = Relayed(kind, fault)
    relayed.run()
    assert relayed.found == relayed.expected
    nothing = not fault.failure and fault.ending is None
    assert sum(relayed.expected.values()) == (0 if nothing else 1 + fault.on_new)


@pytest.mark.parametrize("kind", KINDS)
@few_examples
@given(data=st.data(), cuts=cuts_st, share=st.floats(0, 0.999))
def test_it_is_whatever_pieces_bytes_come_in(kind: str, data: st.DataObject, cuts: list[int], share: float) -> None:
    relayed = Relayed(kind, data.draw(st.sampled_from(faults_of(kind))), share, cuts)
    relayed.run()
    assert relayed.found == relayed.expected


@pytest.mark.parametrize("kind", KINDS)
@few_examples
@given(cuts=cuts_st)
def test_without_one_nothing_is(kind: str, cuts: list[int]) -> None:
    relayed = Relayed(kind, None, cuts=cuts)
    relayed.run()
    assert (relayed.found, relayed.expected) == ({}, {})
    assert relayed.talk.front.attempts == 1 or kind == "fresh"


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
