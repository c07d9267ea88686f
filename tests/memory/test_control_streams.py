"""The proxy that injects faults, over HTTP/2: what it writes in its books is what its clients see."""

from collections import Counter

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxyreload.history.events import Ending, Exchange, FrontClosed
from proxyreload_control_faults import Fault, faults_of
from proxyreload_control_proxy import Front

from .connections import parts
from .kinds import cuts_st
from .relayed import FrontTransport, Relayed
from .streams import StreamBench, StreamWire, asking

#: Of each kind that comes over HTTP/2: what it sends, and what can befall it.
SETTINGS: dict[str, dict[str, object]] = {
    "h2": {"streams": 3, "gap": [0.1, 0.2]},
    "grpc": {"streams": 3, "every": 0.05, "length": 0.5},
}
FAULTS = [(kind, fault) for kind in SETTINGS for fault in faults_of(kind)]
few_examples = settings(max_examples=30)


@attrs.define(eq=False)
class Streaming(Relayed):
    """A client with three streams, and backend 3."""

    bench: StreamBench = attrs.field(init=False)
    transports: list[FrontTransport] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        end, prepared = asking(self.kind, SETTINGS[self.kind])
        more = {"kind": self.kind, "long": bool(end.lasts_s)}
        self.bench = StreamBench(end, prepared, time=self.time, timeout_s=1.0, more=more)
        self.bench.front.greeting = False

    @property
    def exchanges(self) -> list[Exchange]:
        return self.bench.exchanges

    @property
    def found(self) -> dict[tuple[str, str], int]:
        endings = [each.ending for each in self.bench.of(FrontClosed) if each.ending is not Ending.CUT]
        told = [each.failure for each in self.exchanges if each.failure] + [ending.value for ending in endings]
        return dict(Counter((self.kind, name) for name in told))

    def run(self, limit_s: float = 30.0) -> None:
        self.bench.client.start()
        left = 600
        while left and not (self.faults.settled and len(self.exchanges) > 20):
            self._carry()
            self.time.advance(0.05)
            left -= 1
        self.bench.client.stop()
        for _turn in range(30):
            self._carry()
            self.time.advance(0.05)
        assert left

    def _carry_once(self) -> bool:
        wires = self.bench.front.wires
        moved = [self._from_streams(number, wire) for number, wire in enumerate(wires)]
        moved += [self._to_and_from_backend(number) for number in range(len(self.faults.backs))]
        moved += [self._to_streams(number, wire) for number, wire in enumerate(list(wires))]
        return any(moved)

    def _from_streams(self, number: int, wire: StreamWire) -> bool:
        if number == len(self.transports):
            transport = FrontTransport()
            transport.protocol = Front(self.faults)
            transport.protocol.makeConnection(transport)
            self.transports.append(transport)
        transport = self.transports[number]
        written = wire.transport.value()
        new = written[self._read.get(number, 0) :]
        self._read[number] = len(written)
        cuts = self.cuts if self._read[number] > len(new) else ()  # the first bytes tell which protocol it is
        for part in parts(new, cuts):
            assert transport.protocol is not None
            transport.protocol.dataReceived(part)
        if wire.transport.disconnecting and transport.protocol in self.faults.fronts:
            transport.protocol.connectionLost()
        return bool(new)

    def _to_streams(self, number: int, wire: StreamWire) -> bool:
        transport = self.transports[number]
        said = transport.value()
        transport.clear()
        for part in parts(said, self.cuts):
            wire.says(part)
        return bool(said)


def streamed(kind: str, fault: Fault | None, share: float = 0.5, cuts: tuple[int, ...] = ()) -> Streaming:
    """Return what came of one fault."""
    relayed = Streaming(kind, fault, share, cuts)
    relayed.run()
    return relayed


@pytest.mark.parametrize(("kind", "fault"), FAULTS, ids=[f"{kind}, {fault.name}" for kind, fault in FAULTS])
def test_a_fault_is_found_as_what_it_is_and_nothing_else(kind: str, fault: Fault) -> None:
    relayed = streamed(kind, fault)
    assert relayed.found == relayed.expected
    assert relayed.settled == relayed.booked
    assert relayed.expected


@few_examples
@given(befalls=st.sampled_from(FAULTS), cuts=cuts_st, share=st.floats(0, 0.999))
def test_it_is_whatever_pieces_bytes_come_in(befalls: tuple[str, Fault], cuts: list[int], share: float) -> None:
    relayed = streamed(*befalls, share, tuple(cuts))
    assert relayed.found == relayed.expected
    assert relayed.settled == relayed.booked


@pytest.mark.parametrize("kind", SETTINGS)
def test_without_one_nothing_is(kind: str) -> None:
    relayed = streamed(kind, None)
    assert (relayed.found, relayed.expected) == ({}, {})
    assert relayed.settled == relayed.booked == {"answered_once": len(relayed.exchanges)}
    assert relayed.bench.front.attempts == 1
