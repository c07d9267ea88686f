"""nghttpx, changed over its API, by a reload, or by an upgrade of its program.

https://nghttp2.org/documentation/nghttpx.1.html
https://nghttp2.org/documentation/nghttpx-howto.html
"""

import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy import tree
from proxyreload.proxy.binary import Binary
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
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.sources.debian import Debian
from proxyreload.system.child import ChildProcess
from proxyreload.traffic.grpc import SERVICE

if TYPE_CHECKING:
    from proxyreload.proxy.authority import FrontCertificate

#: The configuration, what it includes, which is also what the API is sent, and the API's socket.
CONFIG_FILE, BACKENDS_FILE, API = "nghttpx.conf", "backends.conf", "api.sock"
BACKENDS = "/api/v1beta1/backendconfig"
#: The link through which nghttpx is started: SIGUSR2 starts whatever that leads to then.
PROGRAM = "nghttpx"
#: What nghttpx logs when a reload has come to nothing, and when what it has started in its place has.
REFUSED, FAILED = "Failed to process new configuration", " FATAL "

# Time-outs are those between two bytes, or two requests: for a whole request there is none. Streams and uploads go
# through as they come.
CONFIG = """\
frontend={front}{secured}
frontend=unix:{folder}/api.sock;api;no-tls
workers=2
pid-file={folder}/nghttpx.pid
frontend-keep-alive-timeout={timeout}
frontend-read-timeout={timeout}
frontend-write-timeout={timeout}
frontend-http2-read-timeout={timeout}
stream-write-timeout={timeout}
backend-keep-alive-timeout={timeout}
backend-read-timeout={timeout}
backend-write-timeout={timeout}
backend-connect-timeout=2s
include={folder}/backends.conf
"""


@implementer(IReloads, IUpgrades, IRotates, IGenerations)
@attrs.define
class Reload:
    """SIGHUP: another worker process with the new configuration; the old one finishes what it has.

    A connection that rests stays with the old one for one more answer, which says ``Connection: close``.
    """

    workspace: Workspace
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground, through a link."""
        workspace = self.workspace
        self._upstreams = list(upstreams)
        link = workspace.link(PROGRAM, workspace.binary)
        for name, text in _configuration(workspace.front, workspace.idle_timeout_s, upstreams, workspace).items():
            workspace.write(name, text)
        self._child = workspace.spawn(link, f"--conf={workspace.folder / CONFIG_FILE}")
        await workspace.until_answering(self._child)

    async def add_backend(self, upstream: Upstream) -> None:
        """Add it to what is included, and apply that."""
        await self._change([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Take it out of what is included, and apply that."""
        await self._change([each for each in self._upstreams if each != upstream])

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

    async def rotate(self) -> None:
        """Reload: with the configuration the certificate is read."""
        await self.reload()

    async def old_processes(self) -> set[int]:
        """Return the worker processes that listen no more: they finish what they have."""
        assert self._child is not None  # noqa: S101
        workers = set(tree.children(self._child.pid))
        return workers - self.workspace.listening(workers)

    async def stop(self) -> None:
        """SIGQUIT: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGQUIT)

    async def _change(self, upstreams: list[Upstream]) -> None:
        self.workspace.write(BACKENDS_FILE, _backends(upstreams))
        try:
            await self._apply()
        except ChangeError:
            self.workspace.write(BACKENDS_FILE, _backends(self._upstreams))  # or a reload would bring this one along
            raise
        self._upstreams = upstreams

    async def _apply(self) -> None:
        await self.reload()

    def _refuse_if(self, words: str, said: Sequence[str]) -> None:
        """Raise `ChangeError` if these words are among what nghttpx has said."""
        if any(words in line for line in said):
            raise ChangeError("\n".join(line for line in said if " ERROR " in line or " FATAL " in line))

    def _pid(self) -> int:
        """Return the pid that nghttpx has written down, 0 if it has none there, or not yet all of it."""
        with suppress(FileNotFoundError, ValueError):
            return int(self.workspace.path("nghttpx.pid").read_text(encoding="ascii"))
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


def _backends(upstreams: Sequence[Upstream]) -> str:
    """Return what is included; calls of gRPC go to the same backends over HTTP/2."""
    calls = f"/{SERVICE.decode('ascii')}/"
    lines = [f"backend={each.host},{each.port};/\n" for each in upstreams]
    return "".join(lines + [f"backend={each.host},{each.port};{calls};proto=h2\n" for each in upstreams])


def _configuration(
    front: str, timeout_s: int, upstreams: Sequence[Upstream], workspace: Workspace | None = None
) -> Mapping[str, str]:
    """Return the texts of the files, which are in a `workspace` or in the folder that nghttpx is started in."""
    tls = None if workspace is None else workspace.tls
    how = {
        "front": front.replace(":", ","),
        "secured": ";no-tls" if tls is None else _tls(tls),
        "folder": "." if workspace is None else str(workspace.folder),
        "timeout": f"{timeout_s}s",
    }
    return {CONFIG_FILE: CONFIG.format(**how), BACKENDS_FILE: _backends(upstreams)}


def _tls(tls: "FrontCertificate") -> str:
    """Return what the front's line goes on with; HTTP/2 and HTTP/1.1 are what it offers by itself."""
    return f"\nprivate-key-file={tls.key}\ncertificate-file={tls.certificate}\nno-ocsp=yes"


def asked(_before: Sequence[Upstream], _after: Sequence[Upstream]) -> Sequence[Ask]:
    """Return what `Api` asks for."""
    return [Ask(API, "PUT", BACKENDS, file=BACKENDS_FILE)]


RECIPE = Recipe("nghttpx", ("--version",), (f"--conf={CONFIG_FILE}",), _configuration)

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
        Mechanism("api", "the API: PUT of all backends", Api, cannot=CANNOT, recipe=attrs.evolve(RECIPE, steps=asked)),
        Mechanism(
            "reload",
            "SIGHUP: another worker process",
            Reload,
            CURE,
            CANNOT,
            recipe=attrs.evolve(RECIPE, signal="SIGHUP"),
        ),
        Mechanism("restart", "stop it and start it", Restart, CURE, recipe=attrs.evolve(RECIPE, stop="SIGQUIT")),
    ),
)
