"""What must be so before a run begins: programs and a folder that are there, free ports, a name with an address."""

from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import attrs
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorPluggableNameResolver

from proxyreload.errors import StartError, UsageError
from proxyreload.plan.settings import FRONT_HOST, Settings
from proxyreload.proxy.folder import require_parent
from proxyreload.proxy.foreign import Calling
from proxyreload.proxy.ports import require_free

_RESOLVE_TIMEOUT_S = 5
#: For the reactor, the files that are written, the proxy's processes and sockets, the live page and its readers.
OWN_DESCRIPTORS = 192


@attrs.frozen
class Programs:
    """The proxy's program and the one to upgrade to, with what they say of themselves; empty where there is none."""

    binary: Path = attrs.field(factory=Path)
    version: str = ""
    successor: Path = attrs.field(factory=Path)
    successor_version: str = ""

    def as_run(self) -> dict[str, object]:
        """Return them as they stand in ``run.json``."""
        told: dict[str, object] = {"proxy_version": self.version}
        if self.successor_version:
            told["successor_version"] = self.successor_version
        return told


def programs(settings: Settings) -> Programs:
    """Find the programs.

    Raises `UsageError` or `StartError` if one is missing, and `CannotError` if the scenario has what the mechanism
    cannot do.
    """
    choice = settings.choice
    if choice is None:
        return Programs()
    with Calling(StartError, f"what plugin {choice.plugin.name} says of its program"):
        choice.require(settings.scenario.actions, settings.commands, settings.kinds_asked, tls=settings.tls.front)
        program = choice.plugin.binary
        if program is None:
            return Programs()
        binary = program.find(settings.binary)
        if settings.upgrade_to is None:
            return Programs(binary, program.version(binary), binary)
        successor = program.find(settings.upgrade_to, "--upgrade-to")
        return Programs(binary, program.version(binary), successor, program.version(successor))


def require_ports(settings: Settings) -> None:
    """Raise `StartError` or `UsageError` if a port that is to be listened on cannot be."""
    backends = settings.backends
    if backends.hosted:
        for instance in range(backends.number):
            require_free(backends.host, backends.first_port + instance, f"backend {instance}")
    if settings.is_ours:
        require_free(FRONT_HOST, settings.target.port, "the front")


def descriptors(settings: Settings) -> int:
    """Return how many files and sockets the run may have open in any one process of ours.

    Each client has one connection, a second one while the first is being closed. Of a proxy's connections to hosted
    backends nobody knows how many there will be: two for each client cover what proxies with a pool for each thread do.
    """
    backends = settings.backends
    clients = sum(group.clients for group in settings.everyone) + 1
    if not backends.hosted:
        return OWN_DESCRIPTORS + 2 * clients
    # Of a backend's process: a socket pair, a pidfd, its output. It inherits the limit.
    return OWN_DESCRIPTORS + 4 * clients + (3 if backends.processes else 1) * backends.number


def require_folder(settings: Settings) -> None:
    """Raise `UsageError` if what a proxy needs cannot be kept in the folder for temporary files."""
    if settings.choice is not None:
        require_parent()


async def resolved(reactor: IReactorPluggableNameResolver, host: str) -> str:
    """Return a host's address; raises `UsageError` if it has none, `CancelledError` if the run is ended."""
    with suppress(ValueError):
        return str(ip_address(host))
    try:
        address: str = await reactor.resolve(host, timeout=(_RESOLVE_TIMEOUT_S,))  # type: ignore[attr-defined]
    except CancelledError:
        raise
    except Exception as error:
        msg = f"{host} cannot be resolved to an address"
        raise UsageError(msg) from error
    return address
