"""What Envoy is run from: a bootstrap, and the resources that it is told of while it runs, as templates.

https://www.envoyproxy.io/docs/envoy/latest/configuration/overview/bootstrap
https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

import re
from collections.abc import Mapping

import attrs

from proxyreload.errors import UsageError
from proxyreload.proxy.configuration import BACKEND, Configuration, Mark

#: The bootstrap, and the resources' files: hosts, routes and the certificate, each by its discovery service.
CONFIG_FILE, HOSTS_FILE, ROUTES_FILE, SECRET_FILE = "envoy.yaml", "eds.json", "rds.json", "sds.json"

# A route's time-out is for the whole answer, which ends streams: those between two bytes are what guards it here.
# At a port the admin interface would tell any user of the host what Envoy knows, and let him end it.
BOOTSTRAP = """\
node: {id: proxyreload, cluster: proxyreload}
admin:
  address: {pipe: {path: "@@admin@@", mode: 0600}}
static_resources:
  listeners:
    - name: front
      address: {socket_address: {address: "@@front-host@@", port_value: @@front-port@@}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: front
                codec_type: @@if tls@@AUTO@@else@@@@if h2@@AUTO@@else@@HTTP1@@end@@@@end@@
                stream_idle_timeout: @@timeout@@s
                common_http_protocol_options: {idle_timeout: @@timeout@@s}
                upgrade_configs: [{upgrade_type: websocket}]
ROUTES
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          @@if tls@@
          transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                alpn_protocols: [@@each protocol@@"@@name@@"@@between@@, @@end@@]
CERTIFICATES
          @@end@@
  clusters:
    - name: app
      lb_policy: ROUND_ROBIN
      connect_timeout: 2s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}
          common_http_protocol_options: {idle_timeout: @@timeout@@s}
HOSTS
"""  # noqa: E501

#: Where the front has its routes from: a file, or the bootstrap itself.
DISCOVERED_ROUTES = """\
                rds:
                  route_config_name: front
                  config_source: {resource_api_version: V3, path_config_source: {path: "@@routes@@"}}"""
ROUTES_AT_START = """\
                route_config:
                  name: front
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        @@if edit@@
                        - match: {path: "@@edited@@"}
                          redirect: {path_redirect: "@@leads-to@@", response_code: FOUND}
                        @@end@@
                        - match: {prefix: "/"}
                          route: {cluster: app, timeout: 0s}"""
# By its list of certificates Envoy knows those of its start; by its discovery service what it is told later.
DISCOVERED_CERTIFICATES = """\
                tls_certificate_sds_secret_configs:
                  - name: front
                    sds_config: {resource_api_version: V3, path_config_source: {path: "@@secret@@"}}"""
CERTIFICATES_AT_START = """\
                tls_certificates:
                  - certificate_chain: {filename: "@@certificate@@"}
                    private_key: {filename: "@@key@@"}"""
#: Where the hosts of the cluster come from.
HOST = '{"endpoint": {"address": {"socket_address": {"address": "@@host@@", "port_value": @@port@@}}}}'
STATIC_HOSTS = f"""\
      type: STATIC
      load_assignment:
        cluster_name: app
        endpoints: [{{lb_endpoints: [@@each backend@@{HOST}@@between@@, @@end@@]}}]"""
DISCOVERED_HOSTS = """\
      type: EDS
      eds_cluster_config:
        eds_config:
          resource_api_version: V3
"""
HOSTS_FROM_FILE = DISCOVERED_HOSTS + '          path_config_source: {path: "@@hosts@@"}'
SERVER = """\
    - name: discovery
      type: STATIC
      load_assignment:
        cluster_name: discovery
        endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: "@@discovery@@"}}}}]}]"""
HOSTS_OVER_REST = f"""\
{DISCOVERED_HOSTS}\
          api_config_source:
            api_type: REST
            transport_api_version: V3
            cluster_names: [discovery]
            refresh_delay: 0.1s
            request_timeout: 5s
{SERVER}"""
HOSTS_OVER_ADS = f"""\
{DISCOVERED_HOSTS}\
          ads: {{}}
{SERVER}
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {{http2_protocol_options: {{}}}}
dynamic_resources:
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services: [{{envoy_grpc: {{cluster_name: discovery}}}}]"""

#: https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/endpoint/v3/endpoint.proto
HOSTS = f"""\
{{"version_info": "@@hosts-version@@", "resources": [{{
  "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
  "cluster_name": "app",
  "endpoints": [{{"lb_endpoints": [
    @@each backend@@
    {HOST}@@between@@,
    @@end@@
  ]}}]
}}]}}
"""
#: https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route.proto
ROUTES = """\
{"version_info": "@@routes-version@@", "resources": [{
  "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
  "name": "front",
  "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
    @@if edit@@
    {"match": {"path": "@@edited@@"}, "redirect": {"path_redirect": "@@leads-to@@", "response_code": "FOUND"}},
    @@end@@
    {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}
  ]}]
}]}
"""
#: The certificate and its key, both at once.
#: https://www.envoyproxy.io/docs/envoy/latest/configuration/security/secret
CERTIFICATE = """\
@@if tls@@
{"version_info": "@@certificate-number@@", "resources": [{
  "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
  "name": "front",
  "tls_certificate": {
    "certificate_chain": {"inline_string": @@certificate-text@@},
    "private_key": {"inline_string": @@key-text@@}
  }
}]}
@@else@@
{}
@@end@@
"""

FRONT_HERE = Mark(
    "front-port",
    "the port where it listens; front-host is its address",
    'address: {socket_address: {address: "@@front-host@@", port_value: @@front-port@@}}',
    r"\bport_value\b",
)
BACKEND_HERE = attrs.evolve(
    BACKEND,
    remedy=f"lb_endpoints: [@@each backend@@{HOST}@@between@@, @@end@@]",
    like=r"\blb_endpoints\b",
)
ADMIN = Mark(
    "admin",
    "the socket of the admin interface, where Envoy says what is in effect",
    'admin: {address: {pipe: {path: "@@admin@@", mode: 0600}}}',
    r"^\s*[\"']?admin[\"']?\s*:",
)
HOSTS_PATH = Mark(
    "hosts",
    f"the path of {HOSTS_FILE}, in which it is told its hosts",
    'type: EDS, eds_cluster_config: {eds_config: {resource_api_version: V3, path_config_source: {path: "@@hosts@@"}}}',
    r"\b(eds_cluster_config|load_assignment)\b",
)
DISCOVERY = Mark(
    "discovery",
    "the socket at which it is told its hosts",
    'a cluster whose only endpoint has address: {pipe: {path: "@@discovery@@"}}',
    r"\b(eds_cluster_config|load_assignment)\b",
)
ROUTES_PATH = Mark(
    "routes",
    f"the path of {ROUTES_FILE}, in which it is told its routes, for --change edit",
    "rds: {route_config_name: front, config_source: {resource_api_version: V3, path_config_source: "
    '{path: "@@routes@@"}}}',
    r"\b(route_config|rds)\b",
)
EDITED_HERE = Mark(
    "edited",
    "the path of an unrelated route, for --change edit",
    'before the other routes, between @@if edit@@ and @@end@@, {match: {path: "@@edited@@"}, redirect: '
    '{path_redirect: "@@leads-to@@", response_code: FOUND}}',
    r"\broutes\b",
)
SECRET_PATH = Mark("secret", f"the path of {SECRET_FILE}, in which it is told its certificate")
TOLD = (
    HOSTS_PATH,
    ROUTES_PATH,
    SECRET_PATH,
    Mark("hosts-version", "another one whenever the hosts are others"),
    Mark("routes-version", "another one whenever the routes are others"),
    Mark("certificate-text", "the certificate as a JSON string; key-text: its key; certificate-number: which it is"),
    Mark("key-text", "its key"),
    Mark("certificate-number", "which it is"),
)
NAMED = re.compile(r'"cluster_name":\s*"([^"@]+)"')


def bootstrap(hosts: str, routes: str = DISCOVERED_ROUTES, certificates: str = DISCOVERED_CERTIFICATES) -> str:
    """Return the text of one; what is given says where the hosts, the routes and the certificate come from."""
    text = BOOTSTRAP.replace("HOSTS\n", f"{hosts}\n").replace("ROUTES\n", f"{routes}\n")
    return text.replace("CERTIFICATES\n", f"{certificates}\n")


def discovering(
    hosts: str = HOSTS_FROM_FILE, told: Mark = HOSTS_PATH, certificates: str = DISCOVERED_CERTIFICATES
) -> Configuration:
    """Return the configuration of an Envoy that is told its hosts while it runs, from a file or over a socket.

    `told` is the mark of that in the bootstrap's `hosts`.
    """
    texts = {
        CONFIG_FILE: bootstrap(hosts, certificates=certificates),
        HOSTS_FILE: HOSTS,
        ROUTES_FILE: ROUTES,
        SECRET_FILE: CERTIFICATE,
    }
    marks = (ADMIN, DISCOVERY, *TOLD)
    needs = (FRONT_HERE, BACKEND_HERE, ADMIN, told)
    made = Configuration.of(texts, marks, needs, edits=ROUTES_PATH, names=require_named)
    return attrs.evolve(made, secret=True)  # sds.json has the key


def restarted() -> Configuration:
    """Return the configuration of an Envoy that has everything from its start."""
    text = bootstrap(STATIC_HOSTS, ROUTES_AT_START, CERTIFICATES_AT_START)
    marks = (ADMIN, HOSTS_PATH, SECRET_PATH)  # of these it has none, where a template asks
    return Configuration.of({CONFIG_FILE: text}, marks, (FRONT_HERE, BACKEND_HERE, ADMIN), edits=EDITED_HERE)


def require_named(texts: Mapping[str, str]) -> None:
    """Raise `UsageError` where the cluster that has the hosts cannot be found."""
    name = cluster(texts)
    if (
        re.search(rf"""\b(service_)?name["']?\s*:\s*["']?{re.escape(name)}["']?\s*([,}}\n#]|$)""", texts[CONFIG_FILE])
        is None
    ):
        msg = f"no cluster is called {name}, whose hosts {HOSTS_FILE} has: its name, or service_name"
        raise UsageError(msg)


def cluster(texts: Mapping[str, str]) -> str:
    """Return the name of the cluster whose hosts the templates tell; raises `UsageError` if they name none."""
    named = NAMED.search(texts[HOSTS_FILE])
    if named is None:
        msg = f'{HOSTS_FILE} names no cluster: "cluster_name": "app"'
        raise UsageError(msg)
    return named[1]
