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
from proxyreload.proxy.http import Admin
from proxyreload.proxy.interfaces import Cure, IGenerations, IReloads, IRotates, Mechanism, ProxyPlugin
from proxyreload.proxy.ports import free_port
from proxyreload.proxy.recipe import Recipe
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.rewritten import Rewritten
from proxyreload.proxy.upstream import Upstream
from proxyreload.sources.debian import Debian
from proxyreload_httpd_config import (
    CALLS,
    CONFIG_FILE,
    EVENT,
    MODULES,
    NEEDED,
    PREFORK,
    SCHEMES,
    WEBSOCKET,
    WORKER,
    balanced,
    balancers,
    configuration,
    is_root,
    modules,
    speaking,
)

# The manager is where the front is: for another virtual host httpd keeps the balancers a second time, and some children
# never hear of a member that is added there (BalancerInherit). Any user of the host reaches the front: so the path is
# drawn for each run. To a front that speaks TLS a port leads that does not.
SECRET_BYTES = 16
MANAGED_BY = ["<Location {path}>", "    SetHandler balancer-manager", "</Location>", "ProxyPass {path} !"]
ASKED_IN_THE_CLEAR = """\
Listen {admin}
<VirtualHost {admin}>
    SSLProxyEngine on
    SSLProxyCheckPeerName off
    ProxyPass {path} https://{front}{path}
</VirtualHost>
"""
#: How many backends a balancer has room for that are added to it: they are disabled then, and never deleted.
GROWTH = 100
#: In what the manager tells: the address of a balancer's member with its scheme, and its status.
MEMBER = re.compile(
    r"<httpd:worker>.*?<httpd:name>([^<]*)</httpd:name>.*?<httpd:status>([^<]*)</httpd:status>", re.DOTALL
)
DISABLED = "Dis"

#: The folder of the map, and its name there.
MAPS, MAP_FILE = "maps", "app.txt"


@implementer(IReloads, IRotates, IGenerations)
@attrs.define
class Graceful(Rewritten):
    """SIGUSR1: httpd reads its configuration again and starts new children, while the old ones finish what they have.

    Those of ``mpm_event`` close at once the connections that rest.
    """

    MPM: ClassVar[str] = "event"
    CHILDREN: ClassVar[str] = EVENT
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

    def _routes(self) -> tuple[str, list[str]]:
        """Return what stands before the front, and what in it."""
        return balanced(self._upstreams, self.workspace.speaks)

    def _write_config(self) -> None:
        workspace, tls = self.workspace, self.workspace.tls
        before, lines = self._routes()
        loaded = [f"mpm_{self.MPM}", *NEEDED, *speaking(workspace.speaks)]
        if tls is not None:
            loaded.append("ssl")
            lines += ["SSLEngine on", f"SSLCertificateFile {tls.certificate}", f"SSLCertificateKeyFile {tls.key}"]
        if self.MPM != "prefork" and ("h2" in tls.protocols if tls is not None else "HTTP/2" in workspace.speaks):
            loaded.append("http2")
            lines.append(f"Protocols {'h2' if tls is not None else 'h2c'} http/1.1")
        how = {"folder": str(workspace.folder), "modules": str(modules(workspace.binary))}
        text = configuration(workspace.front, workspace.idle_timeout_s, self.CHILDREN, loaded, before, lines, **how)
        workspace.write(CONFIG_FILE, text, secret=True)


@attrs.define
class GracefulWorker(Graceful):
    """As `Graceful`, but ``mpm_worker`` keeps what rests for another request, whose answer announces the end.

    https://httpd.apache.org/docs/2.4/mod/worker.html
    """

    MPM: ClassVar[str] = "worker"
    CHILDREN: ClassVar[str] = WORKER


@attrs.define
class GracefulPrefork(Graceful):
    """As `GracefulWorker`, with a process for each connection.

    https://httpd.apache.org/docs/2.4/mod/prefork.html
    """

    MPM: ClassVar[str] = "prefork"
    CHILDREN: ClassVar[str] = PREFORK


@attrs.define
class Hard(GracefulPrefork):
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
        known = await self._members()
        for balancer, worker in self._workers(upstream).items():
            if worker not in known:
                await self._ask(balancer, b_nwrkr=worker, b_wyes="1")  # it is disabled then
        await self._switch(upstream, disabled=False)
        self._upstreams = [*self._upstreams, upstream]

    async def remove_backend(self, upstream: Upstream) -> None:
        """Disable it: it gets nothing new."""
        await self._switch(upstream, disabled=True)
        self._upstreams = [each for each in self._upstreams if each != upstream]

    async def reload(self) -> None:
        """Reload what the balancers have by now: httpd forgets what it was told."""
        self._write_config()
        await super().reload()

    async def _switch(self, upstream: Upstream, *, disabled: bool) -> None:
        workers = self._workers(upstream)
        for balancer, worker in workers.items():
            await self._ask(balancer, w=worker, w_status_D=str(int(disabled)))
        told = await self._members()
        wrong = [worker for worker in workers.values() if worker not in told or (DISABLED in told[worker]) != disabled]
        if wrong:
            msg = f"the balancer-manager tells of {wrong[0]}: {told.get(wrong[0], 'nothing')}"
            raise ChangeError(msg)

    def _workers(self, upstream: Upstream) -> Mapping[str, str]:
        return {name: f"{SCHEMES[name]}://{upstream.address}" for name in balancers(self.workspace.speaks)}

    async def _members(self) -> Mapping[str, str]:
        """Return the status of each balancer's members, by their addresses."""
        return dict(MEMBER.findall(await self._admin.text(f"{self._path}?xml=1")))

    async def _ask(self, balancer: str, **fields: str) -> None:
        await self._admin.submit(self._path, {"b": balancer, "nonce": self._secret, **fields})

    def _routes(self) -> tuple[str, list[str]]:
        settings = f"    ProxySet growth={GROWTH} nonce={self._secret}\n"
        before, lines = balanced(self._upstreams, self.workspace.speaks, settings)
        manager = [line.format(path=self._path) for line in MANAGED_BY]
        in_the_clear = ""
        if self.workspace.tls is not None:
            how = {"admin": self._address, "path": self._path, "front": self.workspace.front}
            in_the_clear = ASKED_IN_THE_CLEAR.format(**how)
        return f"BalancerInherit off\n{in_the_clear}", [*before.splitlines(), *manager, *lines]


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

    async def reload(self) -> None:
        """Reload, with what is in the map by now named."""
        self._write_config()
        await super().reload()

    def _write_map(self, upstreams: list[Upstream]) -> None:
        addresses = "|".join(upstream.address for upstream in upstreams)
        self.workspace.write(f"{MAPS}/{MAP_FILE}", f"app {addresses}\n" if addresses else "")
        self._upstreams = upstreams

    def _write_config(self) -> None:
        self._write_map(self._upstreams)
        super()._write_config()

    @property
    def _folder(self) -> Path:
        return self.workspace.path(MAPS)

    def _routes(self) -> tuple[str, list[str]]:
        # Root's children are nobody's, who may not enter the folder above: they are in that of the map already.
        folder = "/proc/self/cwd" if is_root() else self.workspace.path(MAPS)
        lines = ["RewriteEngine On", f"RewriteMap app rnd:{folder}/{MAP_FILE}"]
        if "WebSocket" in self.workspace.speaks:
            lines += [WEBSOCKET, "RewriteRule ^/(.*) ws://${app:app}/$1 [P,L]"]
        if "gRPC" in self.workspace.speaks:
            lines.append(f"RewriteRule ^{CALLS}(.*) h2c://${{app:app}}{CALLS}$1 [P,L]")
        # Only to backends that are named httpd keeps connections for another request.
        named = "".join(
            f"<Proxy http://{each.address}>\n    ProxySet enablereuse=on\n</Proxy>\n" for each in self._upstreams
        )
        return named, [*lines, "RewriteRule ^/(.*) http://${app:app}/$1 [P,L]"]


class Restart(Restarting):
    """Stop httpd and start it."""

    PROXY = Graceful


def recipe(mechanism: type[Graceful]) -> Recipe:
    """Return how a change is made without this plugin: in the folder that httpd is started in."""

    def configured(front: str, timeout_s: int, upstreams: Sequence[Upstream]) -> Mapping[str, str]:
        loaded, (before, lines) = [f"mpm_{mechanism.MPM}", *NEEDED], balanced(upstreams, ())
        how = {"folder": ".", "modules": str(MODULES)}
        return {CONFIG_FILE: configuration(front, timeout_s, mechanism.CHILDREN, loaded, before, lines, **how)}

    return Recipe("apache2", ("-v",), ("-d", ".", "-f", CONFIG_FILE, "-D", "FOREGROUND"), configured)


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
            "manager", "the balancer-manager: members are added, and disabled", Manager, None, CANNOT, carries=CARRIES
        ),
        Mechanism("map", "a RewriteMap that each request looks a backend up in", Map, None, CANNOT, carries=CARRIES),
        Mechanism(
            "graceful",
            "SIGUSR1 with mpm_event, the default",
            Graceful,
            KEPT,
            CANNOT,
            carries=CARRIES,
            recipe=attrs.evolve(recipe(Graceful), signal="SIGUSR1"),
        ),
        Mechanism(
            "graceful-worker",
            "SIGUSR1 with mpm_worker",
            GracefulWorker,
            MANAGED,
            CANNOT,
            carries=CARRIES,
            recipe=attrs.evolve(recipe(GracefulWorker), signal="SIGUSR1"),
        ),
        Mechanism(
            "graceful-prefork",
            "SIGUSR1 with mpm_prefork",
            GracefulPrefork,
            MANAGED,
            CANNOT,
            carries=("WebSocket",),
            carries_not={"h2": NO_HTTP2, "grpc": NO_HTTP2},
            recipe=attrs.evolve(recipe(GracefulPrefork), signal="SIGUSR1"),
        ),
        Mechanism(
            "hard",
            "SIGHUP with mpm_prefork: children are ended at once",
            Hard,
            MANAGED,
            CANNOT,
            carries=("WebSocket",),
            carries_not={"h2": NO_HTTP2, "grpc": NO_HTTP2},
            recipe=attrs.evolve(recipe(Hard), signal="SIGHUP"),
        ),
        Mechanism(
            "restart",
            "stop it and start it",
            Restart,
            MANAGED,
            carries=CARRIES,
            recipe=attrs.evolve(recipe(Graceful), stop="SIGWINCH"),
        ),
    ),
)
