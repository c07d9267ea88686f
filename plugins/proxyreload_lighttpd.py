"""lighttpd, changed by a graceful restart of itself, or of its program while a child goes on.

https://redmine.lighttpd.net/projects/lighttpd/wiki/Docs_ConfigurationOptions
https://redmine.lighttpd.net/projects/lighttpd/wiki/Server_feature-flagsDetails
https://redmine.lighttpd.net/projects/lighttpd/wiki/Docs_ModProxy
"""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy import tree
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import (
    IEdits,
    IGenerations,
    IReloads,
    IRotates,
    IUpgrades,
    Mechanism,
    ProxyPlugin,
    carrying,
)
from proxyreload.proxy.recipe import Recipe
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.rewritten import Rewritten
from proxyreload.proxy.upstream import Upstream
from proxyreload.sources.debian import Debian

CONFIG_FILE = "lighttpd.conf"
#: The links through which lighttpd is started, and finds its modules: it starts itself anew with the same words.
PROGRAM, MODULES = "lighttpd", "modules"
#: What it logs when it serves with what it has read.
STARTED = "server started"

# Streams and uploads go through as they come (2): by default lighttpd keeps them until they are whole.
CONFIG = """\
server.document-root = "{folder}/"
server.upload-dirs = ("{folder}/")
server.bind = "{host}"
server.port = {port}
server.modules = ({modules})
server.feature-flags = ({flags})
server.stream-request-body = 2
server.stream-response-body = 2
server.max-read-idle = {timeout}
server.max-write-idle = {timeout}
server.max-keep-alive-idle = {timeout}
server.max-keep-alive-requests = 65535
{tls}{edited}proxy.header = ("upgrade" => "enable")
proxy.balance = "round-robin"
proxy.server = ("" => (
{servers}
))
"""
SERVER = (
    '    ("host" => "{host}", "port" => {port}, "connect-timeout" => 2, "read-timeout" => {timeout},'
    ' "write-timeout" => {timeout}),'
)
TLS = """\
ssl.engine = "enable"
ssl.pemfile = "{both}"
"""
#: The route of an edit.
EDITED = """\
$HTTP["url"] == "{path}" {{
    url.redirect-code = 302
    url.redirect = ("" => "{to}")
}}
"""
#: HTTP/2 in the clear is what newer ones speak only where they are told to.
HTTP2: Mapping[str, str] = {"server.h2proto": "enable", "server.h2c": "enable"}


@implementer(IReloads, IRotates, IEdits)
@attrs.define
class Reload(Rewritten):
    """SIGUSR1: it accepts no more, finishes what it has, at most for eight seconds, and reads its configuration again.

    Connections that rest are closed at once.
    """

    FLAGS: ClassVar[Mapping[str, str]] = HTTP2

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground, through a link."""
        self._upstreams = list(upstreams)
        self._write_config()
        self._lead_to(self.workspace.binary)
        self._child = self.workspace.spawn(*self._command())
        await self.workspace.until_answering(self._child)

    async def reload(self) -> None:
        """Check the configuration, of which lighttpd would die, and send SIGUSR1; in effect when it says so."""
        assert self._child is not None  # noqa: S101
        await self.workspace.run(*self._command(), "-tt")
        said = self.workspace.said_from_now()
        self._child.signal(signal.SIGUSR1)

        async def started() -> bool:
            return any(STARTED in line for line in said())

        await self.workspace.until(started, "lighttpd says that it has started again")

    async def stop(self) -> None:
        """SIGINT: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGINT)

    def _lead_to(self, binary: Path) -> None:
        """Let the links lead to a program, and to its modules, where these are beside it: PREFIX/sbin, PREFIX/lib."""
        self.workspace.link(PROGRAM, binary)
        self.workspace.link(MODULES, binary.resolve().parent.parent / "lib" / "lighttpd")

    def _command(self) -> list[str | Path]:
        workspace = self.workspace
        words: list[str | Path] = [workspace.path(PROGRAM), "-D", "-f", workspace.path(CONFIG_FILE)]
        return [*words, "-m", workspace.path(MODULES)] if workspace.path(MODULES).exists() else words

    def _write_config(self) -> None:
        workspace = self.workspace
        tls = "" if workspace.tls is None else TLS.format(both=workspace.tls.both)
        route = workspace.route
        edited = "" if route is None else EDITED.format(path=route.path, to=route.to)
        how = {"folder": str(workspace.folder), "flags": _flags(self.FLAGS), "tls": tls, "edited": edited}
        text = _configuration(workspace.front, workspace.idle_timeout_s, self._upstreams, **how)
        workspace.write(CONFIG_FILE, text)


@implementer(IUpgrades, IGenerations)
@attrs.define
class ReloadBackground(Reload):
    """SIGUSR1, and a child goes on with what there is, while the process itself starts its program anew.

    The program that was started then tells the child to finish. A child that has not run since it was made, as on a
    busy machine, takes that for the second time that it is told so, and cuts everything.

    lighttpd 1.4.56 and later: the flag ``server.graceful-restart-bg``.
    """

    FLAGS: ClassVar[Mapping[str, str]] = {
        **HTTP2,
        "server.graceful-restart-bg": "enable",
        "server.systemd-socket-activation": "enable",  # by which the program that is started gets the socket
    }

    async def upgrade(self, binary: Path) -> None:
        """Let the links lead to the other program, and reload."""
        self._lead_to(binary)
        try:
            await self.reload()
        except ChangeError:
            self._lead_to(self.workspace.binary)
            raise
        self.workspace.binary = binary

    async def old_processes(self) -> set[int]:
        """Return the children that finish what they have: up to eight seconds, then it is cut."""
        assert self._child is not None  # noqa: S101
        return set(tree.children(self._child.pid))


class Restart(Restarting):
    """Stop lighttpd and start it."""

    PROXY = Reload


def _flags(flags: Mapping[str, str]) -> str:
    return ", ".join(f'"{name}" => "{value}"' for name, value in flags.items())


def _configuration(front: str, timeout_s: int, upstreams: Sequence[Upstream], **how: str) -> str:
    """Return the text of the configuration."""
    host, _, port = front.rpartition(":")
    servers = "\n".join(SERVER.format(host=each.host, port=each.port, timeout=timeout_s) for each in upstreams)
    modules = '"mod_redirect", "mod_openssl", "mod_proxy"' if how["tls"] else '"mod_redirect", "mod_proxy"'
    return CONFIG.format(**how, host=host, port=port, timeout=timeout_s, servers=servers, modules=modules)


def recipe(mechanism: type[Reload]) -> Recipe:
    """Return how a change is made without this plugin: in the folder that lighttpd is started in."""

    def configured(front: str, timeout_s: int, upstreams: Sequence[Upstream]) -> Mapping[str, str]:
        how = {"folder": ".", "flags": _flags(mechanism.FLAGS), "tls": "", "edited": ""}
        return {CONFIG_FILE: _configuration(front, timeout_s, upstreams, **how)}

    return Recipe("lighttpd", ("-v",), ("-D", "-f", CONFIG_FILE), configured)


CARRIES = ("HTTP/2", "WebSocket")
CARRIES_NOT = {"grpc": "mod_proxy speaks no HTTP/2 to the backends"}

plugin = ProxyPlugin(
    name="lighttpd",
    binary=Binary(
        "lighttpd",
        how_to_get="your system's packages lighttpd and lighttpd-mod-openssl",
        version_args=("-v",),
        sources=(Debian("lighttpd", "usr/sbin/lighttpd", more=("lighttpd-mod-openssl",)),),
    ),
    mechanisms=carrying(
        CARRIES,
        Mechanism(
            "reload",
            "SIGUSR1: it finishes what there is, accepts nothing meanwhile, and reads its configuration",
            Reload,
            carries_not=CARRIES_NOT,
            cannot={
                "upgrade": "a lighttpd that runs reads its file anew, and not its program; lighttpd:reload-bg does"
            },
            recipe=attrs.evolve(recipe(Reload), signal="SIGUSR1"),
        ),
        Mechanism(
            "reload-bg",
            "SIGUSR1 with server.graceful-restart-bg: a child finishes what there is meanwhile",
            ReloadBackground,
            carries_not=CARRIES_NOT,
            recipe=attrs.evolve(recipe(ReloadBackground), signal="SIGUSR1"),
        ),
        Mechanism(
            "restart",
            "stop it and start it",
            Restart,
            carries_not=CARRIES_NOT,
            recipe=attrs.evolve(recipe(Reload), stop="SIGINT"),
        ),
    ),
)
