"""Where the live page is served."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from proxyreload.errors import UsageError

_ONE_RUNS_FILES = {"csv": "data.csv", "run": "run.json", "report": "report.html"}


@attrs.frozen
class WebSettings:
    """Where the page is served, and what it needs."""

    where: str  #: a server endpoint
    runs: Path
    token: str = ""
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "WebSettings | None":
        """Return the settings that options make; None without ``--web``. Raises `UsageError`."""
        if options["web"] is None:
            for option in ("web-names", "token"):
                if options[option] is not None:
                    msg = f"--{option} is for the live page: --web"
                    raise UsageError(msg)
            return None
        for option, default in _ONE_RUNS_FILES.items():
            if options[option] != default:
                msg = f"--{option} does not go with --web: each run gets a folder of its own below --runs"
                raise UsageError(msg)
        token = options["token"] or ""
        if not (token.isascii() and token.isprintable()) or " " in token:
            msg = "--token takes printable ASCII without spaces"
            raise UsageError(msg)
        names = tuple(filter(None, (options["web-names"] or "").split(",")))
        return cls(options["web"], Path(options["runs"]), token, names)
