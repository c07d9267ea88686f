"""A route that has nothing to do with the traffic: what the change ``edit`` edits in a proxy's configuration."""

from collections.abc import Collection

import attrs

#: What redirects, and what may stand for that where a proxy cannot redirect: it answers itself, and asks nobody.
REDIRECTS, REFUSALS = (301, 302, 303, 307, 308), (401, 403)


@attrs.frozen
class Route:
    """Whoever asks for its ``path`` is redirected to ``to``; nobody of the traffic does."""

    number: int  #: from 1 on

    @property
    def path(self) -> str:
        """What is asked for: another one for each edit, so that no answer can be an earlier one's."""
        return f"/proxyreload-edited-{self.number}"

    @property
    def to(self) -> str:
        """Where that leads."""
        return f"/proxyreload-leads-to-{self.number}"

    def why_not(self, status: int, locations: Collection[str]) -> str:
        """Say why an answer with this status and these ``Location`` fields is not the edited route's; empty if it is.

        Without the route every path is passed to a backend, which answers 200. Who cannot redirect may refuse it.
        """
        if status in REFUSALS or (status in REDIRECTS and any(each.endswith(self.to) for each in locations)):
            return ""
        return f"the edited route {self.path} was answered with status {status}, not as edited"


@attrs.define
class Edits:
    """The edited route of one run: none at first, another one with each edit."""

    current: Route | None = None
    _before: Route | None = attrs.field(default=None, init=False)
    _made: int = attrs.field(default=0, init=False)

    def renew(self) -> Route:
        """Let there be another one in place of the one there is."""
        self._made += 1
        self._before, self.current = self.current, Route(self._made)
        return self.current

    def put_back(self) -> None:
        """Let the one before be the current one again: the edit is refused. Once done, it changes nothing more."""
        self.current = self._before
