"""A mechanism as it is named on a command line: ``PLUGIN[:MECHANISM][@VERSION|@PATH]``."""

import attrs

from proxyreload.errors import UsageError
from proxyreload.proxy.registry import Choice, choose


@attrs.frozen
class Named:
    """A mechanism, and the version or the program that was named with it, if one was."""

    choice: Choice
    program: str | None = None

    @classmethod
    def of(cls, text: str) -> "Named":
        """Find what is named; raises `UsageError` with the names there are."""
        mechanism, program = parted(text)
        named = cls(choose(mechanism), program)
        if program is not None and named.choice.plugin.binary is None:
            msg = f"{named.name} cannot be run: somebody else runs the proxy"
            raise UsageError(msg)
        return named

    @property
    def name(self) -> str:
        """``plugin:mechanism``, and ``@program`` if one was named."""
        return self.choice.name + (f"@{self.program}" if self.program else "")


def parted(text: str) -> tuple[str, str | None]:
    """Return the name of the mechanism, and what stands behind the ``@``, if something does."""
    mechanism, _at, program = text.partition("@")
    return mechanism, program or None
