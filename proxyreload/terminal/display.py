"""Where the terminal's lines go: a terminal with a pinned last line, or a pipe."""

import os
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import Interface, implementer

from proxyreload.system.untrusted import line_of
from proxyreload.system.waiting import until
from proxyreload.terminal.background import BackgroundStream

if TYPE_CHECKING:
    from rich.live import Live

#: Into a pipe the status line goes at every so many draws.
STATUS_EVERY = 20


#: Whoever takes nothing for so long is waited for no more: a stopped terminal, a pipe that nobody reads.
PATIENCE_S = 10.0


async def taken(stream: BackgroundStream, reactor: IReactorTime) -> bool:
    """Wait until the stream's reader has taken all; False if it has taken nothing for `PATIENCE_S`."""

    async def finished() -> bool:
        return stream.finished

    before = -1
    while not stream.finished and stream.taken > before:
        before = stream.taken
        await until(reactor, finished, PATIENCE_S)
    return stream.finished


class IDisplay(Interface):
    """Shows lines, and a status line that stays last."""

    def show(lines: Sequence[str], status: str) -> None:
        """Add lines, and replace the status: its last line is the status line."""

    def close() -> None:
        """Take the status line down and show no more."""

    def shown(reactor: IReactorTime) -> Coroutine[Deferred[Any], Any, bool]:
        """Wait, after `close`, until all is shown; False if nobody takes any more of it for `PATIENCE_S`."""


@implementer(IDisplay)
@attrs.define(eq=False)
class PinnedDisplay:
    """A terminal: rich keeps the status line below, also when the window is resized."""

    stream: BackgroundStream
    _live: "Live | None" = attrs.field(default=None, init=False)

    def show(self, lines: Sequence[str], status: str) -> None:
        """Add lines above the status line."""
        from rich.text import Text

        live = self._started()
        lines, status = list(map(line_of, lines)), "\n".join(map(line_of, status.split("\n")))
        if lines:
            live.console.print(Text("\n".join(lines)))
        live.update(Text(status, overflow="ellipsis", no_wrap=True, style="bold"), refresh=True)

    def close(self) -> None:
        """Take the status line down."""
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(""), refresh=True)
            self._live.stop()
            self._live = None
        self.stream.finish()

    async def shown(self, reactor: IReactorTime) -> bool:
        """Wait until all is shown."""
        return await taken(self.stream, reactor)

    def _started(self) -> "Live":
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            # rich types its file as IO[str]; the stream has all of it that is used.
            console = Console(file=self.stream, highlight=False)  # type: ignore[arg-type]
            self._live = Live(
                console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        return self._live


@implementer(IDisplay)
@attrs.define(eq=False)
class PlainDisplay:
    """A pipe or a file: plain lines, the status line among them now and then."""

    stream: BackgroundStream
    _draws: int = attrs.field(default=0, init=False)

    def show(self, lines: Sequence[str], status: str) -> None:
        """Add lines."""
        self._draws += 1
        if status and self._draws % STATUS_EVERY == 0:
            lines = [*lines, *status.split("\n")]
        if lines:
            self.stream.write("\n".join(map(line_of, lines)) + "\n")
            self.stream.flush()

    def close(self) -> None:
        """Show no more."""
        self.stream.finish()

    async def shown(self, reactor: IReactorTime) -> bool:
        """Wait until all is written."""
        return await taken(self.stream, reactor)


def display_on(descriptor: int) -> IDisplay:
    """Return the display that fits what `descriptor` is."""
    terminal = os.isatty(descriptor) and os.environ.get("TERM", "dumb") != "dumb"
    stream = BackgroundStream(descriptor, terminal=terminal)
    return PinnedDisplay(stream) if terminal else PlainDisplay(stream)
