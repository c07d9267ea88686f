"""pingap, a proxy on Pingora, that looks at its configuration once a second and takes over what is another.

https://docs.rs/crate/pingap/0.13.1
https://docs.rs/crate/pingap-config/0.13.1
"""

import signal
from collections.abc import Callable, Mapping, Sequence

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import BACKEND, FRONT, Configuration, Mark
from proxyreload.proxy.interfaces import Cure, IEdits, IRotates, Mechanism, ProxyPlugin, carrying
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.rewritten import Rewritten
from proxyreload.proxy.upstream import Upstream
from proxyreload.sources.cargo import Cargo
from proxyreload.system.untrusted import WORDS_LIMIT, printable
from proxyreload.traffic.grpc import SERVICE

CONFIG_FILE = "pingap.toml"

# Its two sockets and its pid file would be in the folder for temporary files, the same for all. A backend is healthy
# when it can be connected to, and looked at every ten seconds by default.
CONFIG = """\
[basic]
pid_file = "@@folder@@/pingap.pid"
upgrade_sock = "@@folder@@/upgrade.sock"
threads = 2
grace_period = "1s"
graceful_shutdown_timeout = "5s"
auto_restart_check_interval = "1s"
log_level = "info"

[upstreams.app]
addrs = [@@each backend@@"@@address@@"@@between@@, @@end@@]
algo = "round_robin"
health_check = "tcp://app?connection_timeout=2s&check_frequency=1s"
connection_timeout = "2s"
idle_timeout = "@@timeout@@s"

# Calls of gRPC go to the same servers over HTTP/2.
[upstreams.calls]
addrs = [@@each backend@@"@@address@@"@@between@@, @@end@@]
algo = "round_robin"
health_check = "tcp://calls?connection_timeout=2s&check_frequency=1s"
alpn = "H2"
connection_timeout = "2s"
idle_timeout = "@@timeout@@s"

[locations.app]
upstream = "app"
path = "/"
@@if edit@@
plugins = ["edited"]
@@end@@

[locations.calls]
upstream = "calls"
path = "/SERVICE/"
@@if edit@@

[plugins.edited]
category = "mock"
path = "@@edited@@"
status = 302
headers = ["Location: @@leads-to@@"]
data = ""
@@end@@
@@if tls@@

[certificates.front]
domains = "@@hostname@@"
tls_cert = "@@certificate@@"
tls_key = "@@key@@"
is_default = true
remark = "@@generation@@"
@@end@@

[servers.front]
addr = "@@front@@"
locations = ["calls", "app"]
@@if tls@@
global_certificates = true
enabled_h2 = @@if tls-h2@@true@@else@@false@@end@@
@@else@@
enabled_h2 = @@if h2@@true@@else@@false@@end@@
@@end@@
"""
CONFIG = CONFIG.replace("SERVICE", SERVICE.decode("ascii"))
FRONT_HERE = attrs.evolve(FRONT, remedy='addr = "@@front@@"', like=r"^\s*addr\s*=")
BACKEND_HERE = attrs.evolve(
    BACKEND, remedy='addrs = [@@each backend@@"@@address@@"@@between@@, @@end@@]', like=r"^\s*addrs\s*="
)
EDITED_HERE = Mark(
    "edited",
    "the path of an unrelated route, for --change edit",
    '@@if edit@@, a plugin of the category mock with path = "@@edited@@", and @@end@@, a line each',
    r"^\s*\[locations\.",
)
GENERATION = Mark(
    "generation", "a number that is another with each certificate: what is as it was, pingap does not read again"
)
OWN = Configuration.of({CONFIG_FILE: CONFIG}, (GENERATION,), (FRONT_HERE, BACKEND_HERE), edits=EDITED_HERE)
#: What it logs when it has taken over a part of its configuration, or would not.
UPSTREAMS, PLUGINS, CERTIFICATES = "reload upstream success", "reload plugin success", "reload certificate success"
REFUSED = ("update config fail", "reload upstream fail", "reload plugin fail", "parse certificate fail")


@implementer(IEdits, IRotates)
@attrs.define
class Autoreload(Rewritten):
    """It reads its file once a second, and takes over what is another than before."""

    _said: Callable[[], list[str]] = attrs.field(default=list, init=False)  # since the file was written
    _awaited: str = attrs.field(default=UPSTREAMS, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground; it answers errors until it has looked at the backends' health."""
        self._upstreams = list(upstreams)
        self._write_config()
        command = (self.workspace.binary, "--conf", self.workspace.folder / CONFIG_FILE, "--autoreload")
        self._child = self.workspace.spawn(*command)
        await self.workspace.until_answering(self._child)

    async def rotate(self) -> None:
        """Let what is said of the certificate be another, for its file to be read; in effect when it says so."""
        self._write_config()
        await self._taken(CERTIFICATES)

    async def edit(self) -> None:
        """Have the route, or another one; in effect when it says that it has taken over its plugins."""
        before = self._awaited
        self._awaited = PLUGINS
        try:
            await super().edit()
        finally:
            self._awaited = before

    async def stop(self) -> None:
        """SIGTERM: finish what is under way, at most for the time that the configuration has for that."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    async def _apply(self) -> None:
        """Wait until it says that it has taken the configuration over, or why not."""
        # Its own check, --test, exits with 0 whatever it finds.
        await self._taken(self._awaited)

    async def _taken(self, words: str) -> None:
        async def told() -> bool:
            said = self._said()
            refused = [line for line in said if any(each in line for each in REFUSED)]
            if refused:
                raise ChangeError(printable(refused[0], WORDS_LIMIT))
            return any(words in line for line in said)

        await self.workspace.until(told, f"pingap says: {words}")

    def _write_config(self) -> None:
        if self._child is not None:
            self._said = self.workspace.said_from_now()
        super()._write_config()

    def _marks(self) -> Mapping[str, object]:
        tls = self.workspace.tls
        return {"generation": tls.current.number if tls is not None else 0}


class Restart(Restarting):
    """Stop pingap and start it."""

    PROXY = Autoreload


WATCHED = Cure(
    "a file that it looks at, as in pingap:autoreload",
    "https://docs.rs/crate/pingap-config/0.13.1",
)

plugin = ProxyPlugin(
    name="pingap",
    binary=Binary(
        "pingap",
        how_to_get="make pingap (or cargo install --locked pingap), which takes half an hour",
        sources=(Cargo("pingap", "bin/pingap"),),
    ),
    mechanisms=carrying(
        ("HTTP/2", "gRPC", "WebSocket"),
        Mechanism(
            "autoreload",
            "its file, at which it looks once a second: pingap --autoreload",
            Autoreload,
            cannot={
                "reload": "what it reads and finds as it was it leaves alone",
                "upgrade": "its successor waits for the sockets at a fixed path, and not at upgrade_sock",
            },
        ),
        Mechanism("restart", "stop it and start it", Restart, WATCHED),
        configuration=OWN,
    ),
)
