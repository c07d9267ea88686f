"""Varnish, changed by another VCL, or by what its backends are said to be.

https://varnish-cache.org/docs/7.1/reference/varnish-cli.html
"""

import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import attrs
from zope.interface import implementer

from proxyreload.errors import UsageError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import BACKEND, Configuration
from proxyreload.proxy.interfaces import TLS, Cure, IReloads, Mechanism, ProxyPlugin, carrying
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.rewritten import Rewritten
from proxyreload.proxy.upstream import Upstream
from proxyreload.sources.debian import Debian

#: The folder in the private one where Varnish has its VCLs, its memory, and the secret of its CLI.
FOLDER = "varnish"
#: The name that Varnish gives to what it is started with.
BOOT = "boot"
# Nothing is cached, so that each request reaches a backend. A WebSocket goes through a pipe, which hands on bytes.
CONFIG_FILE = "varnish.vcl"
VCL = """\
vcl 4.1;
import directors;
@@each backend@@
backend @@name@@ { .host = "@@host@@"; .port = "@@port@@"; }
@@end@@
sub vcl_init {
    new app = directors.round_robin();
    @@each backend@@
    app.add_backend(@@name@@);
    @@end@@
}
sub vcl_recv {
    set req.backend_hint = app.backend();
    if (req.http.Upgrade ~ "(?i)^websocket$") { return (pipe); }
    return (pass);
}
sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = req.http.Connection;
}
"""
BACKEND_HERE = attrs.evolve(
    BACKEND,
    remedy='@@each backend@@, backend @@name@@ { .host = "@@host@@"; .port = "@@port@@"; } and @@end@@, a line each',
    like=r"^\s*backend\s",
)
OWN = Configuration.of({CONFIG_FILE: VCL}, (), (BACKEND_HERE,))


def require_named(texts: Mapping[str, str]) -> None:
    """Raise `UsageError` for a VCL whose backends could not be told from one another."""
    if not any(re.search(r"\bbackend\s+@@name@@", text) for text in texts.values()):
        msg = "no backend is called @@name@@, which is what backend.set_health is told: backend @@name@@ { … }"
        raise UsageError(msg)


#: https://varnish-cache.org/docs/7.1/reference/varnishd.html#list-of-parameters
PARAMETERS = (
    *(
        "timeout_idle={idle}",
        "backend_idle_timeout={idle}",
        "first_byte_timeout={idle}",
        "between_bytes_timeout={idle}",
    ),
    *("pipe_timeout={idle}", "idle_send_timeout={idle}", "send_timeout={whole}", "connect_timeout=2"),
    "feature=+http2",
)


@implementer(IReloads)
@attrs.define
class Vcl(Rewritten):
    """``vcl.load`` compiles another VCL, ``vcl.use`` lets all requests that come have it; those under way keep theirs.

    https://varnish-cache.org/docs/7.1/users-guide/operation-cli.html
    """

    _active: str = attrs.field(default=BOOT, init=False)  #: the VCL that is used
    _numbers: "count[int]" = attrs.field(factory=count, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        self._upstreams = list(upstreams)
        self._write_config()
        self._child = self.workspace.spawn(*self._command(), environment=self.workspace.homes)
        await self.workspace.until_answering(self._child)

    async def reload(self) -> None:
        """Load the VCL, let it be used, and discard the one before when nothing uses that any more."""
        name, before = f"v{next(self._numbers)}", self._active
        await self._tell("vcl.load", name, str(self._file))
        await self._before_use(name)
        await self._tell("vcl.use", name)
        self._active = name
        await self._tell("vcl.discard", before)

    async def stop(self) -> None:
        """SIGTERM: Varnish knows no other end, and cuts off what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    async def _before_use(self, name: str) -> None:
        """Do what must be done to a VCL before it is used."""

    async def _tell(self, *words: str) -> str:
        """Give an order over the CLI; raises `ChangeError` with Varnish's own words if it refuses."""
        return await self.workspace.run(varnishadm(self.workspace.binary), "-n", self.workspace.path(FOLDER), *words)

    @property
    def _file(self) -> Path:
        return self.workspace.path(CONFIG_FILE)

    def _command(self) -> list[str | Path]:
        workspace = self.workspace
        words: list[str | Path] = [workspace.binary, "-F", "-j", "none", "-n", workspace.path(FOLDER)]
        words += ["-a", workspace.front, "-f", self._file, "-s", "default,16m", "-l", "4m"]
        for parameter in PARAMETERS:
            words += ["-p", parameter.format(idle=workspace.idle_timeout_s, whole=workspace.whole_timeout_s)]
        # Its modules are those beside it, PREFIX/sbin and PREFIX/lib, wherever that is.
        for modules in sorted(workspace.binary.resolve().parent.parent.glob("lib/*/varnish/vmods")):
            words += ["-p", f"vmod_path={modules}"]
        return words


@attrs.define
class Health(Vcl):
    """``backend.set_health``: a backend that is said to be sick gets nothing more, until it is said to be healthy.

    One that the VCL has never had comes with another VCL.
    """

    _removed: list[Upstream] = attrs.field(factory=list, init=False)

    async def add_backend(self, upstream: Upstream) -> None:
        """Say that it is healthy, or use a VCL that has it."""
        if upstream not in self._removed:
            await super().add_backend(upstream)
            return
        await self._say(upstream, "healthy")
        self._removed.remove(upstream)

    async def remove_backend(self, upstream: Upstream) -> None:
        """Say that it is sick."""
        await self._say(upstream, "sick")
        self._removed.append(upstream)

    async def _before_use(self, name: str) -> None:
        for upstream in self._removed:
            await self._say(upstream, "sick", name)

    async def _say(self, upstream: Upstream, health: str, vcl: str = "") -> None:
        await self._tell("backend.set_health", f"{vcl or self._active}.{upstream.name}", health)


class Restart(Restarting):
    """Stop Varnish and start it."""

    PROXY = Vcl


def varnishadm(program: Path) -> Path:
    """Return the program that gives orders, from that of ``varnishd``: of its own package, or on PATH."""
    beside = (each.parent / place for each in (program, program.resolve()) for place in ("../bin", "."))
    found = (folder.resolve() / "varnishadm" for folder in beside)
    return next((path for path in found if path.exists()), Path(shutil.which("varnishadm") or "varnishadm"))


CURE = Cure("varnish:vcl: another VCL", "https://varnish-cache.org/docs/7.1/users-guide/operation-cli.html")
CANNOT = {
    "upgrade": "a running varnishd does not become another program",
    TLS: "Varnish speaks no TLS: a proxy of its own stands before it for that, such as hitch",
}
CANNOT["rotate"] = CANNOT[TLS]
NO_GRPC = {"grpc": "Varnish speaks HTTP/1.1 to backends, which has no room for the trailers of a call"}

plugin = ProxyPlugin(
    name="varnish",
    binary=Binary(
        "varnishd",
        "your system's packages varnish and gcc, with which it compiles each VCL",
        ("-V",),
        sources=(Debian("varnish", "usr/sbin/varnishd"),),
    ),
    mechanisms=tuple(
        attrs.evolve(each, carries_not=NO_GRPC)
        for each in carrying(
            ("HTTP/2", "WebSocket"),
            Mechanism("vcl", "vcl.load and vcl.use: another VCL", Vcl, cannot=CANNOT, configuration=OWN),
            Mechanism(
                "health",
                "backend.set_health: a backend is said to be sick, or healthy",
                Health,
                cannot=CANNOT,
                configuration=attrs.evolve(OWN, names=require_named),
            ),
            Mechanism(
                "restart",
                "stop it and start it",
                Restart,
                CURE,
                {TLS: CANNOT[TLS], "rotate": CANNOT[TLS]},
                configuration=OWN,
            ),
        )
    ),
)
