"""A relay that delays both directions, for bytes, FIN and RST alike.

`python -m benchmarks.relay PORT TO_PORT ONE_WAY_S`.

Whoever connects is let in at once, and the connection behind it is opened when the SYN would be there.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress

from benchmarks.processes import HOST


class Side(asyncio.Protocol):
    """One of a relay's two connections."""

    def __init__(self, one_way_s: float) -> None:
        self.other: Side
        self._loop = asyncio.get_running_loop()
        self._one_way_s = one_way_s
        self._transport: asyncio.Transport | None = None
        self._early: list[Callable[[asyncio.Transport], object]] = []  # what is for a connection that is being opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        for what in self._early:
            what(transport)

    def data_received(self, data: bytes) -> None:
        self._later(lambda transport: transport.write(data))

    def eof_received(self) -> bool:
        self._later(_write_eof)
        return True  # what comes the other way is written still

    def connection_lost(self, exc: Exception | None) -> None:
        self._later(lambda transport: transport.abort() if exc else transport.close())

    def _later(self, what: Callable[[asyncio.Transport], object]) -> None:
        self._loop.call_later(self._one_way_s, self.other.does, what)

    def does(self, what: Callable[[asyncio.Transport], object]) -> None:
        """Do to this connection what was done to the other."""
        if self._transport is None:
            self._early.append(what)
        elif not self._transport.is_closing():
            what(self._transport)


def _write_eof(transport: asyncio.Transport) -> None:
    with suppress(OSError):  # it was reset meanwhile
        transport.write_eof()


async def relay(port: int, to_port: int, one_way_s: float) -> None:
    """Relay until the process is ended."""
    loop = asyncio.get_running_loop()
    opening: set[asyncio.Task[None]] = set()

    def pair() -> Side:
        near, far = Side(one_way_s), Side(one_way_s)
        near.other, far.other = far, near

        async def connect() -> None:
            await asyncio.sleep(one_way_s)
            try:
                await loop.create_connection(lambda: far, HOST, to_port)
            except OSError as error:
                far.connection_lost(error)

        task = loop.create_task(connect())
        opening.add(task)
        task.add_done_callback(opening.discard)
        return near

    server = await loop.create_server(pair, HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
