"""lighttpd, changed by a graceful restart of itself, or of its program while a child goes on.

https://redmine.lighttpd.net/projects/lighttpd/wiki/Docs_ConfigurationOptions
https://redmine.lighttpd.net/projects/lighttpd/wiki/Server_feature-flagsDetails
https://redmine.lighttpd.net/projects/lighttpd/wiki/Docs_ModProxy
"""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError, UsageError
from proxyreload.proxy import tree
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import BACKEND, Configuration, Mark, plain
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
#: Where it logs.
STDERR = "/dev/stderr"

# Streams and uploads go through as they come (2): by default lighttpd keeps them until they are whole. HTTP/2 in the
# clear is what newer ones speak only where they are told to.
CONFIG = """\
server.document-root = "@@folder@@/"
server.upload-dirs = ("@@folder@@/")
server.bind = "@@front-host@@"
server.port = @@front-port@@
server.errorlog = "@@log@@"
server.modules = ("mod_redirect", @@if tls@@"mod_openssl", @@end@@"mod_proxy")
server.feature-flags = ("server.h2proto" => "enable", "server.h2c" => "enable")
server.stream-request-body = 2
server.stream-response-body = 2
server.max-read-idle = @@timeout@@
server.max-write-idle = @@timeout@@
server.max-keep-alive-idle = @@timeout@@
server.max-keep-alive-requests = 65535
@@if tls@@
ssl.engine = "enable"
ssl.pemfile = "@@certificate-and-key@@"
@@end@@
@@if edit@@
$HTTP["url"] == "@@edited@@" {
    url.redirect-code = 302
    url.redirect = ("" => "@@leads-to@@")
}
@@end@@
proxy.header = ("upgrade" => "enable")
proxy.balance = "round-robin"
proxy.server = ("" => (
    @@each backend@@
    ("host" => "@@host@@", "port" => @@port@@, "connect-timeout" => 2, "read-timeout" => @@timeout@@, \
"write-timeout" => @@timeout@@),
    @@end@@
))
"""
#: What lets a child go on, and hands the socket to the program that is started.
BACKGROUND = ("server.graceful-restart-bg", "server.systemd-socket-activation")
FLAGS = '"server.h2c" => "enable"'
FRONT_HERE = Mark(
    "front-port",
    "the port at which it listens",
    'server.port = @@front-port@@ and server.bind = "@@front-host@@"',
    r"^\s*server\.(port|bind)\b",
)
BACKEND_HERE = attrs.evolve(
    BACKEND,
    remedy='@@each backend@@, ("host" => "@@host@@", "port" => @@port@@), and @@end@@, a line each',
    like=r"^\s*proxy\.server\b",
)
LOG = Mark(
    "log",
    "where it says that it has started again, which is waited for",
    'server.errorlog = "@@log@@"',
    r"^\s*server\.errorlog\b",
)
EDITED_HERE = Mark(
    "edited",
    "the path of an unrelated route, for --change edit",
    '@@if edit@@, $HTTP["url"] == "@@edited@@" { url.redirect-code = 302, url.redirect = ("" => "@@leads-to@@") } and '
    "@@end@@, a line each",
    r"^\s*proxy\.server\b",
)
OWN = Configuration.of({CONFIG_FILE: CONFIG}, (FRONT_HERE, LOG), (FRONT_HERE, BACKEND_HERE, LOG), edits=EDITED_HERE)
STARTED_ANEW = attrs.evolve(OWN, needs=(FRONT_HERE, BACKEND_HERE))


def in_background() -> Configuration:
    """Return the configuration of one whose child goes on meanwhile."""
    flags = ", ".join([FLAGS, *(f'"{flag}" => "enable"' for flag in BACKGROUND)])
    made = Configuration.of({CONFIG_FILE: CONFIG.replace(FLAGS, flags)}, OWN.marks, OWN.needs, edits=EDITED_HERE)
    return attrs.evolve(made, names=require_background)


def require_background(texts: Mapping[str, str]) -> None:
    """Raise `UsageError` for a configuration with which no child would go on, or the socket would be lost."""
    for flag in BACKGROUND:
        if not any(flag in text for text in texts.values()):
            msg = f'no {flag} in it, without which no child goes on: put "{flag}" => "enable" in server.feature-flags'
            raise UsageError(msg)


@implementer(IReloads, IRotates, IEdits)
@attrs.define
class Reload(Rewritten):
    """SIGUSR1: it accepts no more, finishes what it has, at most for eight seconds, and reads its configuration again.

    Connections that rest are closed at once.
    """

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

    def _marks(self) -> Mapping[str, object]:
        return {"log": STDERR}


@implementer(IUpgrades, IGenerations)
@attrs.define
class ReloadBackground(Reload):
    """SIGUSR1, and a child goes on with what there is, while the process itself starts its program anew.

    The program that was started then tells the child to finish. A child that has not run since it was made, as on a
    busy machine, takes that for the second time that it is told so, and cuts everything.

    lighttpd 1.4.56 and later: the flag ``server.graceful-restart-bg``.
    """

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


def recipe(configuration: Configuration) -> Recipe:
    """Return how a change is made without this plugin: in the folder that lighttpd is started in."""
    made = plain(configuration, lambda _upstreams: {"log": STDERR})
    return Recipe("lighttpd", ("-v",), ("-D", "-f", CONFIG_FILE), made)


BEHIND = in_background()
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
            recipe=attrs.evolve(recipe(OWN), signal="SIGUSR1"),
            configuration=OWN,
        ),
        Mechanism(
            "reload-bg",
            "SIGUSR1 with server.graceful-restart-bg: a child finishes what there is meanwhile",
            ReloadBackground,
            carries_not=CARRIES_NOT,
            recipe=attrs.evolve(recipe(BEHIND), signal="SIGUSR1"),
            configuration=BEHIND,
        ),
        Mechanism(
            "restart",
            "stop it and start it",
            Restart,
            carries_not=CARRIES_NOT,
            recipe=attrs.evolve(recipe(STARTED_ANEW), stop="SIGINT"),
            configuration=STARTED_ANEW,
        ),
    ),
)
