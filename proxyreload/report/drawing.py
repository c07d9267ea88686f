"""Draws a report in a process of its own: it can be given up, and whatever it comes to costs nothing here."""

import signal
import tempfile
from pathlib import Path

from twisted.internet.defer import TimeoutError as LateError

from proxyreload.errors import ExitStatus
from proxyreload.system.child import ChildProcess
from proxyreload.system.frozen import its_environment, this_program
from proxyreload.system.reactor import IReactor
from proxyreload.system.untrusted import WORDS_LIMIT, one_line

#: Millions of rows take a minute.
LIMIT_S = 600.0
_NAME = "proxyreload: "


async def draw(reactor: IReactor, rows: Path, run: Path, output: Path) -> str:
    """Write the page of one run to `output`; returns why it is not written, empty if it is.

    Cancelling ends the drawing; what was at `output` before is there still.
    """
    words = [*this_program(), "report", "--claimed", f"--rows={rows}", f"--output={output}", "--", str(run)]
    # What is said has no name in any folder: nobody has to remove it, however this ends.
    with tempfile.TemporaryFile() as said:
        try:
            child = ChildProcess.spawn(
                reactor,
                words,
                folder=Path.cwd(),
                log=Path(f"/proc/self/fd/{said.fileno()}"),
                environment=its_environment(),
                own_session=False,
            )
        except OSError as error:
            return f"a process for it cannot be started: {error.strerror}"
        try:
            code = await child.exited().addTimeout(LIMIT_S, reactor)
        except LateError:
            return f"it is not drawn after {LIMIT_S:g} s"
        finally:
            if child.exit_code is None:
                child.signal(signal.SIGKILL)
                await child.exited()
                for beside in output.parent.glob(f"*.{child.pid}.*.new"):
                    beside.unlink(missing_ok=True)
        if code == ExitStatus.LOSSLESS:
            return ""
        return one_line(child.tail().strip(), WORDS_LIMIT).removeprefix(_NAME) or child.ending()
