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
    """Yield who carries a kind, and who cannot, or only over TLS, and why."""
    able = [choice for choice in carriers if not _why_not(kind, choice)]
    if able:
        yield f"{'':<10} carried by {', '.join(_named(able, carriers))}"
    reasons: dict[str, list[Choice]] = {}
    for choice in carriers:
        if why_not := _why_not(kind, choice):
            reasons.setdefault(f"cannot: {why_not}", []).append(choice)
        elif in_the_clear := _why_not(kind, choice, tls=False):
            reasons.setdefault(f"only with --tls: {in_the_clear}", []).append(choice)
    for reason, choices in reasons.items():
        yield f"{'':<10} {', '.join(_named(choices, carriers))} {reason}"


def _named(choices: Sequence[Choice], everyone: Sequence[Choice]) -> list[str]:
    """Return mechanisms' names, of a plugin whose mechanisms are all among them the plugin's alone."""
    named: list[str] = []
    for plugin in dict.fromkeys(choice.plugin.name for choice in choices):
        own = [choice.name for choice in choices if choice.plugin.name == plugin]
        whole = len(own) == sum(choice.plugin.name == plugin for choice in everyone)
        named += [plugin] if whole else own
    return named


def _why_not(kind: Kind, choice: Choice, *, tls: bool = True) -> str:
    return choice.mechanism.why_not_carried(kind.name, kind.needs, tls=tls)


def _default(key: Key) -> str:
    if isinstance(key.default, tuple):
        return f"[{key.default[0]:g}, {key.default[1]:g}]"
    return f"{key.default:.12g}"
