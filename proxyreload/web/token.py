"""The page's token: where it comes from, and what it may be. Nothing here or elsewhere says it again."""

import errno
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from proxyreload.errors import UsageError
from proxyreload.system.wholefile import read_some

#: The variable that has it.
VARIABLE = "PROXYRELOAD_TOKEN"
SHORTEST, LONGEST = 8, 256
#: Seconds in which somebody must have written it into a pipe.
PIPE_S = 10.0


def token_of(options: Mapping[str, Any], environment: MutableMapping[str, str]) -> str:
    """Return the token that options or the environment give; empty if none does. Raises `UsageError`.

    It is taken out of the environment, which everything that a run starts gets a copy of.
    """
    inherited = environment.pop(VARIABLE, None)
    if options["token"] is not None and options["token-file"] is not None:
        msg = "give one of --token and --token-file"
        raise UsageError(msg)
    if options["token"] is not None:
        return _checked("--token", options["token"])
    if options["token-file"] is not None:
        return _checked(f"--token-file {options['token-file']}", _read(options["token-file"]))
    return "" if inherited is None else _checked(VARIABLE, inherited)


def _checked(where: str, token: str) -> str:
    if not (token.isascii() and token.isprintable()) or " " in token or not SHORTEST <= len(token) <= LONGEST:
        msg = f"{where}: a token is {SHORTEST} to {LONGEST} printable ASCII characters without spaces"
        raise UsageError(msg)
    return token


def _read(name: str) -> str:
    """Return a file's or a pipe's line; raises `UsageError`."""
    try:
        # Of a device no more is read than can be a token.
        content = read_some(Path(name), LONGEST + 3, PIPE_S)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        if isinstance(error, OSError) and error.errno == errno.ETIMEDOUT:
            why = f"nothing came in {PIPE_S:g} s"
        msg = f"--token-file {name}: {why}"
        raise UsageError(msg) from error
    return content.decode("latin-1").removesuffix("\n").removesuffix("\r")
