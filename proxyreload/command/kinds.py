"""``proxyreload kinds``: what clients can send, and what carries it."""

from collections.abc import Iterator, Sequence

from proxyreload.cli.base import Options
from proxyreload.errors import ExitStatus, ProxyreloadError
from proxyreload.proxy.registry import Choice, installed, load
from proxyreload.system.untrusted import line_of
from proxyreload.traffic.interfaces import Key, Kind
from proxyreload.traffic.registry import kinds


class KindsOptions(Options):
    """proxyreload kinds."""

    synopsis = "proxyreload kinds [options]"
    longdesc = (
        "Lists every kind of traffic, what a right outcome is, its keys for a scenario's [[traffic]], and which "
        "mechanisms carry it."
    )
    examples = ("proxyreload kinds",)
    optFlags = [["names", None, "Names only, with what each client does behind a tab"]]  # noqa: RUF012


def list_kinds(words: list[str]) -> int:
    """Print the list."""
    options = KindsOptions()
    options.parseOptions(words)
    if options["names"]:
        for kind in kinds().values():
            print(f"{kind.name}\t{kind.summary}")  # noqa: T201
        return ExitStatus.LOSSLESS
    carriers, missing = _carriers()
    for kind in kinds().values():
        for line in (*_told(kind), *_carried(kind, carriers)):
            print(line_of(line))  # noqa: T201
    for line in missing:
        print(line_of(line))  # noqa: T201
    return ExitStatus.LOSSLESS


def _carriers() -> tuple[list[Choice], list[str]]:
    """Return the mechanisms of all proxies that are started here, and what is wrong with a plugin.

    Of a proxy that somebody else runs nobody knows what it carries.
    """
    found, missing = [], []
    for point in installed().values():
        try:
            plugin = load(point)
        except ProxyreloadError as error:
            missing.append(str(error))
            continue
        if plugin.binary is not None and not plugin.testing:
            found += [Choice(plugin, mechanism) for mechanism in plugin.mechanisms]
    return found, missing


def _told(kind: Kind) -> list[str]:
    """Return a kind's lines."""
    lines = [f"{kind.name:<10} {kind.summary}", f"{'':<10} right: {kind.outcome}"]
    lines += [f"{'':<10}   {name} = {_default(key)}: {key.summary}" for name, key in kind.keys.items()]
    return lines


def _carried(kind: Kind, carriers: Sequence[Choice]) -> Iterator[str]:
    """Yield who carries a kind, a plugin whose mechanisms all do by its name alone; and who cannot, and why."""
    by_plugin: dict[str, list[Choice]] = {}
    for choice in carriers:
        by_plugin.setdefault(choice.plugin.name, []).append(choice)
    able: list[str] = []
    for plugin, choices in by_plugin.items():
        carry = [choice.name for choice in choices if kind.name not in choice.mechanism.carries_not]
        able += [plugin] if len(carry) == len(choices) else carry
    if able:
        yield f"{'':<10} carried by {', '.join(able)}"
    for choice in carriers:
        if kind.name in choice.mechanism.carries_not:
            yield f"{'':<10} {choice.name} cannot: {choice.mechanism.carries_not[kind.name]}"


def _default(key: Key) -> str:
    if isinstance(key.default, tuple):
        return f"[{key.default[0]:g}, {key.default[1]:g}]"
    return f"{key.default:.12g}"
