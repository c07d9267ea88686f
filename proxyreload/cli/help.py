"""What ``--help`` says, of every command in the same way."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any, ClassVar

from twisted.python import usage

from proxyreload.system import frozen
from proxyreload.system.defect import Told

_INDENT = " " * len("Usage: ")
#: Help fits a terminal of any width that is still in use.
WIDTH = 80


class Help(usage.Options):
    """`usage.Options` with examples at the end."""

    synopsis = ""  #: lines that say how it is used
    longdesc = ""  #: what it does
    examples: ClassVar[Sequence[str]] = ()  #: command lines that do something as they stand
    commands: ClassVar[Sequence[tuple[str, str]]] = ()  #: names of commands, and what they do in a few words

    def __init__(self) -> None:
        super().__init__()
        # Options of Twisted's own have line breaks in what they say of themselves.
        self.docs: dict[str, str] = {name: " ".join(str(text).split()) for name, text in self.docs.items()}

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(frozen.version())  # noqa: T201
        raise Told

    def opt_help(self) -> None:
        """Display this help and exit."""
        print(self)  # noqa: T201
        raise Told

    def getSynopsis(self) -> str:
        """Return how it is used; for twistd, what comes behind the service's name."""
        synopsis = super().getSynopsis()
        if self.parent is None:
            synopsis = f"Usage: {synopsis}"
        return "\n".join(fill(line, WIDTH, subsequent_indent=_INDENT) for line in synopsis.splitlines())

    def getUsage(self, width: int | None = None) -> str:
        """Return the options, what it does, its commands and its examples."""
        said = f"\n{super().getUsage(width or WIDTH)}"
        if hasattr(self, "subOptions"):  # what is wrong is in a command's own options, and so is their help
            return said
        return (
            said + _section("Commands", [f"{name:<12} {summary}" for name, summary in self.commands]) + _examples(self)
        )


def _examples(options: Help) -> str:
    return _section("Examples" if len(options.examples) > 1 else "Example", options.examples)


def _section(title: str, lines: Sequence[Any]) -> str:
    return "\n".join([f"\n{title}:", *(f"    {line}" for line in lines), ""]) if lines else ""
