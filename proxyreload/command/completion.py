"""``proxyreload completion SHELL``: a script that completes options, commands, mechanisms and files."""

from twisted.python import usage
from twisted.python.usage import UsageError

from proxyreload.cli.base import Options
from proxyreload.cli.completers import Words
from proxyreload.cli.shells.bash import bash_script
from proxyreload.cli.shells.fish import fish_script
from proxyreload.cli.shells.zsh import zsh_script
from proxyreload.command.program import ProgramOptions
from proxyreload.errors import ExitStatus

SCRIPTS = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}


class CompletionOptions(Options):
    """proxyreload completion SHELL."""

    synopsis = "proxyreload completion bash | zsh | fish"
    longdesc = "Prints a script that lets the shell complete options, commands, mechanisms and file names."
    examples = ('eval "$(proxyreload completion bash)"',)
    compData = usage.Completions(extraActions=[Words(tuple(SCRIPTS))])

    def parseArgs(self, *shells: str) -> None:
        """Take the shell; raises `UsageError`."""
        if len(shells) != 1 or shells[0] not in SCRIPTS:
            msg = f"completion takes {', '.join(SCRIPTS)}, not {' '.join(shells) or 'nothing'}"
            raise UsageError(msg)
        self["shell"] = shells[0]


def print_script(words: list[str]) -> int:
    """Print it."""
    options = CompletionOptions()
    options.parseOptions(words)
    print(SCRIPTS[options["shell"]](ProgramOptions()), end="")  # noqa: T201
    return ExitStatus.LOSSLESS
