"""The plugin path: folders that plugins are found in besides what is installed, a colon between two.

Whatever lies in them is run as this program's own code.
"""

import os
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

from proxyreload.errors import UsageError
from proxyreload.system.untrusted import printable

#: Child processes of ours inherit it.
VARIABLE = "PROXYRELOAD_PLUGIN_PATH"
#: What a module that is a plugin without being a distribution is called: this and the plugin's name.
MODULE_PREFIX = "proxyreload_"


def search(folders: str) -> None:
    """Search these folders from now on, in place of those that the environment names."""
    os.environ[VARIABLE] = os.pathsep.join(str(Path(folder).absolute()) for folder in _split(folders))


def searched() -> list[Path]:
    """Return the folders, with what is in them open to import; raises `UsageError` if one is none."""
    folders = [Path(folder).absolute() for folder in dict.fromkeys(_split(os.environ.get(VARIABLE, "")))]
    for folder in folders:
        if not os.path.isdir(folder):  # noqa: PTH112  (which raises nothing, however long the name is)
            msg = f"the plugin path names {printable(str(folder))}: no such folder"
            raise UsageError(msg)
        # Behind all else: what a folder brings along with its plugins takes the place of no other module.
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    return folders


def modules(folder: Path, group: str) -> Iterator[EntryPoint]:
    """Return the plugins in a folder that are plain modules; installed distributions there have their entry points."""
    owned = {str(file) for distribution in distributions(path=[str(folder)]) for file in distribution.files or ()}
    for path in sorted(folder.glob(f"{MODULE_PREFIX}*.py")):
        if path.name not in owned and path.stem.isidentifier():
            yield EntryPoint(path.stem.removeprefix(MODULE_PREFIX), f"{path.stem}:plugin", group)


def _split(folders: str) -> Iterator[str]:
    return filter(None, folders.split(os.pathsep))
