"""A plugin's configuration with something else at some places."""

from collections.abc import Mapping

from proxyreload.errors import UsageError
from proxyreload.system.untrusted import printable


def altered(texts: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of files with what `changes` has for what stands there once, in one of them.

    Raises `UsageError` for what stands nowhere, or more often.
    """
    made = dict(texts)
    for before, after in changes.items():
        found = {name: text.count(before) for name, text in made.items() if before in text}
        if sum(found.values()) != 1:
            how = "stands more than once in" if found else "is not in"
            msg = f"{printable(repr(before), 80)} {how} the configuration ({', '.join(texts)})"
            raise UsageError(msg)
        (name,) = found
        made[name] = made[name].replace(before, after)
    return made
