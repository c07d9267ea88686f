"""Apache Traffic Server, changed by what its parents are said to be, or by another list of them.

https://docs.trafficserver.apache.org/en/9.2.x/admin-guide/files/parent.config.en.html
https://docs.trafficserver.apache.org/en/9.2.x/appendices/command-line/traffic_ctl.en.html#traffic-ctl-host
"""

import signal
from collections.abc import Mapping, Sequence

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError, UsageError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import BACKEND, Configuration, Mark
from proxyreload.proxy.interfaces import Cure, IReloads, IRotates, Mechanism, ProxyPlugin, carrying
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.rewritten import Rewritten
from proxyreload.proxy.upstream import Upstream
from proxyreload.sources.debian import Debian

#: The layout of an installation of its own: the programs of the package, the configuration and all that is written in
#: the folder.
RUNROOT_FILE = "runroot.yaml"
RUNROOT = """\
prefix: {folder}
exec_prefix: {folder}
bindir: {programs}
sbindir: {programs}
sysconfdir: {folder}
datadir: {folder}/cache
includedir: {folder}/include
libdir: {installed}/lib/trafficserver
libexecdir: {installed}/lib/trafficserver/modules
localstatedir: {folder}/var
runtimedir: {folder}/run
logdir: {folder}/log
cachedir: {folder}/cache
"""
FOLDERS = ("cache", "include", "log", "run", "var")
# Nothing is cached, so that each request reaches a backend. It runs as who starts it, without what waits for a crash. A
# parent that could not be reached is tried again after a second, and not after five minutes: on a busy machine its name
# may not be there yet when Traffic Server first looks for it.
RECORDS = """\
CONFIG proxy.config.http.server_ports STRING @@front-port@@:ip-in=@@front-host@@:\
@@if tls@@ssl@@else@@proto=http2;http@@end@@
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.crash_log_helper STRING NULL
CONFIG proxy.config.http.cache.http INT 0
CONFIG proxy.config.reverse_proxy.enabled INT 1
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.url_remap.pristine_host_hdr INT 1
CONFIG proxy.config.http.parent_proxy.mark_down_hostdb INT 0
CONFIG proxy.config.http.parent_proxy.self_detect INT 0
CONFIG proxy.config.http.parent_proxy.retry_time INT 1
CONFIG proxy.config.http.no_dns_just_forward_to_parent INT 1
CONFIG proxy.config.hostdb.host_file.path STRING @@hosts@@
CONFIG proxy.config.dns.nameservers STRING 127.0.0.1:9
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 2
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT @@timeout@@
CONFIG proxy.config.http.keep_alive_no_activity_timeout_out INT @@timeout@@
CONFIG proxy.config.http.transaction_no_activity_timeout_in INT @@timeout@@
CONFIG proxy.config.http.transaction_no_activity_timeout_out INT @@timeout@@
CONFIG proxy.config.http.transaction_active_timeout_in INT @@whole-timeout@@
CONFIG proxy.config.http2.no_activity_timeout_in INT @@timeout@@
CONFIG proxy.config.websocket.no_activity_timeout INT @@timeout@@
CONFIG proxy.config.websocket.active_timeout INT @@whole-timeout@@
CONFIG proxy.config.diags.output.status STRING E
CONFIG proxy.config.diags.output.note STRING @@log@@
CONFIG proxy.config.diags.output.warning STRING E
CONFIG proxy.config.diags.output.error STRING E
CONFIG proxy.config.ssl.server.cert.path STRING @@folder@@
CONFIG proxy.config.ssl.server.private_key.path STRING @@folder@@
"""
REMAP = """\
map @@if tls@@wss@@else@@ws@@end@@://@@hostname@@:@@front-port@@/ ws://app.test/
map / http://app.test/
"""
IP_ALLOW = """\
ip_allow:
  - {apply: in, ip_addrs: 0/0, action: allow, methods: ALL}
  - {apply: in, ip_addrs: "::/0", action: allow, methods: ALL}
"""
# Whatever a backend answers is handed on; one that cannot be connected to is tried elsewhere.
PARENT = (
    'dest_domain=. parent="@@each backend@@{parent}@@between@@,@@end@@" round_robin=strict go_direct=false '
    'parent_is_proxy=false parent_retry=unavailable_server_retry unavailable_server_retry_responses="599" '
    "max_unavailable_server_retries=1\n"
)
ADDRESS, NAME = "@@address@@", "@@name@@.test:@@port@@"
CERTIFICATE = "@@if tls@@\ndest_ip=* ssl_cert_name=@@certificate@@ ssl_key_name=@@key@@\n@@end@@\n"
RECORDS_FILE, PARENT_FILE, CERTIFICATE_FILE = "records.config", "parent.config", "ssl_multicert.config"
HOSTS_FILE = "hosts"
#: A name is down, not an address with a port: there are names for as many backends as there may be.
NAMES = 256
FRONT_HERE = Mark(
    "front-port",
    "the port at which it listens",
    "CONFIG proxy.config.http.server_ports STRING @@front-port@@:ip-in=@@front-host@@",
    r"proxy\.config\.http\.server_ports\b",
    RECORDS_FILE,
)
BACKEND_HERE = attrs.evolve(
    BACKEND,
    remedy=f'in {PARENT_FILE} write parent="@@each backend@@@@address@@@@between@@,@@end@@"',
    like=r"\bparent=",
    file=PARENT_FILE,
)
LOG = Mark(
    "log",
    "where it says what it has loaded, which is waited for",
    "CONFIG proxy.config.diags.output.note STRING @@log@@",
    r"proxy\.config\.diags\.output\.note\b",
)
HOSTS = Mark(
    "hosts",
    "the path of a file that has an address for each backend's name: backend2.test is @@name@@.test",
    "CONFIG proxy.config.hostdb.host_file.path STRING @@hosts@@",
    r"proxy\.config\.hostdb\.host_file\.path\b",
)


def configured(parent: str, *needs: Mark) -> Configuration:
    """Return the configuration of a mechanism that calls its parents so, and needs more."""
    texts = {
        RECORDS_FILE: RECORDS,
        "remap.config": REMAP,
        PARENT_FILE: PARENT.format(parent=parent),
        CERTIFICATE_FILE: CERTIFICATE,
        "ip_allow.yaml": IP_ALLOW,
        "storage.config": "",
        "plugin.config": "",
    }
    return Configuration.of(texts, (FRONT_HERE, LOG, HOSTS), (FRONT_HERE, BACKEND_HERE, *needs))


def require_named(texts: Mapping[str, str]) -> None:
    """Raise `UsageError` for parents that are not called as they are said to be up or down."""
    if NAME not in texts[PARENT_FILE]:
        msg = (
            f"no parent in {PARENT_FILE} is called {NAME}, which is what traffic_ctl host is told: "
            f'parent="@@each backend@@{NAME}@@between@@,@@end@@"'
        )
        raise UsageError(msg)


UP, DOWN = "HOST_STATUS_UP", "HOST_STATUS_DOWN"


@implementer(IReloads, IRotates)
@attrs.define
class Parent(Rewritten):
    """``parent.config`` with other parents, and ``traffic_ctl config reload``; in effect when the log has it loaded."""

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start the manager, which starts the server."""
        self._upstreams = list(upstreams)
        self._lay_out()
        self._write_config()
        self._child = self.workspace.spawn(self.workspace.binary, self._runroot(), environment=self.workspace.homes)
        await self.workspace.until_answering(self._child)

    async def reload(self) -> None:
        """Have the parents read anew."""
        await self._reload(PARENT_FILE)

    async def rotate(self) -> None:
        """Have the file read anew that names the certificate."""
        await self._reload(CERTIFICATE_FILE)

    async def stop(self) -> None:
        """SIGTERM: it waits for nothing that is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    async def _reload(self, name: str) -> None:
        said = self.workspace.said_from_now()
        self.workspace.path(name).touch()  # what it says may be as it was
        await self._tell("config", "reload")

        async def loaded() -> bool:
            for line in said():
                if f"{name} failed to load" in line:
                    raise ChangeError(line)
                if f"{name} finished loading" in line:
                    return True
            return False

        await self.workspace.until(loaded, f"{name} finished loading")

    async def _tell(self, *words: str) -> str:
        return await self.workspace.run(self.workspace.binary.resolve().parent / "traffic_ctl", self._runroot(), *words)

    def _runroot(self) -> str:
        return f"--run-root={self.workspace.path(RUNROOT_FILE)}"

    def _marks(self) -> Mapping[str, object]:
        return {"log": "E", "hosts": self.workspace.path(HOSTS_FILE)}

    def _lay_out(self) -> None:
        """Make the folders, and write what is the same in every run."""
        workspace = self.workspace
        programs = workspace.binary.resolve().parent
        for name in FOLDERS:
            workspace.path(name).mkdir(exist_ok=True)
        installed = {"folder": workspace.folder, "programs": programs, "installed": programs.parent}
        workspace.write(RUNROOT_FILE, RUNROOT.format(**installed))
        names = ["app.test", *(f"backend{number}.test" for number in range(NAMES))]
        workspace.write(HOSTS_FILE, "".join(f"127.0.0.1 {name}\n" for name in names))


@attrs.define
class Host(Parent):
    """``traffic_ctl host down`` and ``host up``: a parent that is down gets nothing more.

    One that there has never been comes with another ``parent.config``.
    """

    _removed: list[Upstream] = attrs.field(factory=list, init=False)

    async def add_backend(self, upstream: Upstream) -> None:
        """Say that it is up, or have parents read that it is among."""
        if upstream not in self._removed:
            await super().add_backend(upstream)
            return
        await self._say(upstream, "up", UP)
        self._removed.remove(upstream)

    async def remove_backend(self, upstream: Upstream) -> None:
        """Say that it is down; in effect when its status says so."""
        await self._say(upstream, "down", DOWN)
        self._removed.append(upstream)

    async def _say(self, upstream: Upstream, word: str, status: str) -> None:
        name = _named(upstream)
        await self._tell("host", word, "--reason", "manual", name)

        async def told() -> bool:
            try:
                return status in await self._tell("host", "status", name)
            except ChangeError:  # of a host that has just been named for the first time
                return False

        await self.workspace.until(told, f"the status of {name} is {status}")


class Restart(Restarting):
    """Stop Traffic Server and start it."""

    PROXY = Parent


def _named(upstream: Upstream) -> str:
    return f"{upstream.name}.test"


CURE = Cure(
    "trafficserver:host: a parent that is said to be down",
    "https://docs.trafficserver.apache.org/en/9.2.x/appendices/command-line/traffic_ctl.en.html#traffic-ctl-host",
)
CANNOT = {"upgrade": "a running Traffic Server does not become another program"}
NO_GRPC = {"grpc": "Traffic Server 9 speaks HTTP/1.1 to backends, which has no room for the trailers of a call"}

plugin = ProxyPlugin(
    name="trafficserver",
    binary=Binary(
        "traffic_manager",
        "your system's package trafficserver",
        sources=(Debian("trafficserver", "usr/bin/traffic_manager"),),
    ),
    mechanisms=tuple(
        attrs.evolve(each, carries_not=NO_GRPC)
        for each in carrying(
            ("HTTP/2", "WebSocket"),
            Mechanism(
                "host",
                "traffic_ctl host down and host up",
                Host,
                None,
                CANNOT,
                configuration=attrs.evolve(configured(NAME, LOG, HOSTS), names=require_named),
            ),
            Mechanism(
                "parent",
                "parent.config and traffic_ctl config reload",
                Parent,
                None,
                CANNOT,
                configuration=configured(ADDRESS, LOG),
            ),
            Mechanism("restart", "stop it and start it", Restart, CURE, configuration=configured(ADDRESS)),
        )
    ),
)
