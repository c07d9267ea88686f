"""treq over Twisted's own `Agent`: URL CONNECTIONS SECONDS; prints requests and seconds as JSON."""

import json
import sys
import time
from typing import cast

import attrs
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react
from twisted.web.client import Agent, HTTPConnectionPool


@attrs.define
class Count:
    """What all coroutines have done together."""

    until: float
    requests: int = 0


async def get_again_and_again(reactor: IReactorTime, url: str, count: Count) -> None:
    """One client: a pool with one connection, nothing retried."""
    pool = HTTPConnectionPool(reactor, persistent=True)
    pool.maxPersistentPerHost = 1
    pool.retryAutomatically = False
    client = HTTPClient(Agent(reactor, pool=pool))
    while time.perf_counter() < count.until:
        response = await client.get(url)
        await response.content()
        if response.code != 200:  # noqa: PLR2004
            msg = f"status {response.code}"
            raise RuntimeError(msg)
        count.requests += 1
    await cast("Deferred[None]", pool.closeCachedConnections())


async def main(reactor: IReactorTime, url: str, connections: str, seconds: str) -> None:
    """Run all clients, and print what they did."""
    began = time.perf_counter()
    count = Count(began + float(seconds))
    clients = [get_again_and_again(reactor, url, count) for _ in range(int(connections))]
    await gatherResults([Deferred.fromCoroutine(client) for client in clients], consumeErrors=True)
    print(json.dumps({"requests": count.requests, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    react(lambda *arguments: Deferred.fromCoroutine(main(*arguments)), sys.argv[1:])
