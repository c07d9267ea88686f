"""A client of any kind and backend 3, with the proxy that injects faults between them, all in memory."""

import select
from collections import Counter, deque
from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import attrs
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from proxyreload.client.volley import Volley
from proxyreload.history.events import Ended, Ending, Event, Exchange, Started
from proxyreload.history.order import FOREVER_NS
from proxyreload.proxy.interfaces import Sender
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.run.wiring import Wiring
from proxyreload.system.clock import ns
from proxyreload_control import Faults, Plan
from proxyreload_control_faults import Fault, Planned
from proxyreload_control_proxy import Back, Front, Passing

from .clocks import START_NS, Readers
from .connections import MemoryTransport, Wire, parts
from .kinds import BACK_PORT, Inlet, Talk

#: Long enough to have all the units that are operated on.
SETTINGS: dict[str, dict[str, object]] = {
    "post": {"gap": [0.1, 0.2]},
    "slow": {"delay": 0.2},
    "stream": {"every": 0.05, "length": 0.45},
    "download": {"size": 60_000, "rate": 10**7},
    "upload": {"every": 0.1, "length": 1.2},
    "idle": {"gap": [0.1, 0.2]},
    "aimed": {"gap": [0.1, 0.2]},
    "websocket": {"every": 0.2, "length": 2.2},
}
_STEP_S = 0.05
_TURNS = 6
_TIMEOUT_S = 1.0


class FrontTransport(MemoryTransport):
    """The proxy's end of a client's connection."""

    def __init__(self) -> None:
        super().__init__()
        self.finished = False
        self.front: Front | None = None

    def loseWriteConnection(self) -> None:
        self.finished = True

    def getHandle(self) -> Any:
        def nothing(_number: int, _flags: int) -> bytes:
            raise BlockingIOError

        return SimpleNamespace(recv=nothing, send=self.write, shutdown=lambda _how: self.loseWriteConnection())

    def connectionLost(self, reason: Failure) -> None:
        self.disconnected = True
        assert self.front is not None
        self.front.connectionLost(reason)


class FaultsInMemory(Faults):
    """Connects to backends in memory."""

    def __init__(self, time: Readers, sender: Sender, planned: Planned | None) -> None:
        workspace = SimpleNamespace(seed=0, reactor=time, client_timeout_s=_TIMEOUT_S)
        super().__init__(cast(Workspace, workspace), {3: sender})
        self._upstreams = [Upstream(3, "127.0.0.1", 1033)]
        self._outages = []
        self._plans = {sender: Plan(deque([planned] if planned is not None else []), (1, 1), Random(0))}
        self.backs: list[tuple[Back, MemoryTransport]] = []
        self.listening = True  # the backend
        self.opening_s = 0.0  #: how long a connection to it takes to open; each carries one request then

    def open(self, passing: Passing, upstream: Upstream, pool: list[Back]) -> None:
        if not self.listening:
            passing.failed()
            return
        back, transport = (
            Back(self, upstream, [] if self.opening_s else pool),
            MemoryTransport(50_000 + len(self.backs)),
        )
        self.backs.append((back, transport))
        back.makeConnection(transport)
        if self.opening_s:
            self.workspace.reactor.callLater(self.opening_s, passing.connected, back)
        else:
            passing.connected(back)

    def crash(self) -> None:
        """Let the backend die."""
        self.listening = False
        for back, _transport in self.backs:
            back.connectionLost()

    @property
    def settled(self) -> bool:
        """Whether all that was planned is done, and the clients have asked again."""
        return self._all_done


@attrs.define(eq=False)
class Relayed:
    """Carries bytes between a client, the proxy and backends, cut in these places."""

    kind: str
    fault: Fault | None
    share: float = 0.5
    cuts: Sequence[int] = ()
    time: Readers = attrs.field(factory=Readers)
    talk: Talk = attrs.field(init=False)
    faults: FaultsInMemory = attrs.field(init=False)
    _fronts: list[tuple[Front, FrontTransport]] = attrs.field(factory=list)
    _inlets: list[Inlet] = attrs.field(factory=list)
    _read: dict[int, int] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        volley = Volley() if self.kind == "aimed" else None
        given = SETTINGS.get(self.kind, {})
        self.talk = Talk(self.kind, given, timeout_s=_TIMEOUT_S, time=self.time, volley=volley)
        planned = None if self.fault is None else Planned(self.fault, self.share)
        self.faults = FaultsInMemory(self.time, Sender(self.kind), planned)

    def run(self, limit_s: float = 30.0) -> None:
        """Let the client send until what was planned is done and has shown, and one request more."""
        self.talk.client.start()
        left = round(limit_s / _STEP_S)
        while left and not (self.faults.settled and len(self.talk.exchanges) > 3):
            self._carry()
            self.time.advance(_STEP_S)
            left -= 1
        self.talk.client.stop()
        for _turn in range(30):
            self._carry()
            self.time.advance(_STEP_S)
        assert left

    def carry_until(self, condition: Callable[[], bool]) -> None:
        """Carry on until it holds, which it must before long."""
        for _turn in range(100):
            self._carry()
            if condition():
                return
            self.time.advance(_STEP_S)
        raise AssertionError

    @property
    def expected(self) -> dict[tuple[str, str], int]:
        """What the proxy's books say."""
        return {key: number for key, number in self.faults.expected.items() if number and "changed" not in key[1]}

    @property
    def exchanges(self) -> Sequence[Exchange]:
        """What the client has published."""
        return self.talk.exchanges

    @property
    def found(self) -> dict[tuple[str, str], int]:
        """What the client says."""
        endings = [each.ending for each in self.talk.front_closed if each.ending is not Ending.CUT]
        told = [failure for failure in self.talk.outcomes if failure] + [ending.value for ending in endings]
        return dict(Counter((self.kind, name) for name in told))

    @property
    def booked(self) -> dict[str, int]:
        """What became of the requests, as the proxy's books say."""
        assert {kind for kind, _fate in self.faults.fates} == {self.kind}
        return {fate: number for (_kind, fate), number in self.faults.fates.items() if number}

    @property
    def settled(self) -> dict[str, int]:
        """And as the ledger says, of what client and backend tell."""
        wiring = Wiring(self.time.ns, frozenset())
        history = wiring.history
        history.here.publish(
            Started(START_NS, {"3": self.kind}, many={3: 3} if self.kind in ("h2", "grpc") else {}, hosted=True)
        )
        told: list[Event] = [*self.exchanges]
        for inlet in self._inlets:
            told += inlet.arrivals
        for event in told:
            history.here.publish(event)
        for _step in range(round(self.time.seconds() / _STEP_S)):
            history.hand_on(START_NS + _step * ns(_STEP_S) + 1)
        history.here.publish(Ended(self.time.ns()))
        history.hand_on(FOREVER_NS)
        assert not wiring.observation.broken
        counts = wiring.observation.ledger.counts[self.kind]
        return {fate.value: number for fate, number in counts.items() if number}

    def _carry(self) -> None:
        """Carry what there is, but not for ever: some clients send the next request at once."""
        for _turn in range(_TURNS):
            if not self._carry_once():
                return

    def _carry_once(self) -> bool:
        moved = [self._from_client(number, wire) for number, wire in enumerate(self.talk.front.wires)]
        moved += [self._to_and_from_backend(number) for number in range(len(self.faults.backs))]
        moved += [self._to_client(number, wire) for number, wire in enumerate(list(self.talk.front.wires))]
        return any(moved)

    def _from_client(self, number: int, wire: Wire) -> bool:
        if number == len(self._fronts):
            transport = FrontTransport()
            transport.front = Front(self.faults)
            transport.front.makeConnection(transport)
            self._fronts.append((transport.front, transport))
        front, transport = self._fronts[number]
        new = wire.written[self._read.get(number, 0) :]
        self._read[number] = len(wire.written)
        for part in parts(new, self.cuts):
            front.dataReceived(part)
        if (wire.transport.disconnecting or wire.transport.disconnected) and front in self.faults.fronts:
            front.connectionLost(Failure(ConnectionDone()))
        return bool(new)

    def _to_and_from_backend(self, number: int) -> bool:
        back, transport = self.faults.backs[number]
        if number == len(self._inlets):
            self._inlets.append(Inlet(time=self.time, transport=MemoryTransport(1033, BACK_PORT + number)))
        inlet = self._inlets[number]
        new = transport.value()
        transport.clear()
        inlet.hears(*parts(new, self.cuts))
        said = inlet.said()
        for part in parts(said, self.cuts):
            if not transport.disconnecting:
                back.dataReceived(part)
        if transport.disconnecting:
            inlet.closes()
        return bool(new or said)

    def _to_client(self, number: int, wire: Wire) -> bool:
        front, transport = self._fronts[number]
        said = transport.value()
        transport.clear()
        if transport.finished:  # a kernel says so to whoever looks, whether or not what came before it has been read
            wire.connection._poll = lambda _timeout: [(0, select.POLLIN)]
        wire.says(*parts(said, self.cuts))
        if transport.aborted:
            wire.resets()
            front.connectionLost()
        elif transport.finished or transport.disconnecting:
            wire.closes()
            front.connectionLost()
        return bool(said)
