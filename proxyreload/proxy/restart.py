"""The baseline that every other way of changing a proxy has to beat: stop it, and start it anew."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError, StartError
from proxyreload.proxy.interfaces import IChecks, IEdits, IProxy, IReloads, IRotates, ISecures, IUpgrades
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace


@implementer(IReloads, IUpgrades, IRotates, IEdits, IChecks)
@attrs.define
class Restarting:
    """Stops the proxy gracefully for each change and starts it with the changed backends, or the changed program.

    A plugin derives its mechanism ``restart`` and says what is started: ``PROXY = Reload``.
    """

    PROXY: ClassVar[type[Any]]  #: an `IProxy`, made with a workspace
    workspace: Workspace
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _proxy: IProxy = attrs.field(init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start it."""
        self._upstreams = list(upstreams)
        self._proxy = type(self).PROXY(self.workspace)
        await self._proxy.start(upstreams)

    async def add_backend(self, upstream: Upstream) -> None:
        """Start it anew, with the backend."""
        await self._restart([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Start it anew, without the backend."""
        await self._restart([each for each in self._upstreams if each != upstream])

    async def reload(self) -> None:
        """Start it anew, with nothing changed."""
        await self._restart(self._upstreams)

    async def upgrade(self, binary: Path) -> None:
        """Start another program in its place."""
        before, self.workspace.binary = self.workspace.binary, binary
        try:
            await self._restart(self._upstreams)
        except ChangeError:
            self.workspace.binary = before
            await self._restart(self._upstreams)
            raise

    async def rotate(self) -> None:
        """Start it anew, with another certificate; raises `ChangeError` where what is started speaks in the clear."""
        if not ISecures.providedBy(self._proxy):
            msg = "its front speaks in the clear"
            raise ChangeError(msg)
        await self._restart(self._upstreams)

    async def edit(self) -> None:
        """Start it anew, with the edited route; raises `ChangeError` where what is started knows none."""
        if not IEdits.providedBy(self._proxy):
            msg = "its configuration has no such route"
            raise ChangeError(msg)
        await self._restart(self._upstreams, self.workspace.edits.put_back)

    async def why_refused(self) -> str | None:
        """Let what is started say it, if that can."""
        return await self._proxy.why_refused() if IChecks.providedBy(self._proxy) else None

    async def stop(self) -> None:
        """Stop it."""
        await self._proxy.stop()

    async def _restart(self, upstreams: Sequence[Upstream], undo: Callable[[], None] | None = None) -> None:
        before = self._upstreams
        await self._proxy.stop()
        try:
            await self.start(upstreams)
        except StartError as error:
            if undo is not None:
                undo()
            if upstreams is not before or undo is not None:
                await self.start(before)
            raise ChangeError(str(error)) from error
