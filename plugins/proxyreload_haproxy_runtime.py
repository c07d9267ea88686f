"""HAProxy, changed over its runtime API: no connection of a client is touched.

https://docs.haproxy.org/2.8/management.html#9.3
"""

from collections.abc import Sequence

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy.interfaces import IReloads, IUpgrades
from proxyreload.proxy.upstream import Upstream
from proxyreload_haproxy_program import POOL, HAProxy

#: The columns of ``show servers conn`` with the address, the port and the connections in use.
ADDRESS_COLUMNS, USED_COLUMN = slice(2, 4), 6

#: How many backends can be added to those of the start with `Slots`, and what stands in a slot that is free.
SPARE_SLOTS, FREE = 8, "127.0.0.1:1 disabled"


@attrs.define
class Draining(HAProxy):
    """What both mechanisms share."""

    async def _connections(self, server: str) -> list[str]:
        """Return the columns of ``show servers conn`` for a server."""
        rows = map(str.split, (await self._ask("show servers conn app")).splitlines())
        return {row[0]: row for row in rows}[server]

    async def _drain(self, server: str) -> None:
        """Drain, wait until no connection is in use, then maintenance, which purges what is idle at that instant."""
        await self._command(f"set server {server} state drain")

        async def unused() -> bool:
            return (await self._connections(server))[USED_COLUMN] == "0"

        await self.workspace.until(unused, f"no connection of {server} in use")
        await self._command(f"set server {server} state maint")


@implementer(IReloads, IUpgrades)
@attrs.define
class Runtime(Draining):
    """Servers are added and deleted in the running process; no connection of a client is touched.

    https://docs.haproxy.org/2.8/management.html#9.3-add%20server
    """

    async def add_backend(self, upstream: Upstream) -> None:
        """``add server``; it is added in maintenance, so ``enable server``."""
        await self._command(f"add server app/{upstream.name} {upstream.address} {POOL}", "registered")
        await self._command(f"enable server app/{upstream.name}")
        self._write_config({**self._servers, upstream.name: upstream.address})  # or a reload would lose it

    async def remove_backend(self, upstream: Upstream) -> None:
        """Drain it, then ``del server``, which refuses for seconds if any connection is left."""
        server = f"app/{upstream.name}"
        await self._drain(server)

        async def deleted() -> bool:
            said = await self._ask(f"del server {server}")
            if "still has" not in said and "deleted" not in said.lower():
                raise ChangeError(said)
            return "deleted" in said.lower()

        await self.workspace.until(deleted, f"{server} deleted")
        self._write_config({name: self._servers[name] for name in self._servers if name != upstream.name})


@implementer(IReloads, IUpgrades)
@attrs.define
class Slots(Draining):
    """Servers that stand ready without an address, in maintenance, are given one: what was done before ``add server``.

    https://docs.haproxy.org/2.8/management.html#9.3-set%20server
    """

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start with a slot for each of them, and spare ones."""
        addresses = [*(upstream.address for upstream in upstreams), *[FREE] * SPARE_SLOTS]
        await self._start({f"slot{index}": address for index, address in enumerate(addresses)})

    async def add_backend(self, upstream: Upstream) -> None:
        """``set server addr`` of a free slot, then ``state ready``."""
        slot = self._slot(FREE)
        said = await self._ask(f"set server app/{slot} addr {upstream.host} port {upstream.port}")
        if (await self._connections(f"app/{slot}"))[ADDRESS_COLUMNS] != [upstream.host, str(upstream.port)]:
            raise ChangeError(said)
        await self._command(f"set server app/{slot} state ready")
        self._write_config({**self._servers, slot: upstream.address})

    async def remove_backend(self, upstream: Upstream) -> None:
        """Drain it and leave it in maintenance: a free slot."""
        slot = self._slot(upstream.address)
        await self._drain(f"app/{slot}")
        self._write_config({**self._servers, slot: FREE})

    def _slot(self, address: str) -> str:
        slot = next((slot for slot, holds in self._servers.items() if holds == address), None)
        if slot is None:
            msg = f"none of the {len(self._servers)} slots has {address}"
            raise ChangeError(msg)
        return slot
