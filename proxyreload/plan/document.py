"""A TOML document of the user's, to be told in which line it is wrong."""

import re
import tomllib
from typing import Any

from proxyreload.errors import UsageError
from proxyreload.plan.statement import deep_key, statements
from proxyreload.system.untrusted import printable


def document(text: str, name: str, parts_at_most: int) -> dict[str, Any]:
    """Return what a document says, no key of which has more parts: `tomllib` takes minutes for thousands.

    Raises `UsageError` with the file's `name` and the line.
    """
    deep = deep_key(text, parts_at_most)
    if deep:
        msg = f"{name}:{deep}: nested too deeply"
        raise UsageError(msg)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Its message ends with "(at line 3, column 5)".
        line = re.search(r"at line (\d+)", str(error))
        place = line[1] if line else text.removesuffix("\n").count("\n") + 1
        msg = f"{name}:{place}: {printable(str(error).partition(' (at ')[0])}"
        raise UsageError(msg) from error
    except ValueError as error:
        msg = f"{name}:{_beyond(text)}: a number of too many digits"
        raise UsageError(msg) from error
    except RecursionError as error:
        msg = f"{name}:1: nested too deeply"
        raise UsageError(msg) from error


def _beyond(text: str) -> int:
    """Return the line of the number that Python does not take."""
    for statement in statements(text):
        try:
            _content = statement.content
        except ValueError:
            return statement.line
    return 1
