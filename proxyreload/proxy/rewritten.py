"""What proxies have in common whose configuration is written anew, and read again, for each change."""

from collections.abc import Callable, Mapping

import attrs

from proxyreload.errors import ChangeError
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.system.child import ChildProcess


@attrs.define
class Rewritten:
    """A proxy that has all its backends, and its edited route, from a file.

    A plugin derives its mechanism and says what the marks of its configuration stand for besides the common ones
    (`_marks`), and how it is read again (`reload`), or else how a change is brought into effect (`_apply`). What the
    proxy refuses is taken back, or the next change would bring it along.
    """

    workspace: Workspace
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def add_backend(self, upstream: Upstream) -> None:
        """Add it to the configuration, and have that read."""
        await self._change([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Take it out of the configuration, and have that read."""
        await self._change([each for each in self._upstreams if each != upstream])

    async def reload(self) -> None:
        """Have the configuration read again; done when what was read serves."""
        raise NotImplementedError

    async def rotate(self) -> None:
        """Reload: with the configuration the certificate is read."""
        await self.reload()

    async def edit(self) -> None:
        """Reload, with the route, or another one."""
        await self._change(self._upstreams, self.workspace.edits.put_back)

    async def _change(self, upstreams: list[Upstream], undo: Callable[[], None] = lambda: None) -> None:
        before, self._upstreams = self._upstreams, upstreams
        self._write_config()
        try:
            await self._apply()
        except ChangeError:
            self._upstreams = before
            undo()
            self._write_config()
            raise

    async def _apply(self) -> None:
        """Bring what is written into effect."""
        await self.reload()

    def _write_config(self) -> None:
        self.workspace.configure(self._upstreams, **self._marks())

    def _marks(self) -> Mapping[str, object]:
        """Return the values of the plugin's own marks, with a ``_`` for each ``-`` in a name."""
        return {}
