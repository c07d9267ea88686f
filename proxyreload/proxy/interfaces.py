"""The roles of a proxy plugin."""

from collections.abc import Awaitable, Callable, Collection, Container, Mapping, Sequence
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface, implementer

from proxyreload.adoption.adopted import Adopter
from proxyreload.history.actions import EDIT, ROTATE
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import Configuration
from proxyreload.proxy.recipe import Recipe
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace


class IProxy(Interface):
    """One running proxy, changed by one mechanism."""

    def start(upstreams: Sequence[Upstream]) -> Awaitable[None]:
        """Start the proxy with these backends; done when its front port answers.

        Raises `proxyreload.errors.StartError`, with the proxy's own words, if it does not come up.
        """

    def add_backend(upstream: Upstream) -> Awaitable[None]:
        """Add a backend; done when the proxy's own mechanism says that it is applied.

        Raises `proxyreload.errors.ChangeError`, with the proxy's own words, if it refuses.
        """

    def remove_backend(upstream: Upstream) -> Awaitable[None]:
        """Remove a backend, likewise. The backend goes on answering."""

    def stop() -> Awaitable[None]:
        """Stop the proxy, gracefully. Whatever is left afterwards is killed by the workspace."""


class IReloads(IProxy):
    """A proxy that can also read its configuration again."""

    def reload() -> Awaitable[None]:
        """Reload with nothing changed; done when what was reloaded serves.

        Raises `proxyreload.errors.ChangeError`, with the proxy's own words, if it refuses.
        """


class IUpgrades(IProxy):
    """A proxy whose program can also be replaced while it serves."""

    def upgrade(binary: Path) -> Awaitable[None]:
        """Let `binary`, which may be the same program, take over; done when it serves and the old one accepts no more.

        Raises `proxyreload.errors.ChangeError`, with the proxy's own words, if it does not.
        """


class ISecures(IProxy):
    """A proxy whose front speaks TLS where `Workspace.tls` is there, with the certificate and the key at its paths.

    It offers the protocols that are named there, as far as it speaks them.
    """


class IRotates(ISecures):
    """And that can take another certificate while it serves."""

    def rotate() -> Awaitable[None]:
        """Take the certificate and the key that lie at the paths of `Workspace.tls` by now; done when it says so.

        Raises `proxyreload.errors.ChangeError`, with the proxy's own words, if it refuses: then the files of before are
        put back, and whatever else it has done for the others is to be undone.
        """


class IEdits(IProxy):
    """A proxy in whose configuration something can be edited that has nothing to do with the traffic.

    Its front answers as `Workspace.route` says: with a redirect, or with 401 or 403 where it cannot redirect.
    """

    def edit() -> Awaitable[None]:
        """Bring the route into effect that `Workspace.route` is by now, in place of the one before; done when it is.

        Raises `proxyreload.errors.ChangeError`, with the proxy's own words, if it refuses: then `Edits.put_back` makes
        `Workspace.route` the one before again, and whatever else it has done is to be undone.
        """


class IGenerations(IProxy):
    """A proxy that has old processes which its workspace does not know: no one has handed over by `Workspace.replace`.

    A run goes on until the last of them has ended, so that it sees what that does to the clients.
    """

    def old_processes() -> Awaitable[Collection[int]]:
        """Return the pids of those that live on only to finish what they have."""


class ITakesTurns(IProxy):
    """A proxy that cannot begin a change before an old process of the change before has ended."""

    def ready() -> Awaitable[None]:
        """Done when another change can begin; what happens until then is the doing of the one before.

        Raises `proxyreload.errors.ChangeError` if that takes too long.
        """


class IChecks(IProxy):
    """A proxy whose program can say what it has against its configuration without starting with it."""

    def why_refused() -> Awaitable[str | None]:
        """Return in which words it refuses the configuration that was written last, as `proxy.refusal.refused` does.

        Empty: it takes it. None: it cannot say.
        """


#: What a mechanism's proxy must provide for an action, beyond `IProxy`.
ROLES = {"reload": IReloads, "upgrade": IUpgrades, ROTATE: IRotates, EDIT: IEdits}
#: In ``cannot``: why a mechanism's front does not speak TLS.
TLS = "tls"


#: What a fault injector counts besides failures by class, and endings of connections by name.
FRONT_CHANGED = "front changed"
BACK_CHANGED = "back changed"
STRAGGLERS = "stragglers"


@attrs.frozen
class Sender:
    """One client, as a fault injector must know it: what can befall it depends on that."""

    kind: str  #: of its traffic
    far: bool = False  #: its requests are a while on their way, so that they can cross an end that it does not know yet


class IFaultInjector(Interface):
    """A proxy that harms its clients on purpose, for the instrument to be tested by.

    It is made of a workspace and of a mapping, each client's `Sender` by its number.
    """

    expected: Mapping[tuple[str, str], int] = Attribute(
        "what the clients must have seen: by kind of traffic, and failure class, ending or one of the names above"
    )
    fates: Mapping[tuple[str, str], int] = Attribute(
        "what must have become of the requests: by kind of traffic, and fate as ``run.json`` has it"
    )
    finished: Deferred[None] = Attribute("fires when all faults are done")
    requests: int = Attribute("how many requests it has had")


@attrs.frozen
class Cure:
    """What is known to help where a mechanism loses requests."""

    advice: str  #: in a line: the setting, or the other mechanism
    link: str  #: where the proxy's documentation or its issue tracker says so


@attrs.frozen
class Mechanism:
    """One of the ways a proxy can be changed.

    ``proxy`` makes one run's proxy: the class itself, whose roles say whether it reloads, upgrades, rotates and edits.
    ``cannot`` says why it does not, by action; ``carries_not`` says which kinds of traffic it does not carry, and why,
    by their names; ``carries``, what it speaks beyond HTTP/1.1 (``HTTP/2``, ``gRPC``, ``WebSocket``), and
    ``only_over_tls``, what of that not in the clear, and why. One that is ``commanded`` does only what the user has
    given it a command for. ``shows`` is known to help where it does not come to show another certificate. By its
    ``recipe`` somebody who has no proxyreload makes the same change. Its ``configuration`` is what the proxy is run
    from, unless the user has one of his own; None: the plugin takes none.
    """

    name: str
    summary: str  #: in a line
    proxy: Callable[[Workspace], IProxy]
    cure: Cure | None = None
    cannot: Mapping[str, str] = attrs.field(factory=dict)
    commanded: bool = False
    carries_not: Mapping[str, str] = attrs.field(factory=dict)
    carries: Collection[str] = ()
    only_over_tls: Mapping[str, str] = attrs.field(factory=dict)
    recipe: Recipe | None = None
    shows: Cure | None = None
    configuration: Configuration | None = None

    @property
    def no_tls(self) -> str:
        """Why its front does not speak TLS, empty if it does where that is asked for."""
        return self.cannot.get(TLS, "" if self._provides(ISecures) else "its plugin knows no way")

    def why_not(self, action: str, commands: Container[str] = ()) -> str:
        """Say why it cannot do `action` with the `commands` there are, empty if it can."""
        if self.commanded and action not in commands:
            return f"no --{action}-command"
        role = ROLES.get(action)
        return "" if role is None or self._provides(role) else self.cannot.get(action, "its plugin knows no way")

    def why_not_carried(self, kind: str, needs: str, *, tls: bool, asked: bool = True) -> str:
        """Say why it does not carry a kind of traffic, which `needs` something; empty if it does.

        Of a proxy that somebody else runs nobody knows, and who has `asked` for a kind by name has it.
        """
        if kind in self.carries_not:
            return self.carries_not[kind]
        if self.commanded:
            return "" if asked else nobody_knows(needs)
        if needs and needs not in self.carries:
            return f"its plugin does not say that it speaks {needs}"
        return self.only_over_tls.get(needs, "") if not tls else ""

    def _provides(self, role: type[IProxy]) -> bool:
        implemented: bool = isinstance(self.proxy, type) and role.implementedBy(self.proxy)
        return implemented


def nobody_knows(needs: str) -> str:
    """Say why what `needs` something is not sent unasked through a proxy that somebody else runs; empty for nothing."""
    return f"nobody knows whether the proxy speaks {needs}: ask for it by name" if needs else ""


def carrying(
    carries: Collection[str],
    *mechanisms: Mechanism,
    only_over_tls: Mapping[str, str] | None = None,
    configuration: Configuration | None = None,
) -> tuple[Mechanism, ...]:
    """Return mechanisms that all carry the same beyond HTTP/1.1, and are run from one configuration if there is one."""
    return tuple(
        attrs.evolve(
            each,
            carries=carries,
            only_over_tls=only_over_tls or {},
            configuration=each.configuration or configuration,
        )
        for each in mechanisms
    )


class IProxyPlugin(Interface):
    """What an entry point of the group ``proxyreload.plugins`` names."""

    name: str = Attribute("as on the command line")
    binary: Binary | None = Attribute("where its program is found; None: somebody else runs the proxy")
    mechanisms: Sequence[Mechanism] = Attribute("the recommended one first")
    testing: bool = Attribute("it is no proxy that anybody would run: left out where all are compared")


@implementer(IProxyPlugin)
@attrs.frozen
class ProxyPlugin:
    """A proxy plugin as plain data: all that most need."""

    name: str
    binary: Binary | None
    mechanisms: Sequence[Mechanism]
    testing: bool = False
    adopts: Adopter | None = None  #: makes templates of real files of the proxy's
