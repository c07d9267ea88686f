"""What all commands' options have in common."""

import getopt
import sys
from collections.abc import Sequence
from itertools import pairwise

from twisted.python import usage

from proxyreload.cli.completers import Folders
from proxyreload.cli.help import Help
from proxyreload.proxy import pluginpath

#: Options whose values are written down nowhere.
_SECRET = {"--token"}


class Options(Help):
    """Options that may stand behind arguments too: ``proxyreload URL --duration 5``."""

    words: tuple[str, ...] = ()  #: what was asked for, as it may be written down
    compData = usage.Completions(optActions={"plugin-path": Folders()})

    def opt_plugin_path(self, folders: str) -> None:
        """Search these folders for plugins too, a colon between two: FOLDER[:FOLDER]. Their code is run as you."""
        pluginpath.search(folders)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, the options first; raises `UsageError`."""
        words = list(sys.argv[1:] if options is None else options)
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
        self.words = (*told, *arguments)
        super().parseOptions([*ordered, "--", *arguments])
