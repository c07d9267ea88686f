"""A backend as a proxy knows it."""

import attrs


@attrs.frozen
class Upstream:
    """One backend, by its number and where it listens."""

    instance: int
    host: str
    port: int

    @property
    def name(self) -> str:
        """What it may be called in a proxy's configuration."""
        return f"backend{self.instance}"

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"
