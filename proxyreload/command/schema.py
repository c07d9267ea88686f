"""``proxyreload schema``: what stands in ``run.json`` and the other files, for programs that read them."""

from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Words
from proxyreload.errors import ExitStatus
from proxyreload.schemas.published import schemas
from proxyreload.system.untrusted import printable

_NAMES = tuple(schemas())
_SHOWN = 60


class SchemaOptions(Options):
    """proxyreload schema NAME."""

    synopsis = f"proxyreload schema {' | '.join(_NAMES)}"
    longdesc = (
        "Prints the JSON Schema (2020-12) of run.json or another file: every key, its type, its unit and "
        "what it means. A file that this version writes has no key besides, but for a kind of traffic's own."
    )
    examples = ("proxyreload schema run",)
    compData = usage.Completions(extraActions=[Words(_NAMES)])

    def parseArgs(self, *names: str) -> None:
        """Take the name; raises `UsageError`."""
        if len(names) != 1 or names[0] not in _NAMES:
            said = printable(" ".join(names), _SHOWN) or "nothing"
            msg = f"schema takes {', '.join(_NAMES)}, not {said}"
            raise usage.UsageError(msg)
        self["name"] = names[0]


def print_schema(words: list[str]) -> int:
    """Print it."""
    options = SchemaOptions()
    options.parseOptions(words)
    print(schemas()[options["name"]], end="")  # noqa: T201
    return ExitStatus.LOSSLESS
