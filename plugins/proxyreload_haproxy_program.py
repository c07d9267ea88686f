"""HAProxy as a process that runs from a configuration file: what all its mechanisms share.

https://docs.haproxy.org/2.8/management.html
"""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs

from proxyreload.errors import ChangeError
from proxyreload.proxy.configuration import BACKEND, FRONT, Configuration, Mark
from proxyreload.proxy.refusal import refused
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.system.child import ChildProcess

# HAProxy runs in the workspace's folder, so file names are enough.
CONFIG_FILE, SOCKET = "haproxy.cfg", "api.sock"
ARGUMENTS = ("-db", "-f", CONFIG_FILE)
# By default HAProxy opens a backend connection for each new client and purges what is idle every five seconds. With
# these the pool is as large as it must be and stays, so that what a change closes stands out.
POOL = "pool-max-conn 100 pool-purge-delay 10m"
CONFIG = f"""\
global
    maxconn 2000
    nbthread 2
    stats socket @@admin@@ mode 600 level admin expose-fd listeners
    hard-stop-after 30s

defaults
    mode http
    timeout connect 2s
    timeout client @@timeout@@s
    timeout server @@timeout@@s
    timeout http-request @@timeout@@s
    timeout http-keep-alive @@timeout@@s
    timeout tunnel @@timeout@@s

frontend front
    bind @@front@@@@if tls@@ ssl crt @@certificate-and-key@@ alpn @@each protocol@@@@name@@@@between@@,@@end@@@@end@@
    @@if edit@@
    http-request redirect location @@leads-to@@ code 302 if {{ path @@edited@@ }}
    @@end@@
    use_backend calls if {{ req.hdr(content-type) -m beg application/grpc }}
    default_backend app

backend app
    balance roundrobin
    http-reuse always
    default-server {POOL}
    @@each backend@@
    server @@name@@ @@address@@
    @@end@@

# Calls of gRPC go to the same servers over HTTP/2.
backend calls
    balance roundrobin
    http-reuse always
    default-server {POOL} proto h2
    @@each backend@@
    server @@name@@ @@address@@
    @@end@@
"""
#: The last line of the section ``defaults``, behind which a mechanism has its options.
DEFAULTS = "    timeout tunnel @@timeout@@s\n"

FRONT_HERE = attrs.evolve(FRONT, remedy="bind @@front@@", like=r"^\s*bind\s")
BACKEND_HERE = attrs.evolve(
    BACKEND,
    remedy="write @@each backend@@, server @@name@@ @@address@@, and @@end@@, a line each",
    like=r"^\s*server\s",
)
ADMIN = Mark(
    "admin",
    "the socket of the runtime API, without which nobody is told that a new process is in charge",
    "stats socket @@admin@@ mode 600 level admin expose-fd listeners, in the section global",
    r"^\s*stats\s+socket\s",
)

EDITED_HERE = Mark(
    "edited",
    "the path of an unrelated route, for --change edit",
    "@@if edit@@, http-request redirect location @@leads-to@@ if { path @@edited@@ }, and @@end@@, a line each",
    r"^\s*(use_backend|default_backend)\s",
)


def configured(
    *options: str, needs: Sequence[Mark] = (ADMIN,), edits: Mark = EDITED_HERE, text: str = CONFIG
) -> Configuration:
    """Return the configuration of a mechanism that has more `options` in the section ``defaults``."""
    text = text.replace(DEFAULTS, DEFAULTS + "".join(f"    option {option}\n" for option in options))
    return Configuration.of({CONFIG_FILE: text}, (ADMIN,), (FRONT_HERE, BACKEND_HERE, *needs), edits=edits)


@attrs.define
class HAProxy:
    """A HAProxy that runs from a configuration file: what all mechanisms share.

    To reload, a new process takes the listening sockets over; the old one finishes what it has and closes what is idle.

    https://docs.haproxy.org/2.8/management.html#4
    """

    FINISH: ClassVar[str] = "-sf"  #: how the old process is told to go
    TAKE_OVER: ClassVar[Sequence[str]] = ("-x", SOCKET)  #: how the new one gets the listening sockets
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

        command = [*self._program(), *self.TAKE_OVER, self.FINISH, str(self._child.pid)]
        self._child = await self.workspace.replace(self._child, command, in_charge)

    async def upgrade(self, binary: Path) -> None:
        """Reload, with another program for the new process."""
        before, self.workspace.binary = self.workspace.binary, binary
        try:
            await self.reload()
        except ChangeError:
            self.workspace.binary = before
            raise

    async def rotate(self) -> None:
        """Reload: the new process reads the certificate."""
        await self.reload()

    async def edit(self) -> None:
        """Reload, with a redirect more in the frontend, or another one."""
        self._write_config(self._servers)
        try:
            await self.reload()
        except ChangeError:
            self.workspace.edits.put_back()  # or the next change would bring it along
            self._write_config(self._servers)
            raise

    async def why_refused(self) -> str | None:
        """``-c``, of the configuration that it was to start with; what it tells besides is not said again."""
        words = await refused(self.workspace, *self._program(), "-c", told=10)
        return "\n".join(line for line in words.splitlines() if "[NOTICE]" not in line)

    async def stop(self) -> None:
        """SIGUSR1: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGUSR1)

    def _program(self) -> list[str | Path]:
        return [self.workspace.binary, *ARGUMENTS]

    def _write_config(self, servers: dict[str, str]) -> None:
        self._servers = servers
        self.workspace.configure((), **self._marked(servers))

    def _marked(self, servers: Mapping[str, str]) -> dict[str, object]:
        """Return what the marks of the configuration stand for."""
        return marked(servers)

    async def _ask(self, command: str, socket: str = SOCKET) -> str:
        return (await self.workspace.ask(self.workspace.path(socket), command)).strip()

    async def _command(self, command: str, expected: str = "") -> None:
        """Send one command; HAProxy answers success with an empty line, or with `expected`."""
        said = await self._ask(command)
        if expected not in said or (said and not expected):
            raise ChangeError(said)


def marked(servers: Mapping[str, str]) -> dict[str, object]:
    """Return what the marks stand for, for servers' addresses by their names."""
    backends = [{"name": name, "address": address} for name, address in servers.items()]
    return {"admin": f"unix@{SOCKET}", "backend": backends}


def certificate_name(workspace: Workspace) -> str:
    """Return what HAProxy calls the certificate: the file as its configuration names it, which has the key as well."""
    assert workspace.tls is not None  # noqa: S101
    return str(workspace.tls.both)
