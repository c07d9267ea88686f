"""The command ``proxyreload``."""

from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from proxyreload.errors import ExitStatus, ProxyreloadError
from proxyreload.system import frozen
from proxyreload.system.standard import say


def run(words: Sequence[str]) -> int:
    """Run the command; returns its exit status.

    What the user has to know is said here; whatever else is raised is the caller's, and `Told` where all was printed.
    """
    frozen.settle()
    if list(words) == ["--version"]:  # asked by scripts, often: nothing else is imported for it
        print(frozen.version())  # noqa: T201
        return ExitStatus.LOSSLESS
    from twisted.python import usage

    from proxyreload.cli.commands import BY_NAME

    try:
        words = _take_plugin_path(list(words))
        return BY_NAME[words[0]].run(words[1:]) if words and words[0] in BY_NAME else _run(words)
    except usage.UsageError as error:
        say(str(error))
        return ExitStatus.USAGE
    except ProxyreloadError as error:
        say(str(error))
        return error.status


def _take_plugin_path(words: list[str]) -> list[str]:
    """Take ``--plugin-path``, which may stand before a command's name too, and return what is left."""
    option, equals, folders = words[0].partition("=") if words else ("", "", "")
    if option != "--plugin-path" or not (equals or words[1:]):
        return words
    from proxyreload.proxy import pluginpath

    pluginpath.search(folders if equals else words[1])
    return words[1:] if equals else words[2:]


def _run(words: list[str]) -> int:
    from proxyreload.command.program import ProgramOptions

    options = ProgramOptions()
    options.parseOptions(words)
    from twisted.internet import reactor as installed
    from twisted.internet.error import ReactorNotRunning

    from proxyreload.cli.signals import on_signals
    from proxyreload.command.serving import service_of
    from proxyreload.proxy.watchdog import leave_at_once
    from proxyreload.system.defect import in_a_line
    from proxyreload.system.reactor import IReactor, wait_for_no_thread
    from proxyreload.system.unhandled import begin_log

    reactor = cast(IReactor, installed)
    begin_log(lambda error: say(in_a_line(error)))
    statuses: list[int] = []

    def finished(status: int) -> None:
        statuses.append(status)
        with suppress(ReactorNotRunning):
            reactor.stop()

    service = service_of(options.settings, options.web, reactor, say, finished)
    on_signals(reactor, service.interrupt, leave_at_once)
    reactor.callWhenRunning(service.startService)
    # Whoever else may stop the reactor, what was started is given back.
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    wait_for_no_thread(reactor)
    reactor.run()
    return statuses[0] if statuses else ExitStatus.INVALID
