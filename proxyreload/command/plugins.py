"""``proxyreload plugins``: what there is, and what is missing."""

from proxyreload.command.base import Options
from proxyreload.errors import ExitStatus, ProxyreloadError
from proxyreload.proxy.finding import installed, load


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
        try:
            path = plugin.binary.find()
            about = f"{plugin.binary.version(path) or 'version not told'}  {path}"
        except ProxyreloadError as error:
            about = str(error)
        print(f"{plugin.name:<10} {about}")  # noqa: T201
        for index, mechanism in enumerate(plugin.mechanisms):
            recommended = " (recommended)" if index == 0 and len(plugin.mechanisms) > 1 else ""
            print(f"    {plugin.name}:{mechanism.name:<20} {mechanism.summary}{recommended}")  # noqa: T201
    return ExitStatus.LOSSLESS
