"""``proxyreload plugins``: what there is, and what is missing."""

from collections.abc import Iterator
from contextlib import suppress

from proxyreload.cli.base import Options
from proxyreload.errors import ExitStatus, ProxyreloadError, StartError
from proxyreload.proxy.foreign import Calling
from proxyreload.proxy.interfaces import IProxyPlugin, Mechanism
from proxyreload.proxy.registry import installed, load
from proxyreload.system.untrusted import line_of


class PluginsOptions(Options):
    """proxyreload plugins."""

    synopsis = "proxyreload plugins [options]"
    longdesc = "Lists every plugin and mechanism, its program and version, or what is missing."
    examples = ("proxyreload plugins",)
    optFlags = [["names", None, "Names only, with what each mechanism does behind a tab"]]  # noqa: RUF012


def list_plugins(words: list[str]) -> int:
    """Print the list."""
    options = PluginsOptions()
    options.parseOptions(words)
    if options["names"]:
        return _print_names()
    for name, point in installed().items():
        try:
            plugin = load(point)
        except ProxyreloadError as error:
            print(line_of(f"{name:<10} {error}"))  # noqa: T201
            continue
        print(line_of(f"{plugin.name:<10} {_program(plugin)}"))  # noqa: T201
        for index, mechanism in enumerate(plugin.mechanisms):
            recommended = " (recommended)" if index == 0 and len(plugin.mechanisms) > 1 else ""
            print(line_of(f"    {plugin.name}:{mechanism.name:<20} {mechanism.summary}{recommended}"))  # noqa: T201
        for line in _carried(plugin):
            print(line_of(f"    {line}"))  # noqa: T201
    return ExitStatus.LOSSLESS


def _print_names() -> int:
    """Print what --plugin takes, of those plugins that can be loaded."""
    for point in installed().values():
        with suppress(ProxyreloadError):
            plugin = load(point)
            print(f"{line_of(plugin.name)}\t{line_of(plugin.mechanisms[0].summary)}")  # noqa: T201
            for mechanism in plugin.mechanisms:
                print(f"{line_of(plugin.name)}:{line_of(mechanism.name)}\t{line_of(mechanism.summary)}")  # noqa: T201
    return ExitStatus.LOSSLESS


def _carried(plugin: IProxyPlugin) -> Iterator[str]:
    """Yield what its mechanisms carry beyond HTTP/1.1, and what they cannot, and why; the same is said once."""
    told: dict[str, list[str]] = {}
    for mechanism in plugin.mechanisms:
        if not mechanism.commanded:
            for line in _carried_by(mechanism):
                told.setdefault(line, []).append(mechanism.name)
    for line, mechanisms in told.items():
        yield line if len(mechanisms) == len(plugin.mechanisms) else f"{', '.join(mechanisms)}: {line}"


def _carried_by(mechanism: Mechanism) -> Iterator[str]:
    there_are = sorted(mechanism.carries)
    yield f"carries {', '.join(['HTTP/1.1', *there_are])}{'' if mechanism.no_tls else '; TLS with --tls'}"
    for what, why in mechanism.only_over_tls.items():
        yield f"{what} only with --tls: {why}"
    for kind, why in mechanism.carries_not.items():
        yield f"cannot carry {kind}: {why}"


def _program(plugin: IProxyPlugin) -> str:
    """Say what its program is and where, or what is missing."""
    try:
        with Calling(StartError, "its program"):
            binary = plugin.binary
            if binary is None:
                return "somebody else runs the proxy"
            path = binary.find()
            return f"{binary.version(path) or 'version not told'}  {path}"
    except ProxyreloadError as error:
        return str(error)
