"""``proxyreload twistd``: Twisted's daemon program around a run, for whoever has no ``twistd`` beside the one file."""

from collections.abc import Iterator
from typing import Any

from twisted.application.service import IService, IServiceMaker
from twisted.plugin import IPlugin
from twisted.python import usage
from twisted.scripts import twistd
from zope.interface import implementer

from proxyreload.cli.help import Help
from proxyreload.command.options import RunOptions
from proxyreload.errors import ExitStatus
from proxyreload.system.defect import Told

_NAME = "proxyreload"


@implementer(IServiceMaker, IPlugin)
class _Maker:
    """Makes the service, and keeps what its run came to."""

    tapname = _NAME
    description = "Change a reverse proxy's backends under load"
    options = RunOptions

    def __init__(self) -> None:
        self.statuses: list[int] = []

    def makeService(self, options: RunOptions) -> IService:
        from proxyreload.command.tap import service

        return service(options, self.statuses.append)


class TwistdOptions(Help, twistd.ServerOptions):  # type: ignore[misc,name-defined]  # it differs by platform
    """twistd's own options, and proxyreload as the one service there is."""

    synopsis = "proxyreload twistd [options]"
    examples = ("proxyreload twistd proxyreload http://localhost:8080/ --no-backends",)
    longdesc = "Runs as a service in the foreground, with twistd's log and options; it never becomes a daemon."

    def __init__(self) -> None:
        super().__init__()
        # The folder that the one file is unpacked into lasts as long as the process that was started, not as a daemon.
        self["nodaemon"] = True
        # In the foreground whoever started it knows its process id.
        self["pidfile"] = ""
        self.maker = _Maker()

    @property
    def subCommands(self) -> Iterator[tuple[str, None, Any, str]]:
        """Twisted would look for plugins of its own in files, which the one file has not."""
        self.loadedPlugins = {_NAME: self.maker}
        yield _NAME, None, self.maker.options, self.maker.description

    def opt_help_reactors(self) -> None:
        """Display a list of possibly available reactor names."""
        try:
            super().opt_help_reactors()
        except SystemExit as error:
            raise Told from error

    def postOptions(self) -> None:
        """Require the service's name; raises `UsageError`."""
        super().postOptions()
        if self.subCommand is None:
            msg = f"say what to run: {self.synopsis} proxyreload [options of a run]"
            raise usage.UsageError(msg)


def run_twistd(words: list[str]) -> int:
    """Run the service until it is over or a signal ends it; returns the run's exit status."""
    options = TwistdOptions()
    options.parseOptions(words)
    twistd.runApp(options)
    return options.maker.statuses[0] if options.maker.statuses else ExitStatus.INVALID
