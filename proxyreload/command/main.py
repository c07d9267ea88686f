"""The command ``proxyreload``."""

import signal
import sys
from collections.abc import Sequence
from typing import cast

from proxyreload.errors import ExitStatus, ProxyreloadError
from proxyreload.system import frozen


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its status."""
    frozen.settle()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:  # asked by scripts, often: nothing else is imported for it
        print(frozen.version())  # noqa: T201
        sys.exit(0)
    from twisted.python import usage

    from proxyreload.cli.commands import BY_NAME

    try:
        words = _take_plugin_path(words)
        status = BY_NAME[words[0]].run(words[1:]) if words and words[0] in BY_NAME else _run(words)
    except usage.UsageError as error:
        _complain(str(error))
        status = ExitStatus.USAGE
    except ProxyreloadError as error:
        _complain(str(error))
        status = error.status
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    sys.exit(int(status))


def _complain(text: str) -> None:
    from proxyreload.system.untrusted import line_of

    print("\n".join(map(line_of, f"proxyreload: {text}".split("\n"))), file=sys.stderr)  # noqa: T201


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

    from proxyreload.cli.signals import on_signals
    from proxyreload.command.serving import service_of
    from proxyreload.system.reactor import IReactor

    reactor = cast(IReactor, installed)
    statuses: list[int] = []

    def finished(status: int) -> None:
        statuses.append(status)
        reactor.stop()

    service = service_of(options.settings, options.web, reactor, _complain, finished)
    reactor.callWhenRunning(on_signals, reactor, service.interrupt)
    reactor.callWhenRunning(service.startService)
    reactor.run()
    return statuses[0] if statuses else ExitStatus.INVALID
