"""Where the program begins and ends: whatever is raised has one way out, and the exit status says what is true.

Nothing is imported here that takes time: Ctrl-C while the rest is imported must find the net spread already. 0 and 1
come from a verdict, or from a command that has done what it was asked for; whatever else happens ends here, with one
line and 3.
"""

import os
import signal
import sys

from proxyreload.system import standard
from proxyreload.system.ending import ENDING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

#: `proxyreload.errors.ExitStatus.INVALID`, which is not imported yet.
_INVALID = 3


def main() -> "NoReturn":
    """Run the command and end the process with its status."""
    status = _INVALID
    try:
        standard.occupy()
        _begin()
        status = _status()
    except BaseException as error:  # noqa: BLE001  (that is what this is for)
        status = _told(error)
    finally:
        # At once: no thread is waited for, and nothing that is raised while Python shuts down counts any more.
        os._exit(status)


def _status() -> int:
    try:
        from proxyreload.command.main import run

        status = run(sys.argv[1:])
    finally:
        sys.stdout.flush()
    return status


def _begin() -> None:
    """Until a command knows better there is nothing to give back: a signal ends the program at once.

    A signal that is ignored stays so: ``nohup``, ``trap '' INT``, and ``&`` in a script.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, _frame: "FrameType | None") -> "NoReturn":
    standard.say(f"ended by {signal.Signals(number).name} before anything was begun")
    os._exit(_INVALID)


def _told(error: BaseException) -> int:
    """Say what was raised, in a line, and return the exit status."""
    from proxyreload.system.defect import Told, in_a_line

    if isinstance(error, Told):
        return 0
    standard.say(in_a_line(error))
    return _INVALID
