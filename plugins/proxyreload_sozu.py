"""sozu, changed over its command socket by its own command line.

https://github.com/sozu-proxy/sozu/blob/main/doc/configure_cli.md
"""

import signal
from collections.abc import Sequence
from pathlib import Path

import attrs
from zope.interface import implementer

from proxyreload.proxy.binary import Binary
from proxyreload.proxy.child import ChildProcess
from proxyreload.proxy.interfaces import IProxy, Mechanism, ProxyPlugin
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace

# A backend that the command line adds has weight 0, which counts as 1; the configuration's default is 100. Without the
# weights here the added backend would get one request in a hundred.
CONFIG = """\
log_level = "info"
log_target = "stdout"
command_socket = "{folder}/sozu.sock"
pid_file_path = "{folder}/sozu.pid"
command_buffer_size = 16384
max_command_buffer_size = 163840
ctl_command_timeout = 10000
worker_count = 2
worker_automatic_restart = true
handle_process_affinity = false
max_connections = 500
buffer_size = 16393
activate_listeners = true

[[listeners]]
protocol = "http"
address = "{front}"

[clusters.app]
protocol = "http"
load_balancing = "ROUND_ROBIN"
sticky_session = false
frontends = [ {{ address = "{front}", hostname = "{hostname}" }} ]
backends = [
{backends}
]
"""


@implementer(IProxy)
@attrs.define
class Runtime:
    """``backend add`` and ``backend remove``, which are synchronous.

    A connection of a client stays with its backend for life: only new connections reach an added one.
    """

    workspace: Workspace
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        workspace = self.workspace
        backends = ",\n".join(
            f'    {{ address = "{upstream.address}", backend_id = "{upstream.name}", weight = 1 }}'
            for upstream in upstreams
        )
        workspace.write(
            "sozu.toml",
            CONFIG.format(
                folder=workspace.folder, front=workspace.front, hostname=workspace.hostname, backends=backends
            ),
        )
        self._child = workspace.spawn(workspace.binary, "start", "-c", self._config)
        await workspace.until_answering(self._child)

    async def add_backend(self, upstream: Upstream) -> None:
        """``backend add``."""
        await self._backend("add", upstream)

    async def remove_backend(self, upstream: Upstream) -> None:
        """``backend remove``."""
        await self._backend("remove", upstream)

    async def stop(self) -> None:
        """SIGTERM: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    async def _backend(self, action: str, upstream: Upstream) -> None:
        await self.workspace.run(
            self.workspace.binary,
            *("-c", self._config, "backend", action),
            *("--id", "app", "--backend-id", upstream.name, "--address", upstream.address),
        )

    @property
    def _config(self) -> Path:
        return self.workspace.path("sozu.toml")


plugin = ProxyPlugin(
    name="sozu",
    binary=Binary("sozu", how_to_get="make sozu (or cargo install --locked sozu)"),
    mechanisms=(Mechanism("runtime", "the command socket: backend add, backend remove", Runtime),),
)
