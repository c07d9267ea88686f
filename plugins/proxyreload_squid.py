"""Squid as a reverse proxy, changed by reading its configuration again.

http://www.squid-cache.org/Doc/config/cache_peer/
http://www.squid-cache.org/Doc/config/http_port/
https://wiki.squid-cache.org/SquidFaq/ReverseProxy
"""

import secrets
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from zope.interface import implementer

from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import BACKEND, FRONT, Configuration, Mark
from proxyreload.proxy.interfaces import IEdits, IReloads, IRotates, Mechanism, ProxyPlugin, carrying
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.rewritten import Rewritten
from proxyreload.proxy.upstream import Upstream
from proxyreload.sources.debian import Debian

CONFIG_FILE = "squid.conf"
#: What Squid logs when it listens with what it has read.
LISTENS = "Accepting reverse-proxy HTTP"
#: Its shared memory has names of its service, which is another in each run; these it has also where it is one process.
#: A Squid that is killed leaves it there, and another of that name does not start.
SERVICE, SHARED, SEGMENTS = "proxyreload", Path("/dev/shm"), ("metadata", "queues", "readers")  # noqa: S108

# It keeps nothing, and asks no name server. Streams and uploads go through as they come. What it would not start
# without, though it needs none of it here, is where it was built to be, which may be elsewhere. Where it is started by
# root it becomes another user, which it would not be: it reads its files before that.
# It takes shutdown_lifetime to stop, also with nothing under way: 30 seconds by default.
CONFIG = """\
@@if tls@@
https_port @@front@@ accel vhost tls-cert=@@certificate@@ tls-key=@@key@@
@@else@@
http_port @@front@@ accel vhost
@@end@@
@@each backend@@
cache_peer @@host@@ parent @@port@@ 0 name=@@name@@ originserver round-robin no-query no-digest no-netdb-exchange \
connect-timeout=2
@@end@@
@@if root@@
cache_effective_user nobody
@@end@@
http_access deny manager
@@if edit@@
acl edited urlpath_regex ^@@edited@@$
deny_info 302:http://@@hostname@@@@leads-to@@ edited
http_access deny edited
@@end@@
http_access allow all
http_upgrade_request_protocols websocket allow all
never_direct allow all
cache deny all
cache_mem 0
access_log none
cache_log @@log@@
netdb_filename none
pid_filename @@folder@@/squid.pid
coredump_dir @@folder@@
pinger_enable off
mime_table /dev/null
icon_directory @@folder@@
unlinkd_program /bin/true
@@if pages@@
error_directory @@pages@@
@@end@@
visible_hostname @@hostname@@
udp_outgoing_address 127.0.0.1
dns_nameservers 127.0.0.1
request_start_timeout @@timeout@@ seconds
request_timeout @@timeout@@ seconds
client_idle_pconn_timeout @@timeout@@ seconds
server_idle_pconn_timeout @@timeout@@ seconds
read_timeout @@timeout@@ seconds
write_timeout @@timeout@@ seconds
shutdown_lifetime 1 second
"""
FRONT_HERE = attrs.evolve(FRONT, remedy="http_port @@front@@ accel vhost", like=r"^\s*https?_port\s")
BACKEND_HERE = attrs.evolve(
    BACKEND,
    remedy="@@each backend@@, cache_peer @@host@@ parent @@port@@ 0 name=@@name@@ originserver round-robin "
    "and @@end@@, a line each",
    like=r"^\s*cache_peer\s",
)
LOG = Mark("log", "where it says that it listens again, which is waited for", "cache_log @@log@@", r"^\s*cache_log\s")
PAGES = Mark("pages", "the folder of the error pages, where these are beside the program")
#: Whoever asks for the route of an edit is denied, by being redirected.
EDITED_HERE = Mark(
    "edited",
    "the path of an unrelated route, for --change edit",
    "@@if edit@@, acl edited urlpath_regex ^@@edited@@$, deny_info 302:http://@@hostname@@@@leads-to@@ edited, "
    "http_access deny edited and @@end@@, a line each, before other http_access",
    r"^\s*http_access\s",
)
MARKS = (LOG, PAGES)
OWN = Configuration.of({CONFIG_FILE: CONFIG}, MARKS, (FRONT_HERE, BACKEND_HERE, LOG), edits=EDITED_HERE)
STARTED_ANEW = attrs.evolve(OWN, needs=(FRONT_HERE, BACKEND_HERE))
#: So many lines, the last of them about its use of the machine, are what it says when it gives up.
PARTING = 5


@implementer(IReloads, IRotates, IEdits)
@attrs.define
class Reconfigure(Rewritten):
    """SIGHUP: Squid closes its socket, reads its configuration, and listens again.

    What connects meanwhile is refused, and what is asked finds no backend: 502.
    """

    _service: str = attrs.field(factory=lambda: SERVICE + secrets.token_hex(6), init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground, as one process."""
        self._upstreams = list(upstreams)
        self._write_config()
        for segment in SEGMENTS:
            self.workspace.remove_too(SHARED / f"{self._service}-cf__{segment}.shm")
        self._child = self.workspace.spawn(*self._command("-N"), "-n", self._service)
        await self.workspace.until_answering(self._child)

    async def reload(self) -> None:
        """Check the configuration, of which Squid would die, and send SIGHUP; in effect when it listens again."""
        assert self._child is not None  # noqa: S101
        await self.workspace.run(*self._command("-k", "parse"), told=PARTING)
        said = self.workspace.said_from_now()
        self._child.signal(signal.SIGHUP)

        async def listens() -> bool:
            return any(LISTENS in line for line in said())

        await self.workspace.until(listens, "Squid says that it listens again")

    async def stop(self) -> None:
        """SIGTERM: finish what is under way, within a second."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    def _command(self, *words: str) -> list[str | Path]:
        return [self.workspace.binary, *words, "-f", self.workspace.folder / CONFIG_FILE]

    def _marks(self) -> Mapping[str, object]:
        return {"log": "/dev/stderr", "pages": _pages(self.workspace.binary)}


class Restart(Restarting):
    """Stop Squid and start it."""

    PROXY = Reconfigure


def _pages(binary: Path) -> str:
    """Return where its error pages are, if they are beside the program: PREFIX/sbin, PREFIX/share."""
    pages = binary.resolve().parent.parent / "share" / "squid" / "errors" / "templates"
    return str(pages) if pages.is_dir() else ""


plugin = ProxyPlugin(
    name="squid",
    binary=Binary(
        "squid",
        how_to_get="your system's package squid",
        version_args=("-v",),
        sources=(Debian("squid", "usr/sbin/squid*", more=("squid-common",)),),
    ),
    mechanisms=carrying(
        ("WebSocket",),
        Mechanism(
            "reconfigure",
            "SIGHUP, as by squid -k reconfigure",
            Reconfigure,
            cannot={"upgrade": "Squid hands its socket to no successor"},
            configuration=OWN,
        ),
        Mechanism("restart", "stop it and start it", Restart, configuration=STARTED_ANEW),
    ),
)
