"""``proxyreload kinds``: what clients can send."""

from proxyreload.cli.base import Options
from proxyreload.errors import ExitStatus
from proxyreload.traffic.interfaces import Key, Kind
from proxyreload.traffic.registry import kinds


class KindsOptions(Options):
    """proxyreload kinds."""

    synopsis = "proxyreload kinds [options]"
    longdesc = "Lists every kind of traffic, what a right outcome is, and its keys for a scenario's [[traffic]]."
    examples = ("proxyreload kinds",)
    optFlags = [["names", None, "Names only, with what each client does behind a tab"]]  # noqa: RUF012


def list_kinds(words: list[str]) -> int:
    """Print the list."""
    options = KindsOptions()
    options.parseOptions(words)
    for kind in kinds().values():
        if options["names"]:
            print(f"{kind.name}\t{kind.summary}")  # noqa: T201
        else:
            print("\n".join(_told(kind)))  # noqa: T201
    return ExitStatus.LOSSLESS


def _told(kind: Kind) -> list[str]:
    """Return a kind's lines."""
    lines = [f"{kind.name:<10} {kind.summary}", f"{'':<10} right: {kind.outcome}"]
    lines += [f"{'':<10}   {name} = {_default(key)}: {key.summary}" for name, key in kind.keys.items()]
    return lines


def _default(key: Key) -> str:
    if isinstance(key.default, tuple):
        return f"[{key.default[0]:g}, {key.default[1]:g}]"
    return f"{key.default:.12g}"
