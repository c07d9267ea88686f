"""What all commands' options have in common."""

import getopt
import sys
from collections.abc import Sequence
from itertools import pairwise

from twisted.python import usage


class Options(usage.Options):
    """`usage.Options` that takes options behind arguments too: ``proxyreload URL --duration 5``."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, the options first."""
        words = list(sys.argv[1:] if options is None else options)
        try:
            found, arguments = getopt.gnu_getopt(words, self.shortOpt, self.longOpt)
        except getopt.GetoptError as error:
            raise usage.UsageError(str(error)) from error
        takes_value = {f"--{name[:-1]}" for name in self.longOpt if name.endswith("=")}
        takes_value |= {f"-{letter}" for letter, next_one in pairwise(self.shortOpt) if next_one == ":"}
        ordered: list[str] = []
        for option, value in found:
            ordered += [option, value] if option in takes_value else [option]
        super().parseOptions([*ordered, "--", *arguments])
