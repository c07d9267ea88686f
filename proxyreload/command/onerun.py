"""What commands about the losses of one run have in common: which run, and which loss."""

from pathlib import Path

from twisted.python import usage

from proxyreload.cli.base import Options
from proxyreload.system.bounds import WholeBound

#: The number of a row in ``losses.csv``.
LOSS = WholeBound(1, 10**9)


class OneRunOptions(Options):
    """They take a ``run.json``, the one here if none is named, as ``file``."""

    right = ""  #: a right call, for whoever names several

    def parseArgs(self, *files: str) -> None:
        """Take the run's file; raises `UsageError`."""
        if len(files) > 1:
            msg = f"name one run: {self.right}"
            raise usage.UsageError(msg)
        self["file"] = Path(files[0] if files else "run.json")
