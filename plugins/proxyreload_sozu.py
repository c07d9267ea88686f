"""sozu, changed over its command socket, reloaded, upgraded.

https://github.com/sozu-proxy/sozu/blob/main/doc/configure_cli.md
"""

import re
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import psutil
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import BACKEND, FRONT, Configuration, Mark, plain
from proxyreload.proxy.interfaces import Cure, IEdits, IReloads, IRotates, IUpgrades, Mechanism, ProxyPlugin, carrying
from proxyreload.proxy.recipe import Command, Recipe
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.route import Route
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.sources.cargo import Cargo
from proxyreload.system.child import ChildProcess
from proxyreload.traffic.grpc import SERVICE
from proxyreload_sozu_command import CommandSocket

CONFIG_FILE, SOCKET = "sozu.toml", "sozu.sock"
TLS = '@@if tls@@, certificate = "@@certificate@@", key = "@@key@@", certificate_chain = "@@certificate@@"@@end@@'
AT_FRONT = 'address = "@@front@@", hostname = "@@hostname@@", position = "TREE"'
BACKENDS = """\
backends = [
    @@each backend@@
    { address = "@@address@@", backend_id = "@@name@@" },
    @@end@@
]
"""
CONFIG = f"""\
log_level = "info"
log_target = "stdout"
command_socket = "@@admin@@"
pid_file_path = "@@folder@@/sozu.pid"
command_buffer_size = 16384
max_command_buffer_size = 163840
ctl_command_timeout = 10000
worker_count = @@workers@@
worker_automatic_restart = true
handle_process_affinity = false
max_connections = 500
buffer_size = 16393
activate_listeners = true

[[listeners]]
protocol = "@@if tls@@https@@else@@http@@end@@"
address = "@@front@@"
@@if tls@@
alpn_protocols = [@@each protocol@@"@@name@@"@@between@@, @@end@@]
@@end@@
front_timeout = @@timeout@@
back_timeout = @@timeout@@
request_timeout = @@timeout@@
connect_timeout = 2

[clusters.app]
protocol = "http"
load_balancing = "ROUND_ROBIN"
sticky_session = false
frontends = [
    @@if edit@@
    {{ {AT_FRONT}, path = "@@edited@@", path_type = "PREFIX", redirect = "unauthorized"{TLS} }},
    @@end@@
    {{ {AT_FRONT}{TLS} }}
]
{BACKENDS}
# Calls of gRPC go to the same backends over HTTP/2.
[clusters.calls]
protocol = "http"
load_balancing = "ROUND_ROBIN"
sticky_session = false
http2 = true
frontends = [
    {{ {AT_FRONT}, path = "/{SERVICE.decode("ascii")}/", path_type = "PREFIX"{TLS} }}
]
{BACKENDS}"""
ADMIN = Mark("admin", "the command socket", 'command_socket = "@@admin@@"', r"^\s*command_socket\b")
#: The main process writes it for its successor.
PID_FILE = Mark("folder", "where the pid file is", 'pid_file_path = "@@folder@@/sozu.pid"', r"^\s*pid_file_path\b")
OWN = Configuration.of(
    {CONFIG_FILE: CONFIG},
    (ADMIN, Mark("workers", "how many worker processes there are")),
    (
        attrs.evolve(FRONT, remedy='address = "@@front@@", of a listener and of its frontends', like=r"^\s*address\b"),
        attrs.evolve(BACKEND, remedy='{ address = "@@address@@", backend_id = "@@name@@" }', like=r"^\s*backends\b"),
        ADMIN,
        PID_FILE,
    ),
)
#: Worker processes; their ids are the numbers from 0, and those of their successors the next ones.
WORKERS = 2


@implementer(IReloads, IRotates, IEdits)
@attrs.define
class Sozu:
    """Backends are added and removed over the command socket, which answers when every worker has done it.

    A connection of a client stays with its backend for life: only new connections reach an added one.
    """

    workspace: Workspace
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _edited: Route | None = attrs.field(default=None, init=False)  #: what sozu has of it
    _program: Path = attrs.field(init=False)
    _commands: CommandSocket = attrs.field(init=False)
    _main: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        self._program = self.workspace.binary
        await self._start(upstreams)

    async def add_backend(self, upstream: Upstream) -> None:
        """Add it over the socket."""
        for cluster in self._clusters:
            await self._commands.add_backend(cluster, upstream)
        self._write_config([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Remove it over the socket, likewise."""
        for cluster in self._clusters:
            await self._commands.remove_backend(cluster, upstream)
        self._write_config([each for each in self._upstreams if each != upstream])

    async def reload(self) -> None:
        """Let sozu read the file, which is kept as the backends are.

        A ``sozu reload`` that names no file brings back what the configuration of the start had and what was removed
        since; none takes a backend away that the file lacks.
        """
        await self._commands.reload(self._config)

    async def rotate(self) -> None:
        """``certificate replace``, over the socket: done when every worker has it."""
        tls = self.workspace.tls
        assert tls is not None and tls.before is not None  # noqa: S101, PT018
        current = tls.current
        front = (self.workspace.front_host, self.workspace.front_port)
        await self._commands.replace_certificate(*front, current.chain, current.key, tls.before.fingerprint)

    async def edit(self) -> None:
        """``frontend add`` of one that is refused, over the socket, and ``frontend remove`` of the one before.

        Older versions of sozu can redirect no path of a host: they can refuse one.
        """
        workspace, before = self.workspace, self._edited
        route = workspace.route
        assert route is not None  # noqa: S101
        protocol = "http" if workspace.tls is None else "https"
        front = (workspace.front_host, workspace.front_port, workspace.hostname)
        await self._commands.refuse(f"add_{protocol}", *front, route.path)
        self._edited = route
        if before is not None:
            await self._commands.refuse(f"remove_{protocol}", *front, before.path)
        self._write_config(self._upstreams)

    async def stop(self) -> None:
        """SIGTERM: finish what is under way."""
        if self._main is not None:
            await self.workspace.stop(self._main, signal.SIGTERM)

    async def _start(self, upstreams: Sequence[Upstream]) -> None:
        workspace = self.workspace
        self._commands = CommandSocket(workspace.reactor, workspace.path(SOCKET))
        self._write_config(upstreams)
        self._main = workspace.spawn(self._program, "start", "-c", self._config)
        await workspace.until_answering(self._main)

    def _write_config(self, upstreams: Sequence[Upstream]) -> None:
        workspace, self._upstreams = self.workspace, list(upstreams)
        workspace.configure(upstreams, admin=workspace.path(SOCKET), workers=WORKERS)

    @property
    def _clusters(self) -> list[str]:
        """The clusters that have the backends."""
        return clusters(self.workspace.configuration.texts[CONFIG_FILE])

    @property
    def _config(self) -> Path:
        return self.workspace.path(CONFIG_FILE)


def clusters(text: str) -> list[str]:
    """Return the names of the clusters of a template that have each backend."""
    parts = re.split(r"^[ \t]*\[clusters\.([^\]\n]+)\]", text, flags=re.MULTILINE)[1:]
    return [name.strip("\"'") for name, told in zip(parts[::2], parts[1::2], strict=True) if "@@each backend@@" in told]


@implementer(IReloads, IUpgrades)
@attrs.define
class Runtime(Sozu):
    """As `Sozu`, from a copy of the program: sozu upgrades itself to what it finds where it was started from.

    A symbolic link would not do: it has that path from ``/proc/self/exe``.
    https://github.com/sozu-proxy/sozu/blob/main/bin/src/upgrade.rs
    """

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Copy the program and start in the foreground."""
        self._program = self.workspace.path(self.workspace.binary.name)
        await self._install(self.workspace.binary)
        await self._start(upstreams)

    async def upgrade(self, binary: Path) -> None:
        """Put `binary` in the place of the program and upgrade; what sozu refuses is put back."""
        before = self.workspace.binary
        if binary != before:
            self._require_own_program()
            await self._install(binary)
        try:
            await self._upgrade_main()
        except ChangeError:
            if binary != before:
                await self._install(before)
            raise
        self.workspace.binary = binary
        await self._upgrade_workers()

    async def _install(self, binary: Path) -> None:
        beside = self._program.with_name("program.new")
        await self.workspace.run("cp", binary, beside)
        beside.rename(self._program)

    def _require_own_program(self) -> None:
        """Raise `ChangeError` if sozu runs from elsewhere: it was started by a script."""
        assert self._main is not None  # noqa: S101
        runs = psutil.Process(self._main.pid).exe()
        if runs != str(self._program.resolve()):
            msg = f"sozu runs from {runs}, and that is what it would start again"
            raise ChangeError(msg)

    async def _upgrade_main(self) -> None:
        """Replace the main process; its successor's pid is in the pid file before sozu answers."""
        assert self._main is not None  # noqa: S101
        old = self._main
        self.workspace.retire(old)
        try:
            await self._commands.upgrade_main()
        except ChangeError:
            self.workspace.reinstate(old)
            raise
        pid = int(self.workspace.path("sozu.pid").read_text(encoding="ascii"))
        self._main = self.workspace.adopt(pid, old.name)

    async def _upgrade_workers(self) -> None:
        """Replace all workers at once, as ``sozu upgrade`` does; wait for all even if one refuses."""
        workers = await self._commands.workers()
        upgrades = [Deferred.fromCoroutine(self._upgrade_worker(*worker)) for worker in workers.items()]
        for _success, outcome in await DeferredList(upgrades, consumeErrors=True):
            if isinstance(outcome, Failure):
                outcome.raiseException()

    async def _upgrade_worker(self, worker: int, pid: int) -> None:
        """Replace a worker, which is ours to reap if the main process that started it is gone."""
        self.workspace.retire(self.workspace.adopt(pid, "worker"))
        await self._commands.upgrade_worker(worker)


@attrs.define
class Upgrade(Runtime):
    """As `Runtime`, and then sozu is upgraded: each change is an upgrade with a changed state.

    The new main process takes over the sockets and the state; new workers take the listening sockets, and the old ones
    close idle connections and finish what is under way.
    """

    async def add_backend(self, upstream: Upstream) -> None:
        """Add it over the socket and upgrade."""
        await super().add_backend(upstream)
        await self._renew_or(super().remove_backend, upstream)

    async def remove_backend(self, upstream: Upstream) -> None:
        """Remove it over the socket and upgrade."""
        await super().remove_backend(upstream)
        await self._renew_or(super().add_backend, upstream)

    async def edit(self) -> None:
        """Edit it over the socket and upgrade."""
        await super().edit()
        await self._renew()

    async def rotate(self) -> None:
        """Upgrade, with another certificate where the configuration has it: what serves then has that of before.

        The state goes along, and nobody reads the files again.
        """
        await self._renew()

    async def _renew_or(self, undo: Callable[[Upstream], Awaitable[None]], upstream: Upstream) -> None:
        try:
            await self._renew()
        except ChangeError:
            with suppress(ChangeError):
                await undo(upstream)  # or the next change would bring this one along
            raise

    async def _renew(self) -> None:
        await self._upgrade_main()
        await self._upgrade_workers()


@attrs.define
class UpgradeWorkers(Upgrade):
    """As `Upgrade`, but only the workers are replaced, one after another."""

    async def _renew(self) -> None:
        for worker in (await self._commands.workers()).items():
            await self._upgrade_worker(*worker)


class Restart(Restarting):
    """Stop and start."""

    PROXY = Sozu


def commanded(*more: Sequence[str]) -> Recipe:
    """Return how a change is made without this plugin: by sozu's own commands, with `more` that follow."""

    def steps(before: Sequence[Upstream], after: Sequence[Upstream]) -> Sequence[Command]:
        commands: list[Sequence[str]] = [
            ("backend", "remove", "--id", "app", "--backend-id", each.name, "--address", each.address)
            for each in before
            if each not in after
        ]
        if not commands:
            commands = [("reload", "--file", CONFIG_FILE)]  # adds what is new; `backend add` gives it no weight
        return [Command((*words, "--config", CONFIG_FILE, "--timeout", "30000")) for words in (*commands, *more)]

    return attrs.evolve(RECIPE, steps=steps)


#: In a folder that is the current one.
CONFIGURED = plain(OWN, lambda _upstreams: {"admin": f"./{SOCKET}", "workers": WORKERS})
RECIPE = Recipe("sozu", ("--version",), ("start", "-c", CONFIG_FILE), CONFIGURED)
IN_PLACE = Cure(
    "changing the backends of the running workers, as in sozu:runtime",
    "https://github.com/sozu-proxy/sozu/blob/main/doc/configure_cli.md",
)

REPLACED = Cure(
    "certificate replace over the command socket, as in sozu:runtime",
    "https://github.com/sozu-proxy/sozu/blob/main/doc/configure_cli.md",
)

#: Beyond HTTP/1.1.
CARRIES = ("HTTP/2", "gRPC", "WebSocket")
HTTP11 = "its listeners in the clear speak HTTP/1.1 alone"
ONLY_OVER_TLS = {"HTTP/2": HTTP11, "gRPC": HTTP11}

plugin = ProxyPlugin(
    name="sozu",
    binary=Binary(
        "sozu", how_to_get="make sozu (or cargo install --locked sozu)", sources=(Cargo("sozu", "bin/sozu"),)
    ),
    mechanisms=carrying(
        CARRIES,
        Mechanism("runtime", "the command socket: add backend, remove backend", Runtime, recipe=commanded()),
        Mechanism(
            "upgrade",
            "the same, and then sozu upgrade: a new main process and new workers",
            Upgrade,
            IN_PLACE,
            recipe=commanded(("upgrade",)),
            shows=REPLACED,
        ),
        Mechanism(
            "upgrade-workers",
            "the same, and then new workers, one by one",
            UpgradeWorkers,
            IN_PLACE,
            recipe=commanded(*(("upgrade", "--worker", str(worker)) for worker in range(WORKERS))),
            shows=REPLACED,
        ),
        Mechanism("restart", "stop and start", Restart, IN_PLACE, recipe=attrs.evolve(RECIPE, stop="SIGTERM")),
        only_over_tls=ONLY_OVER_TLS,
        configuration=OWN,
    ),
)
