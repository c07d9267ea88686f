"""What all commands' options have in common."""

import getopt
import sys
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from twisted.python import usage

from proxyreload.cli.completers import Files, Folders
from proxyreload.cli.help import Help
from proxyreload.proxy import pluginpath
from proxyreload.system.untrusted import printable, without_secrets

#: Options whose values are written down nowhere.
_SECRET = {"--token"}
#: Categories of characters that are commands to a terminal, or end a line.
_NO_LETTERS = {"Cc", "Zl", "Zp"}


class Options(Help):
    """Options that may stand behind arguments too: ``proxyreload URL --duration 5``."""

    words: tuple[str, ...] = ()  #: what was asked for, as it may be written down
    asked: frozenset[str] = frozenset()  #: the options that were given, by their long names
    compData = usage.Completions(optActions={"plugin-path": Folders()})

    def opt_plugin_path(self, folders: str) -> None:
        """Search these folders for plugins too, a colon between two: FOLDER[:FOLDER]. Their code is run as you."""
        pluginpath.search(folders)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, the options first; raises `UsageError`."""
        words = list(sys.argv[1:] if options is None else options)
        for word in words:
            _require_text(word)
        try:
            found, arguments = getopt.gnu_getopt(words, self.shortOpt, self.longOpt)
        except getopt.GetoptError as error:
            raise usage.UsageError(str(error)) from error
        takes_value = {f"--{name[:-1]}" for name in self.longOpt if name.endswith("=")}
        takes_value |= {f"-{letter}" for letter, next_one in pairwise(self.shortOpt) if next_one == ":"}
        ordered: list[str] = []
        told: list[str] = []
        for option, value in found:
            ordered += [option, value] if option in takes_value else [option]
            told += [option, "…" if option in _SECRET else value] if option in takes_value else [option]
            name = self.synonyms.get(option.lstrip("-"), option.lstrip("-"))
            self.asked |= {name}
            if isinstance(self.compData.optActions.get(name), Files | Folders):
                _require_name(f"--{name}", value)
        if any(isinstance(action, Files) for action in self.compData.extraActions):
            for argument in arguments:
                _require_name("FILE", argument)
        # Values that have URLs in them too, like a command.
        self.words = tuple(map(without_secrets, (*told, *arguments)))
        super().parseOptions([*ordered, "--", *arguments])


def _require_text(word: str) -> None:
    """Raise `UsageError` for what is no text: it could be written down nowhere."""
    try:
        word.encode("utf-8")
    except UnicodeEncodeError as error:
        msg = f"not UTF-8: {printable(word)}"
        raise usage.UsageError(msg) from error


def _require_name(option: str, name: str) -> None:
    """Raise `UsageError` for a file's name that no line can show."""
    if not name or any(unicodedata.category(letter) in _NO_LETTERS for letter in name):
        msg = f"{option} takes a file's name without control characters, not '{printable(name)}'"
        raise usage.UsageError(msg)
