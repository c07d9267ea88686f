"""``proxyreload twistd``: Twisted's daemon program around a run, for whoever has no ``twistd`` beside the one file."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

from twisted.application.service import ServiceMaker
from twisted.internet.error import ReactorNotRunning
from twisted.python import usage
from twisted.scripts import twistd

from proxyreload.cli.help import Help
from proxyreload.cli.signals import on_signals
from proxyreload.errors import ExitStatus
from proxyreload.system.reactor import IReactor

_NAME = "proxyreload"


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

    @property
    def subCommands(self) -> Iterator[tuple[str, None, Any, str]]:
        """Twisted would look for plugins of its own in files, which the one file has not."""
        service = ServiceMaker(_NAME, "proxyreload.command.tap", "Change a reverse proxy's backends under load", _NAME)
        self.loadedPlugins = {_NAME: service}
        yield _NAME, None, lambda: service.options(), service.description  # noqa: PLW0108  (imported when wanted)

    def postOptions(self) -> None:
        """Require the service's name; raises `UsageError`."""
        super().postOptions()
        if self.subCommand is None:
            msg = f"say what to run: {self.synopsis} proxyreload [options of a run]"
            raise usage.UsageError(msg)


def run_twistd(words: list[str]) -> int:
    """Run the service until it is over or a signal ends it."""
    options = TwistdOptions()
    options.parseOptions(words)
    from twisted.internet import reactor as installed

    reactor = cast(IReactor, installed)

    def stop() -> None:
        with suppress(ReactorNotRunning):
            reactor.stop()

    reactor.callWhenRunning(on_signals, reactor, stop)
    twistd.runApp(options)
    return ExitStatus.LOSSLESS
