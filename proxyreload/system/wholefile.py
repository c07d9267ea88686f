"""Files that are written whole: whoever reads one never sees half of it."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write `text`, renamed into place where `path` is no device or pipe; raises `OSError` if that fails."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
