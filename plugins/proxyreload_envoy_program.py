"""An Envoy that runs from a configuration file: what all ways to change one share."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from proxyreload.errors import ChangeError
from proxyreload.proxy.http import Admin
from proxyreload.proxy.route import Route
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.system.child import ChildProcess

if TYPE_CHECKING:
    from proxyreload.proxy.authority import FrontCertificate

# A route's time-out is for the whole answer, which ends streams: those between two bytes are what guards it here.
# At a port the admin interface would tell any user of the host what Envoy knows, and let him end it.
CONFIG = """\
node: {{id: proxyreload, cluster: proxyreload}}
admin:
  address: {{pipe: {{path: "{admin}", mode: 0600}}}}
static_resources:
  listeners:
    - address: {{socket_address: {{address: "{front_host}", port_value: {front_port}}}}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: front
                codec_type: {codec}
                stream_idle_timeout: {timeout}
                common_http_protocol_options: {{idle_timeout: {timeout}}}
                upgrade_configs: [{{upgrade_type: websocket}}]
                {routes}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
{tls}  clusters:
    - name: app
      lb_policy: ROUND_ROBIN
      connect_timeout: 2s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          use_downstream_protocol_config: {{http_protocol_options: {{}}, http2_protocol_options: {{}}}}
          common_http_protocol_options: {{idle_timeout: {timeout}}}
"""  # noqa: E501

# By its list of certificates Envoy knows those of its start; by its discovery service what it is told later.
TLS = """\
          transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                alpn_protocols: {protocols}
                {certificates}
"""
AT_START = 'tls_certificates: [{{certificate_chain: {{filename: "{chain}"}}, private_key: {{filename: "{key}"}}}}]'

CONFIG_FILE = "envoy.yaml"
LOGGING = ("--log-level", "warning", "--log-format", "%l: %v")


@attrs.define
class Envoy:
    """One Envoy; a mechanism says where its hosts come from and how they are changed."""

    workspace: Workspace
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        self._upstreams = list(upstreams)
        self._child = self._spawn()
        await self.workspace.until_answering(self._child)

    async def add_backend(self, upstream: Upstream) -> None:
        """Name it among the hosts."""
        await self._change([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Name it no more: its connections end with the requests that they carry."""
        await self._change([each for each in self._upstreams if each != upstream])

    async def edit(self) -> None:
        """Have a route more, or another one."""
        try:
            await self._change(self._upstreams)
        except ChangeError:
            self.workspace.edits.put_back()
            raise

    async def stop(self) -> None:
        """SIGTERM; Envoy drops what is under way at that, but the clients have gone before."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    def _spawn(self) -> ChildProcess:
        raise NotImplementedError

    async def _change(self, upstreams: list[Upstream]) -> None:
        raise NotImplementedError

    def _program(self, source: str, admin: str) -> list[str | Path]:
        """Write the configuration, and return the command line of an Envoy that runs from it.

        Its admin interface is at the socket `admin` in the folder.

        https://www.envoyproxy.io/docs/envoy/latest/operations/cli
        """
        workspace, tls = self.workspace, self.workspace.tls
        secured = "" if tls is None else TLS.format(protocols=json.dumps(tls.protocols), certificates=self._shows(tls))
        config = configuration(
            workspace.front,
            workspace.idle_timeout_s,
            str(workspace.path(admin)),
            source,
            tls=secured,
            routes=self._routes(),
            codec="AUTO" if tls is not None or "HTTP/2" in workspace.speaks else "HTTP1",
        )
        return [workspace.binary, "--config-path", workspace.write(CONFIG_FILE, config), *LOGGING]

    def _routes(self) -> str:
        """Return where the configuration has its routes from: as they are now."""
        return f"route_config: {json.dumps(routing(self.workspace.route))}"

    def _shows(self, tls: "FrontCertificate") -> str:
        """Return where the configuration has the front's certificate from: as it is now."""
        return AT_START.format(chain=tls.certificate, key=tls.key)


def configuration(front: str, timeout_s: int, admin: str, source: str, **how: str) -> str:
    """Return the text of the configuration, which goes on with `source`.

    `routes`, `tls` and `codec` are what its front does besides.
    """
    host, _colon, port = front.rpartition(":")
    how = {"codec": "HTTP1", "tls": "", "timeout": f"{timeout_s}s", **how}
    return CONFIG.format(admin=admin, front_host=host, front_port=port, **how) + source


def routing(route: Route | None = None) -> dict[str, Any]:
    """Return the routes: all that is asked for goes to the one cluster, but for the edited one.

    https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route.proto
    """
    routes: list[dict[str, Any]] = [{"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}]
    if route is not None:
        leads = {"path_redirect": route.to, "response_code": "FOUND"}
        routes.insert(0, {"match": {"path": route.path}, "redirect": leads})
    return {"name": "front", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}


def assignment(upstreams: Sequence[Upstream]) -> dict[str, Any]:
    """Return the hosts as Envoy wants to be told them.

    https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/endpoint/v3/endpoint.proto
    """
    addresses = [{"socket_address": {"address": each.host, "port_value": each.port}} for each in upstreams]
    endpoints = [{"endpoint": {"address": address}} for address in addresses]
    return {"cluster_name": "app", "endpoints": [{"lb_endpoints": endpoints}]}


def admin_of(workspace: Workspace, name: str) -> Admin:
    """Return the admin interface of the Envoy that has it at the socket `name` in the folder."""
    return Admin(workspace.reactor, socket=workspace.path(name))
