"""``proxyreload man``: the manual page, from what the commands declare (groff_man(7))."""

from collections.abc import Iterator, Sequence

import proxyreload
from proxyreload.cli.base import Options
from proxyreload.cli.commands import COMMANDS
from proxyreload.cli.declared import Option, options_of
from proxyreload.cli.help import Help
from proxyreload.command.program import ProgramOptions
from proxyreload.errors import ExitStatus
from proxyreload.proxy.pluginpath import VARIABLE
from proxyreload.system.defect import DEBUG

_SUMMARY = "what happens to clients when a reverse proxy's backends are changed under load"
_STATUSES = {
    ExitStatus.LOSSLESS: "Lossless: the verdict is seamless or graceful.",
    ExitStatus.LOST: "Something was lost, or would have been farther away: the verdict is lossy or racy; "
    "or what --fail-on says.",
    ExitStatus.USAGE: "Wrong usage: nothing was run.",
    ExitStatus.INVALID: "The run itself is not valid: the proxy did not start, a change never took effect, or the "
    "instrument failed its own check; or whatever else went wrong, in a line on standard error.",
}
_FILES = {
    "data.csv": "Every request, a row each.",
    "losses.csv": "Every request that was lost, or carried out other than once, with its fate and its cause.",
    "run.json": "What ran, each change, and the verdict.",
}
_ENVIRONMENT = {
    VARIABLE: "As --plugin-path.",
    DEBUG: "Where an error of proxyreload's own was raised is told on standard error, not kept in a file.",
    "GITHUB_ACTIONS": "Where it is true, as --annotations.",
    "TMPDIR": "Where a run makes the private folder for its proxy; a folder with a path of at most 53 bytes.",
}
_SIGNALS = {
    "the first": "ends the run in order, with its verdict.",
    "the second": "waits for nothing that is under way.",
    "the third": "ends at once, without a verdict; files are whole as far as they are.",
}
#: Options that every command has: said once.
_COMMON = frozenset({"help", "version", "plugin-path"})


class ManOptions(Options):
    """proxyreload man."""

    synopsis = "proxyreload man"
    longdesc = "Prints the manual page of all commands, in the form that man(1) shows."
    examples = ("proxyreload man | man -l -",)


def print_page(words: list[str]) -> int:
    """Print it."""
    ManOptions().parseOptions(words)
    print("\n".join(page()))  # noqa: T201
    return ExitStatus.LOSSLESS


def page() -> Iterator[str]:
    """Yield the lines of the page."""
    program = ProgramOptions()
    commands = [(command, command.declared()) for command in COMMANDS]
    yield f'.TH PROXYRELOAD 1 "" "proxyreload {proxyreload.__version__}"'
    yield ".SH NAME"
    yield f"proxyreload \\- {_escaped(_SUMMARY)}"
    yield ".SH SYNOPSIS"
    yield ".nf"
    for synopsis in (_synopses(program)[:-1], *(_synopses(declared) for _command, declared in commands)):
        yield from map(_escaped, synopsis)
    yield ".fi"
    yield ".SH DESCRIPTION"
    yield _escaped(program.longdesc)
    yield ".SH OPTIONS"
    yield from _options(options_of(program))
    yield ".SH COMMANDS"
    for command, declared in commands:
        yield f".SS {command.name}"
        yield _escaped(str(declared.longdesc))
        own = [option for option in options_of(declared) if option.long not in _COMMON]
        yield from _options(own)
        yield from _examples(declared.examples)
    yield ".SH EXIT STATUS"
    yield from _tagged({str(int(status)): text for status, text in _STATUSES.items()})
    yield ".SH SIGNALS"
    yield "SIGINT, SIGTERM and SIGHUP do the same, but for those that are ignored when the program is started:"
    yield from _tagged(_SIGNALS)
    yield ".SH FILES"
    yield from _tagged(_FILES)
    yield ".SH ENVIRONMENT"
    yield from _tagged(_ENVIRONMENT)
    yield ".SH EXAMPLES"
    yield from _examples(program.examples)


def _synopses(declared: Help) -> list[str]:
    return [line.strip() for line in str(declared.synopsis).splitlines()]


def _options(options: Sequence[Option]) -> Iterator[str]:
    for option in options:
        value = f" \\fI{_escaped(option.value)}\\fR" if option.takes_value else ""
        short = f"\\fB\\-{option.short}\\fR, " if option.short else ""
        default = f" Default: {option.default}." if option.takes_value and option.default not in (None, "") else ""
        yield ".TP"
        yield f"{short}\\fB{_escaped(f'--{option.long}')}\\fR{value}"
        yield _escaped(f"{option.text.removesuffix('.')}.{default}")


def _tagged(texts: dict[str, str]) -> Iterator[str]:
    for tag, text in texts.items():
        yield ".TP"
        yield f"\\fB{_escaped(tag)}\\fR"
        yield _escaped(text)


def _examples(examples: Sequence[str]) -> Iterator[str]:
    if examples:
        yield from (".PP", ".EX", *map(_escaped, examples), ".EE")


def _escaped(text: str) -> str:
    """Return text in which troff finds no request, no escape and no dash but a minus."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
