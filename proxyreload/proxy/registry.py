"""Finds proxy plugins: by the entry point group, and in the folders of the plugin path."""

from collections.abc import Container, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

import attrs
from zope.interface.verify import verifyObject

from proxyreload.errors import CannotError, UsageError
from proxyreload.proxy import pluginpath
from proxyreload.proxy.foreign import Calling
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

    def require(
        self,
        actions: Iterable[str],
        commands: Container[str] = (),
        kinds: Mapping[str, str] | None = None,
        *,
        tls: bool = False,
    ) -> None:
        """Raise `CannotError` if the mechanism cannot do one of `actions`, carry one of the `kinds`, or speak TLS.

        The kinds are those that were asked for by name, with what each needs.
        """
        if tls and self.mechanism.no_tls:
            msg = f"{self.name} cannot speak TLS: {self.mechanism.no_tls}"
            raise CannotError(msg)
        for action in sorted(actions):
            why_not = self.mechanism.why_not(action, commands)
            if why_not:
                msg = f"{self.name} cannot {action}: {why_not}"
                raise CannotError(msg)
        for kind, needs in sorted((kinds or {}).items()):
            why_not = self.mechanism.why_not_carried(kind, needs, tls=tls)
            if why_not:
                msg = f"{self.name} cannot carry {kind}: {why_not}"
                raise CannotError(msg)


def installed() -> dict[str, EntryPoint]:
    """Return all plugins there are, by name, none of them loaded.

    Raises `UsageError` if two have one name: a run must not depend on which of them comes first.
    """
    folders = pluginpath.searched()
    found = [(_distribution(point), point) for point in entry_points(group=GROUP)]
    for folder in folders:
        found += [(f"{folder}/{point.module}.py", point) for point in pluginpath.modules(folder, GROUP)]
    homes: dict[str, str] = {}
    for home, point in found:
        if point.name in homes:
            msg = f"there are two plugins {point.name}: one of {homes[point.name]}, one of {home}"
            raise UsageError(msg)
        homes[point.name] = home
    return {point.name: point for _home, point in sorted(found, key=lambda pair: pair[1].name)}


def load(point: EntryPoint) -> IProxyPlugin:
    """Load one plugin; raises `UsageError` naming the distribution if that fails."""
    with Calling(UsageError, f"plugin {point.name} of {_home(point)} cannot be loaded"):
        plugin: IProxyPlugin = point.load()
        verifyObject(IProxyPlugin, plugin)
        if not plugin.mechanisms:
            msg = "it has no mechanism"
            raise ValueError(msg)
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


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown distribution"


def _home(point: EntryPoint) -> str:
    """Say where a plugin is from: its distribution, or its file in a folder of the plugin path."""
    files = (folder / f"{point.module}.py" for folder in pluginpath.searched() if point.dist is None)
    return next((str(file) for file in files if file.is_file()), _distribution(point))
