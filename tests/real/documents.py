"""What commands write for other programs, held against the schemas that are published."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

# Last: what is installed is tested, and these are the tests in memory.
sys.path.append(str(Path(__file__).parents[2]))
from tests.memory.conforming import wrong

#: By the files' usual names.
_SCHEMAS = {f"{name}.json": name for name in ("run", "compare", "bisect", "capacity")}


def wrong_documents(folder: Path, since_ns: int) -> dict[str, list[str]]:
    """Return what is wrong with each document below a folder that was written since then."""
    told = {
        str(path): wrong(_SCHEMAS[path.name], json.loads(path.read_text(encoding="utf-8")))
        for path in _written(folder, since_ns)
    }
    return {path: faults for path, faults in told.items() if faults}


def _written(folder: Path, since_ns: int) -> Iterator[Path]:
    for path in folder.rglob("*.json"):
        if path.name in _SCHEMAS and path.is_file() and path.stat().st_mtime_ns > since_ns:
            yield path
