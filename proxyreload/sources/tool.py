"""The tools that fetch: pip, apt, dpkg, cargo. Each knows its registry, and checks what it gets from there."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from proxyreload.errors import FetchError
from proxyreload.system.untrusted import WORDS_LIMIT, one_line

#: A registry that answers nothing for so long is not waited for.
LIMIT_S = 900.0
#: Of what a tool says the end tells what was wrong.
_LAST_LINES = 3


def require_tool(name: str, what_for: str, path: str | None = None) -> str:
    """Return where a tool is, on PATH or on `path`; raises `FetchError` if it is not there."""
    found = shutil.which(name, path=path)
    if found is None:
        msg = f"{name} is not installed: {what_for}"
        raise FetchError(msg)
    return found


def told_by(
    words: Sequence[str | Path],
    what: str,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
) -> str:
    """Run a tool to its end, and return its standard output; raises `FetchError`: `what` failed, in its own words."""
    try:
        run = subprocess.run(
            words,
            cwd=folder,
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=limit_s,
            check=False,
        )
    except OSError as error:
        msg = f"{what}: {words[0]}: {error.strerror}"
        raise FetchError(msg) from error
    except subprocess.TimeoutExpired as error:
        msg = f"{what}: {Path(words[0]).name} said nothing for {limit_s:g} s"
        raise FetchError(msg) from error
    if run.returncode:
        said = _end_of(run.stderr) or _end_of(run.stdout) or f"exit status {run.returncode}"
        msg = f"{what}: {said}"
        raise FetchError(msg)
    return run.stdout.decode("utf-8", "replace")


def _end_of(output: bytes) -> str:
    """Return the last lines of what was said, errors rather than others."""
    lines = [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    wrong = [line for line in lines if line.lower().startswith(("e:", "error"))]
    return one_line("\n".join((wrong or lines)[-_LAST_LINES:]), WORDS_LIMIT)
