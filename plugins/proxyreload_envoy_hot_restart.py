"""Envoy's hot restart: the next epoch, with the changed configuration or another program, takes over.

https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/operations/hot_restart
"""

import secrets
from collections.abc import Sequence
from pathlib import Path

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy.interfaces import IEdits, IReloads, IRotates, ITakesTurns, IUpgrades
from proxyreload.proxy.upstream import Upstream
from proxyreload.system.child import ChildProcess
from proxyreload.system.untrusted import one_line
from proxyreload_envoy_program import Envoy, admin_of

#: Envoy draws base ids below this itself, if it is to; for each it takes ten ids of the kernel's.
BASE_IDS = 2**28
EPOCHS_SOCKET = "epochs"
SHARED_MEMORY = "/dev/shm/envoy_shared_memory_{base_id}0"  # noqa: S108


@implementer(IReloads, IUpgrades, IRotates, IEdits, ITakesTurns)
@attrs.define
class HotRestart(Envoy):
    """The next epoch takes the listening sockets over; its parent finishes what it has, and leaves 3 s later.

    No change begins before the parent of the one before has left: Envoy allows for two epochs at a time.
    """

    _base_id: int = attrs.field(factory=lambda: secrets.randbelow(BASE_IDS), init=False)
    _epoch: int = attrs.field(default=0, init=False)
    _parent: ChildProcess | None = attrs.field(default=None, init=False)

    async def ready(self) -> None:
        """Wait until the parent of the change before has left."""
        if self._parent is not None:
            await self._parent.exited()

    async def reload(self) -> None:
        """Start the next epoch with the same configuration."""
        await self._change(self._upstreams)

    async def upgrade(self, binary: Path) -> None:
        """Start another program of the same hot-restart version as the next epoch."""
        before = self.workspace.binary
        here, there = [await self.workspace.run(each, "--hot-restart-version") for each in (before, binary)]
        if here != there:
            msg = f"hot-restart version {one_line(there)} cannot take over from {one_line(here)}"
            raise ChangeError(msg)
        self.workspace.binary = binary
        try:
            await self.reload()
        except ChangeError:
            self.workspace.binary = before
            raise

    async def rotate(self) -> None:
        """Start the next epoch, which reads the certificate."""
        await self.reload()

    def _spawn(self) -> ChildProcess:
        """Start epoch 0, whose shared memory Envoy leaves behind."""
        self.workspace.remove_too(Path(SHARED_MEMORY.format(base_id=self._base_id)))
        return self.workspace.spawn(*self._program_of(self._upstreams, 0), *self._of_epoch(0))

    async def _change(self, upstreams: list[Upstream]) -> None:
        """Check the configuration and start the next epoch with it; in effect when that is live.

        Unchecked, one that is refused would leave the mark in the shared memory that an epoch is initializing, and
        there would never be another.

        https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--server_info
        """
        assert self._child is not None  # noqa: S101
        epoch = self._epoch + 1
        program = self._program_of(upstreams, epoch)
        await self.workspace.run(*program, "--mode", "validate")

        async def live(_child: ChildProcess) -> bool:
            info = await admin_of(self.workspace, admin_socket(epoch)).get("/server_info")
            return bool(info["state"] == "LIVE" and info["command_line_options"]["restart_epoch"] == epoch)

        successor = await self.workspace.replace(self._child, [*program, *self._of_epoch(epoch)], live)
        self._parent, self._child, self._epoch, self._upstreams = self._child, successor, epoch, upstreams

    def _program_of(self, upstreams: Sequence[Upstream], epoch: int) -> list[str | Path]:
        return self._program(upstreams, admin_socket(epoch))

    def _of_epoch(self, epoch: int) -> list[str | Path]:
        return [
            *("--base-id", str(self._base_id), "--restart-epoch", str(epoch), "--concurrency", "2"),
            *("--drain-time-s", "1", "--drain-strategy", "immediate", "--parent-shutdown-time-s", "3"),
            # Epochs would talk over abstract sockets, which have no owner: whoever is on the host could be one.
            *("--socket-path", self.workspace.path(EPOCHS_SOCKET), "--socket-mode", "600"),
        ]


def admin_socket(epoch: int) -> str:
    """Return what an epoch's admin interface is called: two that run at once share no socket."""
    return f"admin-{epoch}.sock"
