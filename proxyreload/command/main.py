"""The command ``proxyreload``."""

import signal
import sys
from collections.abc import Callable, Sequence
from typing import cast

from proxyreload import frozen
from proxyreload.errors import ExitStatus, ProxyreloadError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its status."""
    frozen.settle()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:  # asked by scripts, often: nothing else is imported for it
        print(frozen.version())  # noqa: T201
        sys.exit(0)
    from twisted.python import usage

    commands: dict[str, Callable[[list[str]], int]] = {
        "compare": _compare,
        "report": _report,
        "plugins": _plugins,
        "backend": _backend,
        "selftest": _selftest,
        "twistd": _twistd,
    }
    try:
        words = _take_plugin_path(words)
        status = commands[words[0]](words[1:]) if words and words[0] in commands else _run(words)
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
    print(f"proxyreload: {text}", file=sys.stderr)  # noqa: T201


def _take_plugin_path(words: list[str]) -> list[str]:
    """Take ``--plugin-path``, which may stand before a command's name too, and return what is left."""
    option, equals, folders = words[0].partition("=") if words else ("", "", "")
    if option != "--plugin-path" or not (equals or words[1:]):
        return words
    from proxyreload.proxy import pluginpath

    pluginpath.search(folders if equals else words[1])
    return words[1:] if equals else words[2:]


def _run(words: list[str]) -> int:
    from proxyreload.command.options import RunOptions

    options = RunOptions()
    options.parseOptions(words)
    from twisted.internet import reactor as installed

    from proxyreload.command.service import RunService
    from proxyreload.command.signals import on_signals
    from proxyreload.reactor import IReactor
    from proxyreload.reporters.display import standard_output

    reactor = cast(IReactor, installed)
    statuses: list[int] = []

    def finished(status: int) -> None:
        statuses.append(status)
        reactor.stop()

    service = RunService(options.settings, reactor, standard_output(), _complain, finished)
    reactor.callWhenRunning(on_signals, reactor, service.interrupt)
    reactor.callWhenRunning(service.startService)
    reactor.run()
    return statuses[0] if statuses else ExitStatus.INVALID


def _compare(words: list[str]) -> int:
    from proxyreload.command.compare import run_comparison

    return run_comparison(words)


def _report(words: list[str]) -> int:
    from proxyreload.command.report import make_report

    return make_report(words)


def _plugins(words: list[str]) -> int:
    from proxyreload.command.plugins import list_plugins

    return list_plugins(words)


def _backend(words: list[str]) -> int:
    from proxyreload.command.backend import serve_backend

    return serve_backend(words)


def _selftest(words: list[str]) -> int:
    from proxyreload.command.selftest import run_selftest

    return run_selftest(words)


def _twistd(words: list[str]) -> int:
    from proxyreload.command.twistd import run_twistd

    return run_twistd(words)
