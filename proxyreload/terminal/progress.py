"""How far many runs have come: a bar on a terminal, else a line for each."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from proxyreload.system.untrusted import line_of
from proxyreload.terminal.background import BackgroundStream
from proxyreload.terminal.display import taken

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

DRAW_INTERVAL_S = 0.25
_ERROR = 2  # standard error


@attrs.define(eq=False)
class ProgressBar:
    """A bar on standard error, with what is being done and what is left; without a terminal only the lines."""

    share: Callable[[], float]  #: how much is done, from 0 to 1
    doing: Callable[[], str]  #: what is being done
    _stream: BackgroundStream = attrs.field(init=False)
    _bar: "Progress | None" = attrs.field(default=None, init=False)
    _task: "TaskID | None" = attrs.field(default=None, init=False)
    _ticking: LoopingCall | None = attrs.field(default=None, init=False)

    def start(self, reactor: IReactorTime) -> None:
        """Draw from now on."""
        terminal = os.isatty(_ERROR)
        self._stream = BackgroundStream(_ERROR, terminal=terminal)  # nobody waits for who does not read it
        if not terminal or os.environ.get("TERM", "dumb") == "dumb":
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.description}", markup=False),
            # rich types its file as IO[str]; the stream has all of it that is used.
            console=Console(file=self._stream, highlight=False),  # type: ignore[arg-type]
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            # The runs are long and alike.
            speed_estimate_period=3600,
        )
        self._task = self._bar.add_task("", total=1.0)
        self._bar.start()
        self._ticking = LoopingCall(self._draw)
        self._ticking.clock = reactor
        self._ticking.start(DRAW_INTERVAL_S)

    def tell(self, line: str) -> None:
        """Show a line, above the bar."""
        line = line_of(line)
        if self._bar is None:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        else:
            from rich.text import Text

            self._bar.console.print(Text(line), soft_wrap=True)

    def stop(self) -> None:
        """Take the bar down."""
        if self._ticking is not None and self._ticking.running:
            self._ticking.stop()
        if self._bar is not None:
            self._bar.stop()
        self._stream.finish()

    async def shown(self, reactor: IReactorTime) -> None:
        """Wait, after `stop`, until all is shown, as long as anybody takes it."""
        await taken(self._stream, reactor)

    def _draw(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.share(), description=line_of(self.doing()))
            self._bar.refresh()
