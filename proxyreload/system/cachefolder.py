"""Where what takes long to get is kept: outside every checkout."""

import os
from pathlib import Path

CACHE_VARIABLE = "XDG_CACHE_HOME"


def cache_folder() -> Path:
    """Return the user's cache folder of this program."""
    base = os.environ.get(CACHE_VARIABLE) or os.path.expanduser("~/.cache")  # noqa: PTH111  (some users have no home)
    return Path(base) / "proxyreload"
