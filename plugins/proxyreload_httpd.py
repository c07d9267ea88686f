"""Apache httpd, changed by its balancer-manager, by a map that it looks backends up in, or by a graceful restart.

https://httpd.apache.org/docs/2.4/stopping.html
https://httpd.apache.org/docs/2.4/mod/mod_proxy_balancer.html
https://httpd.apache.org/docs/2.4/rewrite/rewritemap.html
"""

import re
import secrets
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy import tree
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import Configuration, plain
from proxyreload.proxy.http import Admin
from proxyreload.proxy.interfaces import Cure, IGenerations, IReloads, IRotates, Mechanism, ProxyPlugin
from proxyreload.proxy.ports import free_port
from proxyreload.proxy.recipe import Recipe
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.rewritten import Rewritten
from proxyreload.proxy.upstream import Upstream
from proxyreload.sources.debian import Debian
from proxyreload_httpd_config import (
    CONFIG_FILE,
    EVENT,
    MAP_FILE,
    MAPS,
    MODULES,
    PREFORK,
    WORKER,
    balancers,
    is_root,
    managed,
    mapped,
    modules,
    restarted,
)

SECRET_BYTES = 16
#: How many backends a balancer has room for that are added to it: they are disabled then, and never deleted.
GROWTH = 100
#: In what the manager tells: a balancer's name, which it is told without the scheme.
SCHEME = "balancer://"
BALANCER = re.compile(r"<httpd:balancer>.*?<httpd:name>([^<]*)</httpd:name>", re.DOTALL)
#: In what the manager tells: the address of a balancer's member with its scheme, and its status.
MEMBER = re.compile(
    r"<httpd:worker>.*?<httpd:name>([^<]*)</httpd:name>.*?<httpd:status>([^<]*)</httpd:status>", re.DOTALL
)
DISABLED = "Dis"


@implementer(IReloads, IRotates, IGenerations)
@attrs.define
class Graceful(Rewritten):
    """SIGUSR1: httpd reads its configuration again and starts new children, while the old ones finish what they have.

    Those of ``mpm_event`` close at once the connections that rest; ``mpm_worker`` keeps what rests for another request,
    whose answer announces the end, and so does ``mpm_prefork``, with a process for each connection.

    https://httpd.apache.org/docs/2.4/mod/worker.html
    https://httpd.apache.org/docs/2.4/mod/prefork.html
    """

    SIGNAL: ClassVar[signal.Signals] = signal.SIGUSR1
    _old: set[int] = attrs.field(factory=set, init=False)  #: children that were told to finish

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        self._upstreams = list(upstreams)
        self._write_config()
        self._child = self.workspace.spawn(*self._command(), folder=self._folder)
        await self.workspace.until_answering(self._child)

    async def reload(self) -> None:
        """Check the configuration, for httpd ends at a wrong one, and signal; in effect when no old child listens."""
        assert self._child is not None  # noqa: S101
        await self.workspace.run(*self._command(), "-t", folder=self._folder)
        parent = self._child.pid
        self._old = set(tree.children(parent))
        self._child.signal(self.SIGNAL)

        async def replaced() -> bool:
            listen = self.workspace.listening(tree.children(parent))
            return bool(listen) and not listen & self._old

        await self.workspace.until(replaced, "new children listen, and no old one")

    async def old_processes(self) -> set[int]:
        """Return the children that were told to finish, and have not."""
        assert self._child is not None  # noqa: S101
        self._old &= set(tree.children(self._child.pid))
        return set(self._old)

    async def stop(self) -> None:
        """SIGWINCH: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGWINCH)

    def _command(self) -> list[str | Path]:
        folder = self.workspace.folder
        return [self.workspace.binary, "-d", folder, "-f", folder / CONFIG_FILE, "-D", "FOREGROUND"]

    @property
    def _folder(self) -> Path:
        return self.workspace.folder

    def _marks(self) -> Mapping[str, object]:
        workspace = self.workspace
        return {"modules": modules(workspace.binary), "websocket": "WebSocket" in workspace.speaks}


@attrs.define
class Hard(Graceful):
    """SIGHUP: httpd ends its children at once and starts new ones with the new configuration.

    Those with threads wait for what these have under way, and httpd nine seconds for them, while nobody accepts.
    """

    SIGNAL: ClassVar[signal.Signals] = signal.SIGHUP


@attrs.define
class Manager(Graceful):
    """Forms of the balancer-manager: a balancer's members are in memory that all children share.

    The manager answers 200 to whatever it ignores: in effect when it tells the status of all members so.

    https://httpd.apache.org/docs/2.4/mod/mod_proxy_balancer.html#balancer_manager
    """

    _secret: str = attrs.field(init=False, factory=lambda: secrets.token_hex(SECRET_BYTES))
    _admin: Admin = attrs.field(init=False)
    _address: str = attrs.field(init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        workspace = self.workspace
        front = f"{'http' if workspace.tls is None else 'https'}://{workspace.front}"
        self._address = workspace.front if workspace.tls is None else f"127.0.0.1:{free_port('127.0.0.1')}"
        headers = {"Referer": f"{front}{self._path}"}  # else it ignores what it is told
        self._admin = Admin(workspace.reactor, f"http://{self._address}", headers=headers)
        await super().start(upstreams)

    @property
    def _path(self) -> str:
        return f"/{self._secret}"

    async def add_backend(self, upstream: Upstream) -> None:
        """Add it to each balancer that has never had it, and enable it."""
        told = await self._told()
        workers = self._workers(upstream, told)
        for balancer, worker in workers.items():
            if worker not in members(told):
                await self._ask(balancer, b_nwrkr=worker, b_wyes="1")  # it is disabled then
        await self._switch(workers, disabled=False)
        self._upstreams = [*self._upstreams, upstream]

    async def remove_backend(self, upstream: Upstream) -> None:
        """Disable it: it gets nothing new."""
        await self._switch(self._workers(upstream, await self._told()), disabled=True)
        self._upstreams = [each for each in self._upstreams if each != upstream]

    async def reload(self) -> None:
        """Reload what the balancers have by now: httpd forgets what it was told."""
        self._write_config()
        await super().reload()

    async def _switch(self, workers: Mapping[str, str], *, disabled: bool) -> None:
        for balancer, worker in workers.items():
            await self._ask(balancer, w=worker, w_status_D=str(int(disabled)))
        told = members(await self._told())
        wrong = [worker for worker in workers.values() if worker not in told or (DISABLED in told[worker]) != disabled]
        if wrong:
            msg = f"the balancer-manager tells of {wrong[0]}: {told.get(wrong[0], 'nothing')}"
            raise ChangeError(msg)

    def _workers(self, upstream: Upstream, told: str) -> Mapping[str, str]:
        """Return what a backend is to each balancer that httpd has and the configuration gives all backends."""
        schemes = balancers(self.workspace.configuration.texts)
        workers = {name: f"{schemes[name]}://{upstream.address}" for name in BALANCER.findall(told) if name in schemes}
        if not workers:
            msg = f"the balancer-manager tells of no balancer that has the backends: {', '.join(schemes)}"
            raise ChangeError(msg)
        return workers

    async def _told(self) -> str:
        return await self._admin.text(f"{self._path}?xml=1")

    async def _ask(self, balancer: str, **fields: str) -> None:
        await self._admin.submit(self._path, {"b": balancer.removeprefix(SCHEME), "nonce": self._secret, **fields})

    def _marks(self) -> Mapping[str, object]:
        own = {"manager": self._path, "nonce": self._secret, "growth": GROWTH, "asked": self._address}
        return {**super()._marks(), **own}


@attrs.define
class Map(Graceful):
    """A map that httpd draws a backend from for each request; it is read again when the file has another time.

    https://httpd.apache.org/docs/2.4/rewrite/rewritemap.html#rnd
    """

    async def add_backend(self, upstream: Upstream) -> None:
        """Write a map that has it: httpd looks at the file's time for each request, and tells nobody what it read."""
        self._write_map([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Write a map that has it not, likewise."""
        self._write_map([each for each in self._upstreams if each != upstream])

    def _write_map(self, upstreams: list[Upstream]) -> None:
        """Write all; what names the backends besides is read when httpd reloads."""
        self._upstreams = upstreams
        self._write_config()

    @property
    def _folder(self) -> Path:
        return self.workspace.path(MAPS)

    def _marks(self) -> Mapping[str, object]:
        # Root's children are nobody's, who may not enter the folder above: they are in that of the map already.
        folder = "/proc/self/cwd" if is_root() else self.workspace.path(MAPS)
        return {**super()._marks(), "map": f"{folder}/{MAP_FILE}"}


def members(told: str) -> Mapping[str, str]:
    """Return the status of each balancer's members, by their addresses, of what the manager tells."""
    return dict(MEMBER.findall(told))


class Restart(Restarting):
    """Stop httpd and start it."""

    PROXY = Graceful


def recipe(configuration: Configuration) -> Recipe:
    """Return how a change is made without this plugin: in the folder that httpd is started in."""
    made = plain(configuration, lambda _upstreams: {"modules": MODULES})
    return Recipe("apache2", ("-v",), ("-d", ".", "-f", CONFIG_FILE, "-D", "FOREGROUND"), made)


#: By process model.
WITH_EVENT, WITH_WORKER, WITH_PREFORK = (
    restarted("event", EVENT),
    restarted("worker", WORKER),
    restarted("prefork", PREFORK),
)
LINK = "https://httpd.apache.org/docs/2.4/mod/mod_proxy_balancer.html#balancer_manager"
MANAGED = Cure("httpd:manager, the balancer-manager, which no child is told of", LINK)
KEPT = attrs.evolve(MANAGED, advice=f"{MANAGED.advice}; or mpm_worker, as in httpd:graceful-worker")
CANNOT = {"upgrade": "a running httpd does not become another program: its parent is the one that was started"}
CARRIES = ("HTTP/2", "gRPC", "WebSocket")  #: beyond HTTP/1.1
NO_HTTP2 = "mod_http2 does not work with mpm_prefork (https://httpd.apache.org/docs/2.4/howto/http2.html#mpm-config)"

plugin = ProxyPlugin(
    name="httpd",
    binary=Binary(
        "apache2",
        how_to_get="your system's package apache2-bin",
        version_args=("-v",),
        sources=(Debian("apache2-bin", "usr/sbin/apache2"),),
    ),
    mechanisms=(
        Mechanism(
            "manager",
            "the balancer-manager: members are added, and disabled",
            Manager,
            None,
            CANNOT,
            carries=CARRIES,
            configuration=managed(),
        ),
        Mechanism(
            "map",
            "a RewriteMap that each request looks a backend up in",
            Map,
            None,
            CANNOT,
            carries=CARRIES,
            configuration=mapped(),
        ),
        Mechanism(
            "graceful",
            "SIGUSR1 with mpm_event, the default",
            Graceful,
            KEPT,
            CANNOT,
            carries=CARRIES,
            recipe=attrs.evolve(recipe(WITH_EVENT), signal="SIGUSR1"),
            configuration=WITH_EVENT,
        ),
        Mechanism(
            "graceful-worker",
            "SIGUSR1 with mpm_worker",
            Graceful,
            MANAGED,
            CANNOT,
            carries=CARRIES,
            recipe=attrs.evolve(recipe(WITH_WORKER), signal="SIGUSR1"),
            configuration=WITH_WORKER,
        ),
        Mechanism(
            "graceful-prefork",
            "SIGUSR1 with mpm_prefork",
            Graceful,
            MANAGED,
            CANNOT,
            carries=("WebSocket",),
            carries_not={"h2": NO_HTTP2, "grpc": NO_HTTP2},
            recipe=attrs.evolve(recipe(WITH_PREFORK), signal="SIGUSR1"),
            configuration=WITH_PREFORK,
        ),
        Mechanism(
            "hard",
            "SIGHUP with mpm_prefork: children are ended at once",
            Hard,
            MANAGED,
            CANNOT,
            carries=("WebSocket",),
            carries_not={"h2": NO_HTTP2, "grpc": NO_HTTP2},
            recipe=attrs.evolve(recipe(WITH_PREFORK), signal="SIGHUP"),
            configuration=WITH_PREFORK,
        ),
        Mechanism(
            "restart",
            "stop it and start it",
            Restart,
            MANAGED,
            carries=CARRIES,
            recipe=attrs.evolve(recipe(WITH_EVENT), stop="SIGWINCH"),
            configuration=WITH_EVENT,
        ),
    ),
)
