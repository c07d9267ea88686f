"""Where the live page is served."""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import attrs

from proxyreload.errors import UsageError
from proxyreload.web.token import VARIABLE, token_of

#: The page's open connections; each may have a file open that it is sent.
CONNECTIONS_AT_MOST = 64
_ONE_RUNS_FILES = {"csv": "data.csv", "losses": None, "run": "run.json", "report": "report.html"}


@attrs.frozen
class WebSettings:
    """Where the page is served, and what it needs."""

    where: str  #: a server endpoint
    runs: Path
    token: str = attrs.field(default="", repr=False)
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any], environment: MutableMapping[str, str] = os.environ) -> "WebSettings | None":
        """Return the settings that options make; None without ``--web``. Raises `UsageError`.

        The token is taken out of the environment.
        """
        if options["web"] is None:
            environment.pop(VARIABLE, None)
            for option in ("web-names", "token", "token-file"):
                if options[option] is not None:
                    msg = f"--{option} is for the live page: --web"
                    raise UsageError(msg)
            return None
        for option, default in _ONE_RUNS_FILES.items():
            if options[option] != default:
                msg = f"--{option} does not go with --web: each run gets a folder of its own below --runs"
                raise UsageError(msg)
        token = token_of(options, environment)
        names = tuple(filter(None, (options["web-names"] or "").split(",")))
        return cls(options["web"], Path(options["runs"]), token, names)
