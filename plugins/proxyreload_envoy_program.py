"""An Envoy that runs from a configuration file: what all ways to change one share."""

import signal
from collections.abc import Sequence
from pathlib import Path

import attrs

from proxyreload.errors import ChangeError
from proxyreload.proxy.http import Admin
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.system.child import ChildProcess

LOGGING = ("--log-level", "warning", "--log-format", "%l: %v")


@attrs.define
class Envoy:
    """One Envoy; a mechanism says where its hosts come from and how they are changed."""

    workspace: Workspace
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        self._upstreams = list(upstreams)
        self._child = self._spawn()
        await self.workspace.until_answering(self._child)

    async def add_backend(self, upstream: Upstream) -> None:
        """Name it among the hosts."""
        await self._change([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Name it no more: its connections end with the requests that they carry."""
        await self._change([each for each in self._upstreams if each != upstream])

    async def edit(self) -> None:
        """Have a route more, or another one."""
        try:
            await self._change(self._upstreams)
        except ChangeError:
            self.workspace.edits.put_back()
            raise

    async def stop(self) -> None:
        """SIGTERM; Envoy drops what is under way at that, but the clients have gone before."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    def _spawn(self) -> ChildProcess:
        raise NotImplementedError

    async def _change(self, upstreams: list[Upstream]) -> None:
        raise NotImplementedError

    def _program(self, upstreams: Sequence[Upstream], admin: str, **marks: object) -> list[str | Path]:
        """Write the configuration, and return the command line of an Envoy that runs from it.

        Its admin interface is at the socket `admin` in the folder; `marks` is what else is filled in.

        https://www.envoyproxy.io/docs/envoy/latest/operations/cli
        """
        config = self.workspace.configure(upstreams, admin=self.workspace.path(admin), **marks)
        return [self.workspace.binary, "--config-path", config, *LOGGING]


def admin_of(workspace: Workspace, name: str) -> Admin:
    """Return the admin interface of the Envoy that has it at the socket `name` in the folder."""
    return Admin(workspace.reactor, socket=workspace.path(name))
