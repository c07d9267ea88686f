"""``proxyreload plugins``: what there is, and what is missing."""

from proxyreload.command.base import Options
from proxyreload.errors import ExitStatus, ProxyreloadError
from proxyreload.proxy.finding import installed, load
from proxyreload.proxy.interfaces import IProxyPlugin


class PluginsOptions(Options):
    """proxyreload plugins."""

    synopsis = "proxyreload plugins"
    longdesc = "Lists every plugin and mechanism, its program and version, or what is missing."


def list_plugins(words: list[str]) -> int:
    """Print the list."""
    PluginsOptions().parseOptions(words)
    for name, point in installed().items():
        try:
            plugin = load(point)
        except ProxyreloadError as error:
            print(f"{name:<10} {error}")  # noqa: T201
            continue
        print(f"{plugin.name:<10} {_program(plugin)}")  # noqa: T201
        for index, mechanism in enumerate(plugin.mechanisms):
            recommended = " (recommended)" if index == 0 and len(plugin.mechanisms) > 1 else ""
            print(f"    {plugin.name}:{mechanism.name:<20} {mechanism.summary}{recommended}")  # noqa: T201
    return ExitStatus.LOSSLESS


def _program(plugin: IProxyPlugin) -> str:
    """Say what its program is and where, or what is missing."""
    binary = plugin.binary
    if binary is None:
        return "somebody else runs the proxy"
    try:
        path = binary.find()
    except ProxyreloadError as error:
        return str(error)
    return f"{binary.version(path) or 'version not told'}  {path}"
