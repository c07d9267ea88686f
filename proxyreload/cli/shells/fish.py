"""Completion for fish: https://fishshell.com/docs/current/completions.html."""

from collections.abc import Iterator

from twisted.python import usage

from proxyreload.cli.commands import COMMANDS
from proxyreload.cli.completers import NAMES, Anything, Files, Folders, Mechanisms, Words
from proxyreload.cli.declared import arguments_of, options_of


def fish_script(program: usage.Options) -> str:
    """Return the script for `program` and its commands."""
    names = " ".join(command.name for command in COMMANDS)
    none = f"not __fish_seen_subcommand_from {names}"
    lines = ["# proxyreload completion fish >~/.config/fish/completions/proxyreload.fish", "complete -c proxyreload -f"]
    lines += [f"complete -c proxyreload -n {_quoted(none)} -a {c.name} -d {_quoted(c.summary)}" for c in COMMANDS]
    lines += _lines(none, program)
    for command in COMMANDS:
        lines += _lines(f"__fish_seen_subcommand_from {command.name}", command.declared())
    return "\n".join([*lines, ""])


def _lines(condition: str, declared: usage.Options) -> Iterator[str]:
    """Yield a line for each option of a command, and one for its arguments."""
    start = f"complete -c proxyreload -n {_quoted(condition)}"
    for option in options_of(declared):
        short = f" -s {option.short}" if option.short else ""
        value = f" -r {_words(option.completer)}".rstrip() if option.takes_value else ""
        yield f"{start} -l {option.long}{short}{value} -d {_quoted(option.text)}"
    arguments = arguments_of(declared)
    if arguments is not None:
        yield f"{start} {_words(arguments)}"


def _words(completer: usage.Completer | None) -> str:
    """Return the options of fish's complete that offer what a completer knows."""
    match completer:
        case Files():
            ending = completer.pattern.removeprefix("*")
            return "-F" if not ending else f"-fa {_quoted(f'(__fish_complete_suffix {ending})')}"
        case Folders():
            return f"-fa {_quoted('(__fish_complete_directories)')}"
        case Words():
            return f"-fa {_quoted(' '.join(completer.words))}"
        case Mechanisms():
            return f"-fa {_quoted(f'({NAMES} 2>/dev/null)')}"
        case None | Anything():
            return "-f"
    return "-F"


def _quoted(text: str) -> str:
    """Return text as fish reads it: https://fishshell.com/docs/current/language.html#quotes."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
