"""A backend answers each kind in its turn, and tells of each request how far it came, each stage once."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.interfaces import IPullProducer

from proxyreload.system.clock import ns
from proxyreload.system.sockets import SocketGroup
from proxyreload.traffic.content import content, digest

from .clocks import START_NS, Readers, waits
from .connections import KernelTransport, MemoryTransport, parts
from .kinds import BACK_PORT, Inlet, ids_st, unchunked
from .test_kind_registry import HOSTILE

few_examples = settings(max_examples=40)
SLOW, STREAM = b"slow delay=2", b"stream every=0.5 length=1"


def request(
    request_id: bytes, kind: bytes = b"", body: bytes = b"", *, method: bytes = b"GET", extra: bytes = b""
) -> bytes:
    """Return a request as a proxy passes it on."""
    field = b"proxyreload-kind: %b\r\n" % kind if kind else b""
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%b / HTTP/1.1\r\nHost: x\r\nproxyreload-id: %b\r\n%b%b%b\r\n%b" % (
        method,
        request_id,
        field,
        length,
        extra,
        body,
    )


def bodies(said: bytes) -> list[bytes]:
    """Return the bodies of whole answers."""
    found = []
    while said:
        head, _, said = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if fields.get(b"Transfer-Encoding") == b"chunked":
            chunks = []
            while not said.startswith(b"0\r\n\r\n"):
                end = said.index(b"\r\n") + 4 + int(said.partition(b"\r\n")[0], 16)
                chunks.append(said[:end])
                said = said[end:]
            said = said.removeprefix(b"0\r\n\r\n")
            found.append(unchunked(chunks))
        else:
            length = int(fields[b"Content-Length"])
            found.append(said[:length])
            said = said[length:]
    return found


def of(request_id: str, *stages: str) -> list[tuple[str, str, bool]]:
    """Return what is told of a request that comes so far, whole at once."""
    return [(request_id, stage, bool(number)) for number, stage in enumerate(stages)]


@pytest.fixture(name="inlet")
def _inlet() -> Inlet:
    return Inlet()


def test_a_slow_answer_comes_after_its_delay(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", SLOW))
    inlet.time.advance(1.999)
    assert inlet.said() == b""
    assert inlet.stages == of("3-7", "executed")
    inlet.time.advance(0.001)
    assert bodies(inlet.said()) == [b"backend 3 answers 3-7\n"]
    assert inlet.stages == of("3-7", "executed", "answered")
    arrival = inlet.arrivals[-1]
    assert (arrival.received_ns, arrival.executed_ns, arrival.answered_ns) == (START_NS, START_NS, START_NS + ns(2))


@pytest.mark.parametrize("kind", [b"post size=3 delay=2", b"upload every=1 delay=2"])
def test_a_receipt_may_take_a_while_from_when_the_body_is_whole(inlet: Inlet, kind: bytes) -> None:
    whole = request(b"3-7", kind, b"abc", method=b"POST")
    inlet.hears(whole[:-1])
    inlet.time.advance(5)
    inlet.hears(whole[-1:])
    inlet.time.advance(1.999)
    assert inlet.said() == b""
    assert inlet.stages == of("3-7", "received", "executed")
    inlet.time.advance(0.001)
    assert bodies(inlet.said()) == [b"backend 3 had 3 bytes %b of 3-7\n" % digest(b"abc")]
    assert inlet.stages == of("3-7", "received", "executed", "answered")


def test_pieces_come_at_their_times_as_chunks(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", STREAM))
    head, _, first = inlet.said().partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert first == b"d\r\ndata: 3-7 0\n\n\r\n"
    inlet.time.advance(0.5)
    assert inlet.said() == b"d\r\ndata: 3-7 1\n\n\r\n"
    assert inlet.stages == of("3-7", "executed")
    inlet.time.advance(0.5)
    assert inlet.said() == b"11\r\ndata: 3-7 end 2\n\n\r\n0\r\n\r\n"
    assert inlet.stages == of("3-7", "executed", "answered")


@few_examples
@given(request_id=ids_st, body=st.binary(min_size=1, max_size=300), cuts=st.lists(st.integers(0, 999), max_size=6))
def test_a_receipt_says_what_came_however_it_came(request_id: bytes, body: bytes, cuts: list[int]) -> None:
    inlet = Inlet()
    inlet.hears(*parts(request(request_id, b"post size=9", body, method=b"POST"), cuts))
    receipt = b"backend 3 had %d bytes %b of %b\n" % (len(body), digest(body), request_id)
    assert bodies(inlet.said()) == [receipt]
    assert inlet.stages[-1][1:] == ("answered", True)


def test_so_does_one_for_a_body_in_chunks(inlet: Inlet) -> None:
    head = request(b"3-7", b"upload every=1", method=b"POST", extra=b"Transfer-Encoding: chunked\r\n")
    inlet.hears(head, b"3\r\nabc\r\n", b"2\r\nd", b"e\r\n")
    assert inlet.said() == b""
    assert inlet.stages == of("3-7", "received")
    inlet.hears(b"0\r\n\r\n")
    assert bodies(inlet.said()) == [b"backend 3 had 5 bytes %b of 3-7\n" % digest(b"abcde")]
    assert inlet.stages == of("3-7", "received", "executed", "answered")


def test_the_body_of_one_request_is_not_the_nexts(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", b"post", b"abc", method=b"POST"), request(b"3-8", b"post", method=b"POST"))
    assert bodies(inlet.said())[1] == b"backend 3 had 0 bytes %b of 3-8\n" % digest(b"")


def test_a_large_body_is_the_requests_own(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", b"download size=200000 rate=1000"))
    assert bodies(inlet.said()) == [content(b"3-7", 200_000)]


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind.strip() and b"\x00" not in kind])
def test_what_names_no_kind_is_answered_as_a_small_get(inlet: Inlet, kind: bytes) -> None:
    inlet.hears(request(b"3-7", kind))
    assert bodies(inlet.said()) == [b"backend 3 answers 3-7\n"]
    assert inlet.stages == of("3-7", "executed", "answered")


def test_a_field_that_never_ends_is_bounded(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", b"slow delay=" + b"0" * 5000 + b"1"))
    assert bodies(inlet.said()) == [b"backend 3 answers 3-7\n"]


@pytest.mark.parametrize("kind", [b"post size=1", b"download size=100 rate=1000", STREAM, b"slow delay=0.1"])
def test_a_head_is_answered_without_a_body(inlet: Inlet, kind: bytes) -> None:
    inlet.hears(request(b"3-7", kind, method=b"HEAD"))
    inlet.time.advance(5)
    head, _, body = inlet.said().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Backend-Id: 3" in head
    assert body == b""
    assert inlet.stages == of("3-7", "executed", "answered")
    inlet.hears(request(b"3-8"))
    assert bodies(inlet.said()) == [b"backend 3 answers 3-8\n"]


# Turns.


def test_a_get_behind_a_slow_one_waits_its_turn(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", SLOW) + request(b"3-8"), request(b"3-9"))
    inlet.time.advance(1)
    assert inlet.said() == b""
    inlet.time.advance(1)
    assert bodies(inlet.said()) == [b"backend 3 answers 3-%d\n" % number for number in (7, 8, 9)]
    assert [arrival.carried for arrival in inlet.arrivals if arrival.answered_ns] == [0, 1, 2]


def test_a_get_before_one_of_a_kind_is_answered_first(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7") + request(b"3-8", b"post size=1", b"a", method=b"POST") + request(b"3-9"))
    first, second, third = bodies(inlet.said())
    assert (first, third) == (b"backend 3 answers 3-7\n", b"backend 3 answers 3-9\n")
    assert second.endswith(b"of 3-8\n")


def test_and_told_as_answered_before_the_other_is(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7") + request(b"3-8", SLOW))
    assert bodies(inlet.said()) == [b"backend 3 answers 3-7\n"]
    assert ("3-7", "answered", False) in inlet.stages
    assert ("3-8", "executed", False) in inlet.stages


def test_the_last_one_says_so_and_the_connection_closes_behind_it(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", SLOW) + request(b"3-8", SLOW, extra=b"Connection: close\r\n"))
    inlet.time.advance(2)
    assert b"Connection: close" not in inlet.said()
    assert not inlet.transport.closed
    inlet.time.advance(2)
    said = inlet.said()
    assert b"\r\nConnection: close\r\n" in said
    assert bodies(said) == [b"backend 3 answers 3-8\n"]
    assert inlet.transport.closed


def test_behind_the_last_one_nothing_is_heard(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", SLOW, extra=b"Connection: close\r\n"), request(b"3-8"))
    inlet.time.advance(2)
    assert bodies(inlet.said()) == [b"backend 3 answers 3-7\n"]
    assert inlet.transport.closed


def test_what_is_no_request_is_refused_when_it_has_its_turn(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", SLOW), b"\x00\x01 nonsense\r\n\r\n", b"and more")
    assert inlet.said() == b""
    inlet.time.advance(2)
    answer, _, refusal = inlet.said().partition(b"HTTP/1.1 400 ")
    assert bodies(answer) == [b"backend 3 answers 3-7\n"]
    assert refusal.startswith(b"Bad Request\r\n")
    assert inlet.transport.closed
    assert inlet.stages == of("3-7", "executed", "answered")


@pytest.mark.parametrize("kind", [b"post size=1", SLOW])
def test_one_that_would_switch_protocols_is_answered_and_the_connection_closed(inlet: Inlet, kind: bytes) -> None:
    inlet.hears(request(b"3-7", kind, extra=b"Connection: upgrade\r\nUpgrade: websocket\r\n"))
    inlet.time.advance(2)
    assert len(bodies(inlet.said())) == 1
    assert inlet.transport.closed


# What is given up.


@pytest.mark.parametrize("after_s", [0, 0.25, 0.75])
def test_a_proxy_that_closes_in_the_middle_has_given_it_up(inlet: Inlet, after_s: float) -> None:
    inlet.hears(request(b"3-7", STREAM))
    inlet.time.advance(after_s)
    inlet.said()
    inlet.closes()
    inlet.time.advance(10)
    assert inlet.said() == b""
    assert inlet.stages == of("3-7", "executed", "given up")
    assert inlet.arrivals[-1].given_up_ns == START_NS + ns(after_s)
    assert inlet.time.getDelayedCalls() == []


def test_so_has_one_that_closes_before_it_was_whole(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", b"post size=9", b"abc", method=b"POST")[:-1])
    inlet.closes()
    assert inlet.stages == of("3-7", "received", "given up")


def test_those_that_wait_are_given_up_with_it(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", SLOW) + request(b"3-8") + request(b"3-9", SLOW))
    inlet.closes()
    inlet.time.advance(10)
    for request_id in ("3-7", "3-8", "3-9"):
        assert [told for told in inlet.stages if told[0] == request_id] == of(request_id, "executed", "given up")


def test_what_the_backend_ends_itself_is_given_up_by_nobody(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", SLOW) + request(b"3-8"))
    inlet.connection.close()
    inlet.closes()
    inlet.time.advance(10)
    assert inlet.said() == b""
    assert inlet.stages == of("3-7", "executed") + of("3-8", "executed")
    assert inlet.time.getDelayedCalls() == []


# A backend that leaves.


def test_what_is_under_way_when_it_leaves_is_answered_and_the_connection_closed(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", SLOW) + request(b"3-8"))
    leaving = inlet.connection.site.leave()
    assert not inlet.transport.closed
    inlet.time.advance(2)
    first, _, second = inlet.said().partition(b"HTTP/1.1 200 OK\r\n")[2].partition(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" not in first
    assert b"\r\nConnection: close\r\n" in second
    assert inlet.transport.closed
    inlet.closes()
    assert not waits(leaving)
    assert [stage for _, stage, _ in inlet.stages].count("answered") == 2


def test_one_whose_answer_had_begun_is_closed_behind_it(inlet: Inlet) -> None:
    inlet.hears(request(b"3-7", STREAM))
    inlet.connection.site.leave()
    inlet.time.pump([0.5] * 2)
    assert len(bodies(inlet.said())) == 1
    assert inlet.transport.closed


# A kernel that takes no more.


class Kernel:
    """Backend 3 over a socket."""

    def __init__(self) -> None:
        self.time = Readers()
        group = SocketGroup.on(self.time, self.time.ns)
        assert group is not None
        self.group = group
        self.transport = KernelTransport(1033, BACK_PORT)
        self.inlet = Inlet(time=self.time, transport=self.transport, group=group)
        self.transport.protocol = self.inlet.connection

    def hears(self, data: bytes) -> None:
        self.transport.far.send(data)
        self.group.doRead()

    def drains(self) -> None:
        """Let the kernel take what waits."""
        producer = self.transport.producer
        assert IPullProducer.providedBy(producer)
        producer.resumeProducing()
        producer.resumeProducing()

    def release(self) -> None:
        self.group.close()
        self.transport.release()


@pytest.fixture(name="kernel")
def _kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.release()


def test_an_answer_is_told_only_once_the_kernel_has_its_last_byte(kernel: Kernel) -> None:
    kernel.transport.fill()
    kernel.hears(request(b"3-7", b"download size=100000 rate=1000"))
    assert kernel.inlet.stages == of("3-7", "executed")
    kernel.time.advance(3)
    kernel.drains()
    assert kernel.inlet.stages == of("3-7", "executed", "answered")
    assert kernel.inlet.arrivals[-1].answered_ns == START_NS + ns(3)


def test_also_while_the_next_one_is_under_way(kernel: Kernel) -> None:
    kernel.transport.fill()
    kernel.hears(request(b"3-7", b"post size=1", b"a", method=b"POST") + request(b"3-8", SLOW))
    kernel.time.advance(1)
    kernel.drains()
    assert ("3-7", "answered", True) in kernel.inlet.stages
    assert ("3-8", "answered", True) not in kernel.inlet.stages
    kernel.time.advance(1)
    kernel.drains()
    assert ("3-8", "answered", True) in kernel.inlet.stages


def test_a_backend_that_leaves_waits_for_what_the_kernel_has_not(kernel: Kernel) -> None:
    kernel.transport.fill()
    kernel.hears(request(b"3-7", b"download size=100000 rate=1000"))
    kernel.inlet.connection.site.leave()
    assert not kernel.transport.closed
    kernel.drains()
    assert kernel.transport.closed
    assert kernel.inlet.stages == of("3-7", "executed", "answered")


def test_an_answer_to_a_connection_that_is_gone_is_given_up(kernel: Kernel) -> None:
    kernel.hears(request(b"3-7", SLOW))
    kernel.transport.far.close()
    kernel.time.advance(2)
    assert kernel.inlet.stages == of("3-7", "executed")
    kernel.inlet.closes()
    assert kernel.inlet.stages == of("3-7", "executed", "given up")


# Whatever comes.


@few_examples
@given(
    asked=st.lists(
        st.tuples(st.sampled_from([b"", b"post size=1", SLOW, STREAM, b"download size=50 rate=1000"]), st.booleans()),
        max_size=6,
    ),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
    closes_after=st.integers(0, 20),
)
def test_each_request_is_told_once_at_each_stage_and_answered_in_its_turn(
    asked: Sequence[tuple[bytes, bool]], cuts: list[int], closes_after: int
) -> None:
    inlet = Inlet(transport=MemoryTransport(1033, BACK_PORT))
    stream = b"".join(
        request(b"3-%d" % number, kind, b"abc" if body else b"", method=b"POST" if body else b"GET")
        for number, (kind, body) in enumerate(asked)
    )
    inlet.hears(*parts(stream, cuts))
    said = inlet.said()
    for _ in range(closes_after):
        inlet.time.advance(0.5)
        said += inlet.said()
    inlet.closes()
    inlet.time.advance(100)
    assert inlet.said() == b""
    assert inlet.time.getDelayedCalls() == []
    by_request: dict[str, list[tuple[str, bool]]] = {}
    for request_id, stage, again in inlet.stages:
        by_request.setdefault(request_id, []).append((stage, again))
    assert sorted(by_request) == [f"3-{number}" for number in range(len(asked))]
    for told in by_request.values():
        assert [again for _, again in told] == [False] + [True] * (len(told) - 1)
        assert [stage for stage, _ in told] in [
            [*before, last]
            for before in ([], ["received"], ["executed"], ["received", "executed"])
            for last in ("answered", "given up")
        ]
    answered = sum(told[-1][0] == "answered" for told in by_request.values())
    assert said.count(b"HTTP/1.1 200 OK") in (answered, answered + 1)
    assert [by_request[name][-1][0] for name in sorted(by_request)][:answered] == ["answered"] * answered
