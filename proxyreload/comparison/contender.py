"""Who is compared: mechanisms by name, or why one cannot be run."""

from collections.abc import Iterator, Sequence

import attrs

from proxyreload.errors import ProxyreloadError, UsageError
from proxyreload.proxy.registry import Choice, choose, installed, load


@attrs.frozen
class Contender:
    """One mechanism, with the program that it is to run if that is not the usual one."""

    choice: Choice
    binary: str | None = None

    @property
    def name(self) -> str:
        """``plugin:mechanism``, and ``@program`` if one was asked for."""
        return self.choice.name + (f"@{self.binary}" if self.binary else "")

    def usual(self) -> str | None:
        """Return the program that another one which was asked for is upgraded to; None if none was."""
        program = self.choice.plugin.binary
        if self.binary is None or program is None:
            return None
        try:
            return str(program.find())
        except ProxyreloadError:
            return None


def contenders(names: Sequence[str]) -> list[Contender]:
    """Return those that are named, ``plugin[:mechanism][@program]``; raises `UsageError` if there is none such."""
    found: list[Contender] = []
    for name in names:
        mechanism, _at, binary = name.partition("@")
        contender = Contender(choose(mechanism), binary or None)
        if contender.choice.plugin.binary is None:
            msg = f"{contender.name} cannot be compared: somebody else runs the proxy"
            raise UsageError(msg)
        if contender.name not in [each.name for each in found]:
            found.append(contender)
    return found


def everyone() -> Iterator[Contender | str]:
    """Yield every mechanism of every installed plugin that is a proxy's, or what is wrong with a plugin."""
    for point in installed().values():
        try:
            plugin = load(point)
        except ProxyreloadError as error:
            yield str(error)
            continue
        if plugin.binary is not None and not plugin.testing:
            yield from (Contender(Choice(plugin, mechanism)) for mechanism in plugin.mechanisms)
