"""Finds proxy plugins through the entry point group."""

from importlib.metadata import EntryPoint, entry_points

import attrs
from zope.interface.verify import verifyObject

from proxyreload.errors import UsageError
from proxyreload.proxy.interfaces import IProxyPlugin, Mechanism

GROUP = "proxyreload.plugins"


@attrs.frozen
class Choice:
    """A plugin and one of its mechanisms."""

    plugin: IProxyPlugin
    mechanism: Mechanism

    @property
    def name(self) -> str:
        """``plugin:mechanism``."""
        return f"{self.plugin.name}:{self.mechanism.name}"


def installed() -> dict[str, EntryPoint]:
    """Return every plugin's entry point by its name; none is loaded."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def load(point: EntryPoint) -> IProxyPlugin:
    """Load one plugin; raises `UsageError` naming the distribution if that fails."""
    distribution = point.dist.name if point.dist is not None else "an unknown distribution"
    try:
        plugin: IProxyPlugin = point.load()
        verifyObject(IProxyPlugin, plugin)
        if not plugin.mechanisms:
            msg = "it has no mechanism"
            raise ValueError(msg)  # noqa: TRY301
    except Exception as error:
        msg = f"plugin {point.name} of {distribution} cannot be loaded: {type(error).__name__}: {error}"
        raise UsageError(msg) from error
    return plugin


def choose(name: str) -> Choice:
    """Return what ``plugin`` or ``plugin:mechanism`` names; raises `UsageError` with the names there are."""
    plugin_name, colon, mechanism_name = name.partition(":")
    points = installed()
    point = points.get(plugin_name)
    if point is None:
        msg = f"no plugin {plugin_name!r}; there are: {', '.join(points) or 'none'}"
        raise UsageError(msg)
    plugin = load(point)
    if not colon:
        return Choice(plugin, plugin.mechanisms[0])
    for mechanism in plugin.mechanisms:
        if mechanism.name == mechanism_name:
            return Choice(plugin, mechanism)
    names = ", ".join(mechanism.name for mechanism in plugin.mechanisms)
    msg = f"plugin {plugin_name} has no mechanism {mechanism_name!r}; there are: {names}"
    raise UsageError(msg)
