"""Finds proxy plugins: by the entry point group, and in the folders of the plugin path."""

from collections.abc import Container, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import attrs
from zope.interface.verify import verifyObject

from proxyreload.errors import CannotError, UsageError
from proxyreload.proxy import pluginpath
from proxyreload.proxy.configuration import Configuration, read
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

    def configured(self, path: Path, actions: Iterable[str], *, tls: bool) -> Configuration:
        """Return the user's configuration in place of the mechanism's own.

        Raises `UsageError`, with line and remedy, for one that the mechanism, or one of `actions`, cannot do with.
        """
        made = self.with_files(path)
        made.require(actions, tls=tls)
        return made

    def with_files(self, path: Path) -> Configuration:
        """Return it likewise, for whatever may be asked of it."""
        own = self.mechanism.configuration
        if own is None:
            msg = f"{self.name} takes no configuration of yours: its plugin writes its own"
            raise UsageError(msg)
        return own.with_files(read(path), str(path))

    def why_not(
        self,
        actions: Iterable[str],
        commands: Container[str] = (),
        kinds: Mapping[str, str] | None = None,
        *,
        tls: bool = False,
    ) -> str:
        """Say that it cannot speak TLS, do one of `actions`, or carry one of the `kinds`, and why; empty if it can all.

        The kinds are those that were asked for by name, with what each needs.
        """
        mechanism = self.mechanism
        if tls and mechanism.no_tls:
            return f"cannot speak TLS: {mechanism.no_tls}"
        for action in sorted(actions):
            if why_not := mechanism.why_not(action, commands):
                return f"cannot {action}: {why_not}"
        for kind, needs in sorted((kinds or {}).items()):
            if why_not := mechanism.why_not_carried(kind, needs, tls=tls):
                return f"cannot carry {kind}: {why_not}"
        return ""

    def require(
        self,
        actions: Iterable[str],
        commands: Container[str] = (),
        kinds: Mapping[str, str] | None = None,
        *,
        tls: bool = False,
    ) -> None:
        """Raise `CannotError` if there is a `why_not`."""
        why_not = self.why_not(actions, commands, kinds, tls=tls)
        if why_not:
            msg = f"{self.name} {why_not}"
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
