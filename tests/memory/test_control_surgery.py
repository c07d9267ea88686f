"""Surgery on bodies on their way: the same comes out in whatever pieces they come."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyreload_control_surgery import (
    BLANK,
    Operation,
    Surgery,
    Units,
    cut,
    last_byte,
    repeat,
    spoil,
    spoiled,
    swallow,
    swap,
)

from .clocks import some_examples
from .connections import parts

cuts_st = st.lists(st.integers(0, 10**4), max_size=12)
bodies_st = st.binary(max_size=300)
#: Events, of bytes that may make line ends of their own.
events_st = st.lists(st.binary(max_size=12).filter(lambda told: BLANK not in told + b"\n"), max_size=8)
OPERATIONS: dict[Operation, Callable[[list[bytes], int], list[bytes]]] = {
    swallow: lambda units, at: units[:at] + units[at + 1 :],
    repeat: lambda units, at: units[: at + 1] + units[at:],
    swap: lambda units, at: units[:at] + units[at : at + 2][::-1] + units[at + 2 :],
    spoil: lambda units, at: units[:at] + [spoiled(unit) for unit in units[at : at + 1]] + units[at + 1 :],
}
any_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.__name__)


def operated(surgery: Surgery, body: bytes, cuts: Sequence[int]) -> bytes:
    return b"".join([surgery.take(part) for part in parts(body, cuts)]) + surgery.end()


@some_examples
@given(body=bodies_st, cuts=cuts_st)
def test_none_leaves_a_body_as_it_is(body: bytes, cuts: list[int]) -> None:
    assert operated(Surgery(), body, cuts) == body


@some_examples
@given(body=bodies_st, cuts=cuts_st)
def test_the_last_byte_is_another_and_no_other_is(body: bytes, cuts: list[int]) -> None:
    surgery = last_byte()
    changed = operated(surgery, body, cuts)
    assert (changed[:-1], len(changed)) == (body[:-1], len(body))
    assert surgery.done == bool(body)
    assert (changed == body) == (not body)


@some_examples
@given(body=bodies_st, cuts=cuts_st, number=st.integers(1, 20))
def test_so_many_bytes_are_cut_off(body: bytes, cuts: list[int], number: int) -> None:
    surgery = cut(number)
    assert operated(surgery, body, cuts) == body[:-number]
    assert surgery.grows == -number


@any_operation
@some_examples
@given(body=bodies_st, cuts=cuts_st, number=st.integers(0, 12), size=st.integers(1, 40))
def test_something_is_done_to_one_block(
    operation: Operation, body: bytes, cuts: list[int], number: int, size: int
) -> None:
    surgery = Units(number, operation, size)
    blocks = [body[at : at + size] for at in range(0, len(body), size)]
    expected = b"".join(OPERATIONS[operation](blocks, number))
    assert operated(surgery, body, cuts) == expected
    assert surgery.done == (expected != body)
    if number < len(body) // size:
        assert len(expected) == len(body) + surgery.grows


@any_operation
@some_examples
@given(told=events_st, rest=st.binary(max_size=5), cuts=cuts_st, number=st.integers(0, 9))
def test_something_is_done_to_one_event(
    operation: Operation, told: list[bytes], rest: bytes, cuts: list[int], number: int
) -> None:
    rest = rest.replace(b"\n", b"x")
    events = [each + BLANK for each in told]
    body = b"".join(events) + rest
    units = events + ([rest] if rest else [])
    surgery = Units(number, operation)
    assert operated(surgery, body, cuts) == b"".join(OPERATIONS[operation](units, number))
