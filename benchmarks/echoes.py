"""How many WebSocket messages a second go there and back on one core, both ends on it, beside the package `websockets`.

`python -m benchmarks.echoes`: the clients of the kind `websocket` and a backend, in one process, as a run has them;
each message is checked to be the one that is due. The other side is an echo server and as many clients of `websockets`,
in one process too, each of which sends the next message when it has its echo, and looks at none. In interleaved rounds.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import attrs

from benchmarks.peer import Measured
from benchmarks.processes import HOST, BenchmarkError, Cores, pinned, run, tell
from benchmarks.quiet import watched
from benchmarks.rounds import Contestant, play, temporary
from proxyreload.backend.backend import Backend
from proxyreload.client.connector import HTTP11Connector
from proxyreload.client.load import Load
from proxyreload.history.bus import EventBus
from proxyreload.plan.settings import Target
from proxyreload.plan.traffic import Group
from proxyreload.run.crowds import Crowds
from proxyreload.system.clock import monotonic_ns
from proxyreload.system.sockets import SocketGroup
from proxyreload.traffic.get import from_numbered_backend
from proxyreload.traffic.registry import kind_named, values_of
from proxyreload.traffic.websocket import Talk, Talking

#: Sessions at a time, each with a message in every millisecond, if there is time for that; they outlast a measurement.
CLIENTS, EVERY_S, LENGTH_S = 40, 0.001, 3600.0
#: Where this package is found by a process that is started elsewhere.
_CHECKOUT = Path(__file__).parents[1]
#: What is to be reached.
AT_LEAST_PER_S = 20_000
_MESSAGE = "message 12345 of 12-345"
_LIMIT_S = 60.0


def ours(seconds: float) -> int:
    """Let clients of ours talk to a backend of ours; returns how many messages were echoed."""
    from twisted.internet import reactor as installed
    from twisted.internet.defer import Deferred
    from twisted.internet.task import deferLater

    reactor: Any = installed
    talks: list[Talk] = []
    echoed = 0

    class Counted(Talking):
        def conversation(self, request_id: bytes) -> Talk:
            talks.append(super().conversation(request_id))
            return talks[-1]

    async def measure() -> None:
        nonlocal echoed
        bus = EventBus()
        backend = Backend(0, 0, bus, monotonic_ns, HOST, SocketGroup.on(reactor, monotonic_ns, looks=False))
        await backend.start(reactor)
        connector = HTTP11Connector(
            reactor, HOST, backend.port, monotonic_ns, group=SocketGroup.on(reactor, monotonic_ns)
        )
        kind = kind_named("websocket")
        values = values_of(kind, {"every": EVERY_S, "length": LENGTH_S}.items())
        (crowd,) = await Crowds(connector, Target.front(backend.port)).of([Group(kind, CLIENTS, values)])
        load = Load(
            reactor=reactor,
            clock_ns=monotonic_ns,
            sink=bus,
            connectors=[connector],
            prepared=crowd.prepared,  # type: ignore[arg-type]  # of no client at all
            expectation=from_numbered_backend,
            clients=0,
            timeout_s=5.0,
            crowds=[attrs.evolve(crowd, end=partial(Counted, values))],
        )
        bus.start(reactor)
        load.start()
        await deferLater(reactor, 1.5)  # by then all have begun
        before, began = sum(talk.messages for talk in talks), time.perf_counter()
        await deferLater(reactor, seconds)
        echoed = round((sum(talk.messages for talk in talks) - before) * seconds / (time.perf_counter() - began))
        if len(talks) != CLIENTS:
            msg = f"{len(talks)} sessions of {CLIENTS} clients: some have failed"
            raise BenchmarkError(msg)
        load.abort()
        load.close()
        await backend.stop()
        bus.stop()

    failed: list[object] = []
    reactor.callWhenRunning(
        lambda: Deferred.fromCoroutine(measure()).addErrback(failed.append).addBoth(lambda _none: reactor.stop())
    )
    reactor.run()
    if failed:
        msg = str(failed[0])
        raise BenchmarkError(msg)
    return echoed


def theirs(seconds: float) -> int:
    """Let clients of `websockets` talk to a server of it, likewise."""
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    echoed = 0

    async def echo(connection: Any) -> None:  # noqa: ANN401
        async for message in connection:
            await connection.send(message)

    async def talk(uri: str, until_s: float) -> None:
        nonlocal echoed
        async with connect(uri, compression=None) as connection:
            while time.perf_counter() < until_s:
                await connection.send(_MESSAGE)
                await connection.recv()
                echoed += 1

    async def measure() -> None:
        async with serve(echo, HOST, 0, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            until_s = time.perf_counter() + seconds
            await asyncio.gather(*(talk(f"ws://{HOST}:{port}/", until_s) for _client in range(CLIENTS)))

    asyncio.run(measure())
    return echoed


ENDS: Mapping[str, Callable[[float], int]] = {"proxyreload": ours, "websockets": theirs}


def report(rounds: int, seconds: int) -> Iterator[str]:
    """Measure, and give the lines of what came of it."""
    cores = Cores.choose()

    def measured(name: str, folder: Path) -> Measured:
        output = folder / "said"
        words = [sys.executable, "-m", "benchmarks.echoes", "--end", name, "--seconds", str(seconds)]
        run([pinned(words, cores.measured)], output, _LIMIT_S + seconds, {"PYTHONPATH": str(_CHECKOUT)})
        return Measured(int(output.read_text("ascii")), seconds)

    with temporary(), watched(cores) as others:
        contestants = [Contestant(name, partial(measured, name)) for name in ENDS]
        played = play(contestants, rounds, lambda line: print(line, file=sys.stderr, flush=True))
    for name, trouble in played.troubles.items():
        yield f"In some round no rate of {name}: {trouble}."
    rate, ratios = played.rate("proxyreload"), played.ratios("proxyreload", "websockets")
    if rate is not None and ratios:
        judged = "as many as" if rate >= AT_LEAST_PER_S else "FEWER than"
        yield f"{rate:,.0f} echoes/s on one core, {judged} the {AT_LEAST_PER_S:,} that are asked for; "
        yield f"beside websockets {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})."
    yield f"Meanwhile {others}."


def main() -> None:
    """Measure, or be one of those that are measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.echoes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (%(default)s)")
    parser.add_argument("--seconds", type=int, default=5, help="for how long each time (%(default)s)")
    parser.add_argument("--end", choices=ENDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.end is None:
        tell("echoes", report(arguments.rounds, arguments.seconds))
    else:
        print(ENDS[arguments.end](arguments.seconds))


if __name__ == "__main__":
    main()
