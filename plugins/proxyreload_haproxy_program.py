"""HAProxy as a process that runs from a configuration file: what all its mechanisms share.

https://docs.haproxy.org/2.8/management.html
"""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs

from proxyreload.errors import ChangeError
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.system.child import ChildProcess

# HAProxy runs in the workspace's folder, so file names are enough.
CONFIG_FILE, SOCKET = "haproxy.cfg", "api.sock"
ARGUMENTS = ("-db", "-f", CONFIG_FILE)
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
    bind {front}{tls}{edited}
    use_backend calls if {{ req.hdr(content-type) -m beg application/grpc }}
    default_backend app

backend app
    balance roundrobin
    http-reuse always
    default-server {pool}
{servers}

# Calls of gRPC go to the same servers over HTTP/2.
backend calls
    balance roundrobin
    http-reuse always
    default-server {pool} proto h2
{servers}
"""

REDIRECT = "\n    http-request redirect location {to} code 302 if {{ path {path} }}"

# By default HAProxy opens a backend connection for each new client and purges what is idle every five seconds. With
# these the pool is as large as it must be and stays, so that what a change closes stands out.
POOL = "pool-max-conn 100 pool-purge-delay 10m"


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

    async def stop(self) -> None:
        """SIGUSR1: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGUSR1)

    def _program(self) -> list[str | Path]:
        return [self.workspace.binary, *ARGUMENTS]

    def _write_config(self, servers: dict[str, str]) -> None:
        self._servers = servers
        workspace = self.workspace
        more = {"tls": _tls(workspace), "edited": self._edited()}
        config = configuration(workspace.front, workspace.idle_timeout_s, servers, self.OPTIONS, **more)
        workspace.write(CONFIG_FILE, config)

    def _edited(self) -> str:
        """Return what the frontend does with the edited route."""
        route = self.workspace.route
        return "" if route is None else REDIRECT.format(path=route.path, to=route.to)

    async def _ask(self, command: str, socket: str = SOCKET) -> str:
        return (await self.workspace.ask(self.workspace.path(socket), command)).strip()

    async def _command(self, command: str, expected: str = "") -> None:
        """Send one command; HAProxy answers success with an empty line, or with `expected`."""
        said = await self._ask(command)
        if expected not in said or (said and not expected):
            raise ChangeError(said)


def configuration(front: str, timeout_s: int, servers: Mapping[str, str], options: str, **more: str) -> str:
    """Return the text of the configuration, for servers' addresses by their names; ``bind`` goes on with `tls`."""
    more = {"tls": "", "edited": "", **more}
    lines = "\n".join(f"    server {name} {address}" for name, address in servers.items())
    return CONFIG.format(front=front, timeout=f"{timeout_s}s", options=options, pool=POOL, servers=lines, **more)


def certificate_name(workspace: Workspace) -> str:
    """Return what HAProxy calls the certificate: the file as its configuration names it, which has the key as well."""
    assert workspace.tls is not None  # noqa: S101
    return str(workspace.tls.both.relative_to(workspace.folder))


def _tls(workspace: Workspace) -> str:
    if workspace.tls is None:
        return ""
    return f" ssl crt {certificate_name(workspace)} alpn {','.join(workspace.tls.protocols)}"
