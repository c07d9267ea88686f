"""The role of who tries a version."""

from collections.abc import Awaitable, Sequence

from zope.interface import Interface


class Stopped(Exception):
    """It was interrupted."""


class ITrier(Interface):
    """Makes changes with a version of a proxy."""

    def hits(version: str) -> Awaitable[Sequence[bool]]:
        """Make some changes with it, and say of each whether it was hit, in their order.

        Raises `proxyreload.errors.ProxyreloadError` if nothing can be said of that version, and
        `Stopped` if no more is to be tried.
        """
