"""Whether a proxy that has not started refuses its configuration, by what it says itself."""

import errno
import os
import re
from pathlib import Path

from proxyreload.errors import ChangeError, CommandError, ExitedError, StartError
from proxyreload.proxy.foreign import asked
from proxyreload.proxy.interfaces import IChecks, IProxy
from proxyreload.proxy.workspace import COMMAND_TIMEOUT_S, Workspace
from proxyreload.system.untrusted import WORDS_LIMIT, one_line

#: Statuses that say that a program could not be run at all, or not to its end: the loader's and the shell's.
#: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_08_02
_NOT_RUN = range(126, 193)
#: What the machine refuses is no refusal of the configuration.
_OF_THE_MACHINE = tuple(
    os.strerror(number).casefold()
    for number in (
        errno.EADDRINUSE,
        errno.EADDRNOTAVAIL,
        errno.EACCES,
        errno.EPERM,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
    )
)
#: Nor is what a program says that has come upon a defect of its own.
_DEFECT = re.compile(r"\bpanic(ked)?\b|\bgoroutine \d|\bassert|traceback|\bbug\b", re.IGNORECASE)


async def refused(workspace: Workspace, *arguments: str | Path, told: int = 5) -> str:
    """Run a program's check of its configuration; return in which words it refuses it, empty if it takes it.

    Raises `ChangeError` if it cannot be run, or was ended by a signal: that says nothing of the configuration.
    """
    try:
        await workspace.run(*arguments, environment=workspace.homes, told=told)
    except CommandError as error:
        if not _by_itself(error.exit_status):
            raise
        return error.words
    return ""


async def refusal(proxy: IProxy, workspace: Workspace, error: StartError) -> str:
    """Return in which words a proxy that has not started, with this error, refuses its configuration; empty if not.

    Empty also where that is not known. Its program's own check decides, if it has one, else what it said as it exited.
    """
    words: list[str | None] = []

    async def ask() -> None:
        words.append(await proxy.why_refused())  # type: ignore[attr-defined]

    if IChecks.providedBy(proxy):
        try:
            await asked(workspace.reactor, ask, COMMAND_TIMEOUT_S, ChangeError)
        except Exception:  # noqa: BLE001  (what cannot be asked has not said that it refuses)
            return ""
    told = words[0] if words and words[0] is not None else _at_exit(error)
    return one_line(told.replace(f"{workspace.folder}/", ""), WORDS_LIMIT)


def _at_exit(error: StartError) -> str:
    """Return what a program said as it exited by itself, empty if it is not known to be about its configuration."""
    if not isinstance(error, ExitedError) or not _by_itself(error.exit_status):
        return ""
    words = error.words.casefold()
    of_itself = any(each in words for each in _OF_THE_MACHINE) or _DEFECT.search(words) is not None
    return "" if of_itself else error.words


def _by_itself(status: int) -> bool:
    """Whether that is the status of a program that has ended of its own accord, and has failed."""
    return status > 0 and status not in _NOT_RUN
