"""What can stand behind an option, for the shell to complete: Twisted's completers, for bash and fish as well.

https://docs.twisted.org/en/stable/core/howto/options.html#shell-tab-completion
"""

from collections.abc import Sequence

from twisted.python import usage

#: Prints the names of all plugins and mechanisms.
NAMES = "proxyreload plugins --names"


class Files(usage.CompleteFiles):
    """Files, by their ending."""

    value = "FILE"  #: what the manual page calls what is completed

    def __init__(self, pattern: str = "*", *, repeat: bool = False) -> None:
        super().__init__(pattern, repeat=repeat)
        self.pattern = pattern


class Folders(usage.CompleteDirs):
    """Folders."""

    value = "FOLDER"


class Words(usage.CompleteList):
    """One of a few words."""

    _descr = "word"

    def __init__(self, words: Sequence[str], *, repeat: bool = False) -> None:
        super().__init__(list(words), repeat=repeat)
        self.words = tuple(words)
        self.value = "|".join(words)


class Mechanisms(usage.Completer):
    """Plugins and mechanisms, asked for when they are wanted."""

    value = "NAME[:MECHANISM][@VERSION|@PATH]"
    _descr = "mechanism"  # without one, zsh would take what follows for it

    def _shellCode(self, optName: str, shellType: str) -> str:
        return f"{super()._shellCode(optName, shellType)}_proxyreload_mechanisms"


class Anything(usage.Completer):
    """What no shell can know, a number for one."""

    value = "VALUE"
