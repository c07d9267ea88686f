"""Apache Traffic Server, changed by what its parents are said to be, or by another list of them.

https://docs.trafficserver.apache.org/en/9.2.x/admin-guide/files/parent.config.en.html
https://docs.trafficserver.apache.org/en/9.2.x/appendices/command-line/traffic_ctl.en.html#traffic-ctl-host
"""

import signal
from collections.abc import Sequence

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.interfaces import Cure, IReloads, IRotates, Mechanism, ProxyPlugin, carrying
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.sources.debian import Debian
from proxyreload.system.child import ChildProcess

#: Below the folder: where the configuration is.
ETC = "etc"
#: The layout of an installation of its own: the programs of the package, and all that is written in the folder.
RUNROOT_FILE = "runroot.yaml"
RUNROOT = """\
prefix: {folder}
exec_prefix: {folder}
bindir: {programs}
sbindir: {programs}
sysconfdir: {folder}/etc
datadir: {folder}/cache
includedir: {folder}/include
libdir: {installed}/lib/trafficserver
libexecdir: {installed}/lib/trafficserver/modules
localstatedir: {folder}/var
runtimedir: {folder}/run
logdir: {folder}/log
cachedir: {folder}/cache
"""
FOLDERS = ("cache", "etc", "include", "log", "run", "var")
# Nothing is cached, so that each request reaches a backend. It runs as who starts it, without what waits for a crash.
RECORDS = """\
CONFIG proxy.config.http.server_ports STRING {port}:ip-in={host}{protocols}
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.crash_log_helper STRING NULL
CONFIG proxy.config.http.cache.http INT 0
CONFIG proxy.config.reverse_proxy.enabled INT 1
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.url_remap.pristine_host_hdr INT 1
CONFIG proxy.config.http.parent_proxy.mark_down_hostdb INT 0
CONFIG proxy.config.http.parent_proxy.self_detect INT 0
CONFIG proxy.config.http.no_dns_just_forward_to_parent INT 1
CONFIG proxy.config.hostdb.host_file.path STRING {folder}/{hosts}
CONFIG proxy.config.dns.nameservers STRING 127.0.0.1:9
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 2
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT {idle}
CONFIG proxy.config.http.keep_alive_no_activity_timeout_out INT {idle}
CONFIG proxy.config.http.transaction_no_activity_timeout_in INT {idle}
CONFIG proxy.config.http.transaction_no_activity_timeout_out INT {idle}
CONFIG proxy.config.http.transaction_active_timeout_in INT {whole}
CONFIG proxy.config.http2.no_activity_timeout_in INT {idle}
CONFIG proxy.config.websocket.no_activity_timeout INT {idle}
CONFIG proxy.config.websocket.active_timeout INT {whole}
CONFIG proxy.config.diags.output.status STRING E
CONFIG proxy.config.diags.output.note STRING E
CONFIG proxy.config.diags.output.warning STRING E
CONFIG proxy.config.diags.output.error STRING E
CONFIG proxy.config.ssl.server.cert.path STRING {folder}
CONFIG proxy.config.ssl.server.private_key.path STRING {folder}
"""
REMAP = """\
map {scheme}://{hostname}:{port}/ ws://app.test/
map / http://app.test/
"""
IP_ALLOW = """\
ip_allow:
  - {apply: in, ip_addrs: 0/0, action: allow, methods: ALL}
  - {apply: in, ip_addrs: "::/0", action: allow, methods: ALL}
"""
# Whatever a backend answers is handed on; one that cannot be connected to is tried elsewhere.
PARENT = (
    'dest_domain=. parent="{parents}" round_robin=strict go_direct=false parent_is_proxy=false '
    'parent_retry=unavailable_server_retry unavailable_server_retry_responses="599" max_unavailable_server_retries=1\n'
)
CERTIFICATE = "dest_ip=* ssl_cert_name={certificate} ssl_key_name={key}\n"
PARENT_FILE, CERTIFICATE_FILE, HOSTS_FILE = "parent.config", "ssl_multicert.config", "hosts"
#: A name is down, not an address with a port: there are names for as many backends as there may be.
NAMES = 256
UP, DOWN = "HOST_STATUS_UP", "HOST_STATUS_DOWN"


@implementer(IReloads, IRotates)
@attrs.define
class Parent:
    """``parent.config`` with other parents, and ``traffic_ctl config reload``; in effect when the log has it loaded."""

    workspace: Workspace
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start the manager, which starts the server."""
        self._upstreams = list(upstreams)
        self._write_config()
        self._child = self.workspace.spawn(self.workspace.binary, self._runroot(), environment=self.workspace.homes)
        await self.workspace.until_answering(self._child)

    async def add_backend(self, upstream: Upstream) -> None:
        """Add it to the parents."""
        await self._change([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Take it from the parents."""
        await self._change([each for each in self._upstreams if each != upstream])

    async def reload(self) -> None:
        """Have the same parents read anew."""
        await self._reload(PARENT_FILE, PARENT.format(parents=self._parents(self._upstreams)))

    async def rotate(self) -> None:
        """Have the file read anew that names the certificate."""
        await self._reload(CERTIFICATE_FILE, self._certificate())

    async def stop(self) -> None:
        """SIGTERM: it waits for nothing that is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    async def _change(self, upstreams: list[Upstream]) -> None:
        await self._reload(PARENT_FILE, PARENT.format(parents=self._parents(upstreams)))
        self._upstreams = upstreams

    async def _reload(self, name: str, text: str) -> None:
        said = self.workspace.said_from_now()
        self.workspace.write(f"{ETC}/{name}", text)
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

    def _parents(self, upstreams: Sequence[Upstream]) -> str:
        return ",".join(upstream.address for upstream in upstreams)

    def _certificate(self) -> str:
        tls = self.workspace.tls
        if tls is None:
            return ""
        folder = self.workspace.folder
        return CERTIFICATE.format(certificate=tls.certificate.relative_to(folder), key=tls.key.relative_to(folder))

    def _write_config(self) -> None:
        workspace = self.workspace
        folder, programs = workspace.folder, workspace.binary.resolve().parent
        for name in FOLDERS:
            workspace.path(name).mkdir(exist_ok=True)
        installed = {"folder": folder, "programs": programs, "installed": programs.parent}
        workspace.write(RUNROOT_FILE, RUNROOT.format(**installed))
        protocols = ":ssl" if workspace.tls is not None else ":proto=http2;http"
        where = {"host": workspace.front_host, "port": workspace.front_port, "protocols": protocols}
        times = {"idle": workspace.idle_timeout_s, "whole": workspace.whole_timeout_s}
        scheme = "ws" if workspace.tls is None else "wss"
        files = {
            "records.config": RECORDS.format(folder=folder, hosts=HOSTS_FILE, **where, **times),
            "remap.config": REMAP.format(scheme=scheme, hostname=workspace.hostname, port=workspace.front_port),
            "storage.config": "",
            "plugin.config": "",
            "ip_allow.yaml": IP_ALLOW,
            CERTIFICATE_FILE: self._certificate(),
            PARENT_FILE: PARENT.format(parents=self._parents(self._upstreams)),
        }
        for name, text in files.items():
            workspace.write(f"{ETC}/{name}", text)
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

    def _parents(self, upstreams: Sequence[Upstream]) -> str:
        return ",".join(f"{_named(upstream)}:{upstream.port}" for upstream in upstreams)


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
            Mechanism("host", "traffic_ctl host down and host up", Host, None, CANNOT),
            Mechanism("parent", "parent.config and traffic_ctl config reload", Parent, None, CANNOT),
            Mechanism("restart", "stop it and start it", Restart, CURE),
        )
    ),
)
