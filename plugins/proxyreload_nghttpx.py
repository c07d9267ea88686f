"""nghttpx, changed over its API, by a reload, or by an upgrade of its program.

https://nghttp2.org/documentation/nghttpx.1.html
https://nghttp2.org/documentation/nghttpx-howto.html
"""

import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy import tree
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import BACKEND, Configuration, Mark, plain
from proxyreload.proxy.http import Admin
from proxyreload.proxy.interfaces import (
    Cure,
    IGenerations,
    IReloads,
    IRotates,
    IUpgrades,
    Mechanism,
    ProxyPlugin,
    carrying,
)
from proxyreload.proxy.recipe import Ask, Recipe
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.rewritten import Rewritten
from proxyreload.proxy.upstream import Upstream
from proxyreload.sources.debian import Debian
from proxyreload.traffic.grpc import SERVICE

#: The configuration, what it includes, which is also what the API is sent, and the API's socket.
CONFIG_FILE, BACKENDS_FILE, API = "nghttpx.conf", "backends.conf", "api.sock"
PIDS = "nghttpx.pid"
BACKENDS = "/api/v1beta1/backendconfig"
#: The link through which nghttpx is started: SIGUSR2 starts whatever that leads to then.
PROGRAM = "nghttpx"
#: What nghttpx logs when a reload has come to nothing, and when what it has started in its place has.
REFUSED, FAILED = "Failed to process new configuration", " FATAL "

# Time-outs are those between two bytes, or two requests: for a whole request there is none. Streams and uploads go
# through as they come. HTTP/2 and HTTP/1.1 are what a front that speaks TLS offers by itself.
CONFIG = """\
frontend=@@front-host@@,@@front-port@@@@if tls@@@@else@@;no-tls@@end@@
@@if tls@@
private-key-file=@@key@@
certificate-file=@@certificate@@
no-ocsp=yes
@@end@@
frontend=unix:@@api@@;api;no-tls
workers=2
pid-file=@@pid-file@@
frontend-keep-alive-timeout=@@timeout@@s
frontend-read-timeout=@@timeout@@s
frontend-write-timeout=@@timeout@@s
frontend-http2-read-timeout=@@timeout@@s
stream-write-timeout=@@timeout@@s
backend-keep-alive-timeout=@@timeout@@s
backend-read-timeout=@@timeout@@s
backend-write-timeout=@@timeout@@s
backend-connect-timeout=2s
include=@@backends@@
"""
#: Calls of gRPC go to the same backends over HTTP/2.
INCLUDED = f"""\
@@each backend@@
backend=@@host@@,@@port@@;/
@@end@@
@@each backend@@
backend=@@host@@,@@port@@;/{SERVICE.decode("ascii")}/;proto=h2
@@end@@
"""
FRONT_HERE = Mark(
    "front-port",
    "the port at which it listens",
    "frontend=@@front-host@@,@@front-port@@;no-tls",
    r"^\s*frontend\s*=(?!.*;api)",
)
BACKEND_HERE = attrs.evolve(
    BACKEND,
    remedy=f"in {BACKENDS_FILE} write @@each backend@@, backend=@@host@@,@@port@@;/ and @@end@@, a line each",
    like=r"^\s*backend\s*=",
    file=BACKENDS_FILE,
)
INCLUDE = Mark(
    "backends",
    f"the path of {BACKENDS_FILE}, which has the backends and nothing else",
    "include=@@backends@@, with every line backend= in that file",
    r"^\s*(backend|include)\s*=",
)
PID_FILE = Mark(
    "pid-file",
    "where the main process writes its pid, by which another one is found",
    "pid-file=@@pid-file@@",
    r"^\s*pid-file\s*=",
)
API_HERE = Mark("api", "the socket of the API", "frontend=unix:@@api@@;api;no-tls", r"^\s*frontend\s*=.*;api\b")
STARTED_ANEW = Configuration.of(
    {CONFIG_FILE: CONFIG, BACKENDS_FILE: INCLUDED},
    (FRONT_HERE, INCLUDE, PID_FILE, API_HERE),
    (FRONT_HERE, INCLUDE, BACKEND_HERE),
)
RELOADED = attrs.evolve(STARTED_ANEW, needs=(*STARTED_ANEW.needs, PID_FILE))
ASKED = attrs.evolve(RELOADED, needs=(*RELOADED.needs, API_HERE))


@implementer(IReloads, IUpgrades, IRotates, IGenerations)
@attrs.define
class Reload(Rewritten):
    """SIGHUP: another worker process with the new configuration; the old one finishes what it has.

    A connection that rests stays with the old one for one more answer, which says ``Connection: close``.
    """

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground, through a link."""
        workspace = self.workspace
        self._upstreams = list(upstreams)
        link = workspace.link(PROGRAM, workspace.binary)
        self._write_config()
        self._child = workspace.spawn(link, f"--conf={workspace.folder / CONFIG_FILE}")
        await workspace.until_answering(self._child)

    async def reload(self) -> None:
        """Send SIGHUP; in effect when another worker process listens, and none of before."""
        assert self._child is not None  # noqa: S101
        main, said = self._child.pid, self.workspace.said_from_now()
        before = set(tree.children(main))
        self._child.signal(signal.SIGHUP)

        async def replaced() -> bool:
            self._refuse_if(REFUSED, said())
            listening = self.workspace.listening(tree.children(main))
            return bool(listening) and not listening & before

        await self.workspace.until(replaced, "every old worker process has stopped listening")

    async def upgrade(self, binary: Path) -> None:
        """SIGUSR2: what the link leads to is started, inherits the sockets, and tells the old main process to finish.

        In effect when the new one has written its pid and its worker process listens, and none of the old one's.
        """
        workspace, old = self.workspace, self._child
        assert old is not None  # noqa: S101
        link = workspace.link(PROGRAM, binary)
        workers, said = set(tree.children(old.pid)), workspace.said_from_now()

        async def taken_over() -> bool:
            self._refuse_if(FAILED, said())
            pid = self._pid()
            return pid not in (0, old.pid) and bool(tree.children(pid)) and not self.workspace.listening(workers)

        try:
            await workspace.run(link, "--version")  # the main process does not tell when what it has started ends
            old.signal(signal.SIGUSR2)
            await workspace.until(taken_over, "another main process has taken over")
            child = workspace.adopt(self._pid(), PROGRAM)
        except ChangeError:
            workspace.link(PROGRAM, workspace.binary)
            raise
        workspace.retire(old)
        self._child, workspace.binary = child, binary

    async def old_processes(self) -> set[int]:
        """Return the worker processes that listen no more: they finish what they have."""
        assert self._child is not None  # noqa: S101
        workers = set(tree.children(self._child.pid))
        return workers - self.workspace.listening(workers)

    async def stop(self) -> None:
        """SIGQUIT: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGQUIT)

    def _marks(self) -> Mapping[str, object]:
        return marks(f"{self.workspace.folder}/")

    def _refuse_if(self, words: str, said: Sequence[str]) -> None:
        """Raise `ChangeError` if these words are among what nghttpx has said."""
        if any(words in line for line in said):
            raise ChangeError("\n".join(line for line in said if " ERROR " in line or " FATAL " in line))

    def _pid(self) -> int:
        """Return the pid that nghttpx has written down, 0 if it has none there, or not yet all of it."""
        with suppress(FileNotFoundError, ValueError):
            return int(self.workspace.path(PIDS).read_text(encoding="ascii"))
        return 0


@attrs.define
class Api(Reload):
    """``PUT`` of all backends to nghttpx's API, which is a front of its own, at a Unix socket.

    What rests of the connections to all backends is closed, those of the clients are not.

    https://nghttp2.org/documentation/nghttpx.1.html#post-api-v1beta1-backendconfig
    """

    async def _apply(self) -> None:
        admin = Admin(self.workspace.reactor, socket=self.workspace.path(API))
        await admin.put_text(BACKENDS, self.workspace.path(BACKENDS_FILE).read_text(encoding="utf-8"))


class Restart(Restarting):
    """Stop nghttpx and start it."""

    PROXY = Reload


def marks(folder: str) -> Mapping[str, object]:
    """Return the values of the marks that are nghttpx's own, for paths that begin with this."""
    return {"api": f"{folder}{API}", "pid_file": f"{folder}{PIDS}", "backends": f"{folder}{BACKENDS_FILE}"}


def asked(_before: Sequence[Upstream], _after: Sequence[Upstream]) -> Sequence[Ask]:
    """Return what `Api` asks for."""
    return [Ask(API, "PUT", BACKENDS, file=BACKENDS_FILE)]


def recipe(configuration: Configuration) -> Recipe:
    """Return how a change is made without this plugin: in the folder that nghttpx is started in."""
    here = {name.replace("_", "-"): value for name, value in marks("./").items()}
    made = plain(configuration, lambda _upstreams: here)
    return Recipe("nghttpx", ("--version",), (f"--conf={CONFIG_FILE}",), made)


#: What is asked over a connection that rested is answered by the old worker process, from the backends of before.
CURE = Cure(
    "the API, which replaces no process, as in nghttpx:api",
    "https://nghttp2.org/documentation/nghttpx.1.html#post-api-v1beta1-backendconfig",
)

CANNOT = {"edit": "every route of nghttpx leads to a backend"}

#: Beyond HTTP/1.1.
CARRIES = ("HTTP/2", "gRPC", "WebSocket")

plugin = ProxyPlugin(
    name="nghttpx",
    binary=Binary(
        "nghttpx",
        how_to_get="your system's package nghttp2-proxy",
        sources=(Debian("nghttp2-proxy", "usr/sbin/nghttpx"),),
    ),
    mechanisms=carrying(
        CARRIES,
        Mechanism(
            "api",
            "the API: PUT of all backends",
            Api,
            cannot=CANNOT,
            recipe=attrs.evolve(recipe(ASKED), steps=asked),
            configuration=ASKED,
        ),
        Mechanism(
            "reload",
            "SIGHUP: another worker process",
            Reload,
            CURE,
            CANNOT,
            recipe=attrs.evolve(recipe(RELOADED), signal="SIGHUP"),
            configuration=RELOADED,
        ),
        Mechanism(
            "restart",
            "stop it and start it",
            Restart,
            CURE,
            recipe=attrs.evolve(recipe(STARTED_ANEW), stop="SIGQUIT"),
            configuration=STARTED_ANEW,
        ),
    ),
)
