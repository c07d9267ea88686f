"""The role of who makes changes at a pace."""

from collections.abc import Awaitable

from zope.interface import Interface

from proxyreload.capacity.step import Step


class IPacer(Interface):
    """Makes changes with one mechanism."""

    def step(rate_per_s: float, backends: int) -> Awaitable[Step]:
        """Make changes at that pace with so many backends, until it is known whether it is kept.

        Raises `proxyreload.errors.ProxyreloadError` if the mechanism cannot be run, and
        `proxyreload.bisection.interfaces.Stopped` if no more is to be tried.
        """
