"""Past runs: a folder each, with ``data.csv``, ``losses.csv``, ``run.json`` and ``report.html``."""

import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from proxyreload.errors import UsageError
from proxyreload.system.untrusted import printable
from proxyreload.system.wholefile import read_some

#: A run's folder, by when it began; the second within a second has a number.
_NAME = re.compile(r"\d{8}T\d{6}Z(?:-\d{1,4})?")
FILES = ("report.html", "run.json", "data.csv", "losses.csv")
_LISTED = 100
#: Of a longer file only the name is listed.
_SIZE_LIMIT = 16 * 1024 * 1024


@attrs.frozen
class Archive:
    """The folder of all runs."""

    folder: Path

    def open(self) -> None:
        """See to it that the folder is there; raises `UsageError` if it cannot be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{self.folder} cannot be made: {error.strerror}"
            raise UsageError(msg) from error

    def begin(self, now: datetime | None = None) -> Path:
        """Make a folder for a run that begins; raises `UsageError` if it cannot be made."""
        name = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        for number in range(1, 10_000):
            path = self.folder / (name if number == 1 else f"{name}-{number}")
            with suppress(FileExistsError):
                try:
                    path.mkdir(parents=True)
                except FileExistsError:
                    raise
                except OSError as error:
                    msg = f"{path} cannot be made: {error.strerror}"
                    raise UsageError(msg) from error
                return path
        msg = f"{self.folder} has too many runs of this second"
        raise UsageError(msg)

    def forget(self, path: Path) -> None:
        """Remove a run's folder, if nothing was written into it."""
        with suppress(OSError):
            path.rmdir()

    def runs(self) -> list[dict[str, Any]]:
        """Return the latest runs, the newest first."""
        found = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
        found.sort(key=lambda path: (path.name[:16], len(path.name), path.name), reverse=True)
        return [_told(path) for path in found[:_LISTED]]

    def file(self, name: str, file: str) -> Path | None:
        """Return the path of a run's file, None if there is none."""
        if not _NAME.fullmatch(name) or file not in FILES:
            return None
        path = self.folder / name / file
        return path if path.is_file() and not path.is_symlink() else None


def _told(path: Path) -> dict[str, Any]:
    """Return a run's line in the list."""
    files = [file for file in FILES if (path / file).is_file()]
    content = b""
    with suppress(OSError):
        content = read_some(path / "run.json", _SIZE_LIMIT + 1, 0)
    return {"name": path.name, **told_by(content if len(content) <= _SIZE_LIMIT else b""), "files": files}


def told_by(run: bytes) -> dict[str, Any]:
    """Return what a run file says, as far as it says it: it is somebody's text."""
    told: dict[str, Any] = {
        "title": "",
        "scenario": "",
        "finished": False,
        "verdict": None,
        "exchanges": None,
        "failure": None,
    }
    try:
        content = json.loads(run)
        summary = content.get("summary") or {}
        plugin, mechanism = content.get("plugin"), content.get("mechanism")
        told["title"] = printable(f"{plugin}:{mechanism}" if plugin else str(content.get("url", "")))
        told["scenario"] = printable(str(content["scenario"]["title"]))
        told["finished"] = content.get("finished") is True
        told["verdict"] = printable(str(summary["verdict"])) if "verdict" in summary else None
        told |= {key: int(summary[key]) for key in ("exchanges", "failure") if key in summary}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return told
    return told
