"""What is different when this program is one file.

PyInstaller's bootloader unpacks it into a folder, runs it from there as a child of its own, and removes the folder:
https://pyinstaller.org/en/stable/advanced-topics.html#bootstrap-process-in-detail
"""

import os
import sys
from collections.abc import Mapping, MutableMapping

import proxyreload

FROZEN = bool(getattr(sys, "frozen", False))

_LIBRARIES = "LD_LIBRARY_PATH"
_BOOTLOADERS = "_PYI_"

#: What the bootloader put into our environment, for this very program started again.
_taken: dict[str, str] = {}


def this_program() -> list[str]:
    """Return the words that start this very program again, installed or frozen."""
    return [sys.executable] if FROZEN else [sys.executable, "-m", "proxyreload"]


def its_environment() -> Mapping[str, str]:
    """Return the environment to start it in: frozen, it runs from the files that are unpacked already."""
    return {**os.environ, **_taken}


def version() -> str:
    """Return what ``--version`` says: the version, and of a frozen program its build."""
    if not FROZEN:
        return f"proxyreload {proxyreload.__version__}"
    python = ".".join(map(str, sys.version_info[:3]))
    return f"proxyreload {proxyreload.__version__} (frozen, Python {python}, {sys.platform}-{os.uname().machine})"


def settle() -> None:
    """Be what an installed program is to its children and to whoever kills it; does nothing unless frozen."""
    if not FROZEN:
        return
    _taken.update(take_back(os.environ))
    from proxyreload.system.prctl import die_with_parent

    # Whoever kills the bootloader means us.
    die_with_parent()


def take_back(environment: MutableMapping[str, str]) -> dict[str, str]:
    """Give an environment back the user's library path and return what it had from the bootloader.

    A proxy must find its own libraries, not those that this program brings along.
    """
    ours = {name: value for name, value in environment.items() if name.startswith(_BOOTLOADERS)}
    ours |= {name: environment[name] for name in (_LIBRARIES, f"{_LIBRARIES}_ORIG") if name in environment}
    for name in ours:
        del environment[name]
    if f"{_LIBRARIES}_ORIG" in ours:
        environment[_LIBRARIES] = ours[f"{_LIBRARIES}_ORIG"]
    return ours
