"""Any proxy, run by somebody else and changed by commands that the user gives.

A command is run by ``/bin/sh -c`` where proxyreload was started; the change is applied when it exits with 0. What it is
about stands in its environment:

- ``PROXYRELOAD_ACTION``: ``add``, ``remove``, ``reload``, ``upgrade``, ``rotate`` or ``edit``
- ``PROXYRELOAD_BACKENDS``: the addresses that shall be behind the proxy afterwards, a space between two
- ``PROXYRELOAD_BACKEND``, ``_NAME``, ``_HOST``, ``_PORT``, ``_ADDRESS``: what is
  added or removed: its number, a name for it, where it listens
"""

from collections.abc import Sequence
from pathlib import Path

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError, StartError
from proxyreload.proxy.interfaces import IEdits, IReloads, IRotates, IUpgrades, Mechanism, ProxyPlugin
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import START_TIMEOUT_S, Workspace
from proxyreload.system.waiting import until


@implementer(IReloads, IUpgrades, IRotates, IEdits)
@attrs.define
class Command:
    """A proxy that is there already."""

    workspace: Workspace
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Wait until it answers: it may be started after the backends are."""
        self._upstreams = list(upstreams)
        workspace = self.workspace
        if not await until(workspace.reactor, workspace.answers, START_TIMEOUT_S, interval_s=0.02):
            addresses = ", ".join(upstream.address for upstream in upstreams)
            msg = f"no proxy on {workspace.front} answers from a backend ({addresses}) within {START_TIMEOUT_S:g} s"
            raise StartError(msg)

    async def add_backend(self, upstream: Upstream) -> None:
        """Run ``--add-command``."""
        await self._run("add", [*self._upstreams, upstream], upstream)

    async def remove_backend(self, upstream: Upstream) -> None:
        """Run ``--remove-command``."""
        await self._run("remove", [each for each in self._upstreams if each != upstream], upstream)

    async def reload(self) -> None:
        """Run ``--reload-command``."""
        await self._run("reload", self._upstreams)

    async def upgrade(self, binary: Path) -> None:  # noqa: ARG002
        """Run ``--upgrade-command``, which knows the program."""
        await self._run("upgrade", self._upstreams)

    async def rotate(self) -> None:
        """Run ``--rotate-command``, which has another certificate, and puts it in place."""
        await self._run("rotate", self._upstreams)

    async def edit(self) -> None:
        """Run ``--edit-command``, which edits what the traffic has nothing to do with."""
        await self._run("edit", self._upstreams)

    async def stop(self) -> None:
        """Leave it as it is."""

    async def _run(self, action: str, upstreams: list[Upstream], about: Upstream | None = None) -> None:
        environment = {
            "PROXYRELOAD_ACTION": action,
            "PROXYRELOAD_BACKENDS": " ".join(upstream.address for upstream in upstreams),
        }
        if about is not None:
            environment |= {
                "PROXYRELOAD_BACKEND": str(about.instance),
                "PROXYRELOAD_NAME": about.name,
                "PROXYRELOAD_HOST": about.host,
                "PROXYRELOAD_PORT": str(about.port),
                "PROXYRELOAD_ADDRESS": about.address,
            }
        command = self.workspace.commands[action]
        try:
            await self.workspace.run("/bin/sh", "-c", command, environment=environment, folder=Path.cwd())
        except ChangeError as error:
            msg = f"--{action}-command: {error}"
            raise ChangeError(msg) from error
        self._upstreams = upstreams


plugin = ProxyPlugin(
    name="external",
    binary=None,
    mechanisms=(
        Mechanism(
            "command",
            "--add-command, --remove-command, --reload-command, --upgrade-command, --rotate-command, --edit-command",
            Command,
            commanded=True,
        ),
    ),
)
