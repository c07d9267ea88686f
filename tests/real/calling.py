"""Proxies in front of two backends, that carry calls of gRPC beside anything else: HTTP/2 in the clear at both ends.

Each speaks HTTP/1.1 and HTTP/2 at its one front, and HTTP/2 to the backends with what is gRPC's.
"""

from collections.abc import Mapping

import attrs

from .proxies import HAPROXY_DEFAULTS
from .repeating import ENVOY_HEAD, ENVOY_TAIL, NGINX_HEAD, TRAEFIK, Start
from .repeating import STARTS as REPEATING

HAPROXY = (
    HAPROXY_DEFAULTS
    + """\
frontend front
    bind 127.0.0.1:{front}
    use_backend calls if {{ req.hdr(content-type) -m beg application/grpc }}
    default_backend app
backend app
    server backend0 127.0.0.1:{first}
    server backend1 127.0.0.1:{second}
backend calls
    server backend0 127.0.0.1:{first} proto h2
    server backend1 127.0.0.1:{second} proto h2
"""
)
NGINX = (
    NGINX_HEAD
    + """\
    upstream app {{ server 127.0.0.1:{first}; server 127.0.0.1:{second}; }}
    server {{
        listen 127.0.0.1:{front};
        http2 on;
        location / {{ proxy_pass http://app; }}
        location /proxyreload.Calls/ {{ grpc_pass grpc://app; }}
    }}
}}
"""
)
CADDY = """\
{{
    admin off
    auto_https off
    persist_config off
    servers {{
        protocols h1 h2c
    }}
}}
http://:{front} {{
    bind 127.0.0.1
    @calls header Content-Type application/grpc*
    reverse_proxy @calls h2c://127.0.0.1:{first} h2c://127.0.0.1:{second} {{
        lb_policy round_robin
        {flush}
    }}
    reverse_proxy 127.0.0.1:{first} 127.0.0.1:{second} {{
        lb_policy round_robin
    }}
}}
"""
TRAEFIK_ROUTES = """\
http:
  routers:
    all: {{rule: PathPrefix(`/`), service: app}}
    calls: {{rule: "HeaderRegexp(`Content-Type`, `^application/grpc`)", service: calls, priority: 1000}}
  services:
    app: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{first}"}}, {{url: "http://127.0.0.1:{second}"}}]}}}}
    calls: {{loadBalancer: {{servers: [{{url: "h2c://127.0.0.1:{first}"}}, {{url: "h2c://127.0.0.1:{second}"}}]}}}}
"""
ENVOY_CLUSTER = """\
    - name: {name}
{options}      load_assignment:
        cluster_name: {name}
        endpoints:
          - lb_endpoints:
              - endpoint: {{{{address: {{{{socket_address: {{{{address: 127.0.0.1, port_value: {{first}}}}}}}}}}}}}}
              - endpoint: {{{{address: {{{{socket_address: {{{{address: 127.0.0.1, port_value: {{second}}}}}}}}}}}}}}
"""
ENVOY_HTTP2 = """\
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {{http2_protocol_options: {{}}}}
"""
ENVOY = (
    ENVOY_HEAD
    + """\
                      routes:
                        - {{match: {{prefix: /, grpc: {{}}}}, route: {{cluster: calls, timeout: 0s}}}}
                        - {{match: {{prefix: /}}, route: {{cluster: app}}}}
"""
    + ENVOY_TAIL
    + ENVOY_CLUSTER.format(name="app", options="")
    + ENVOY_CLUSTER.format(name="calls", options=ENVOY_HTTP2)
)

_FILES: Mapping[str, Mapping[str, str]] = {
    "haproxy": {"haproxy.cfg": HAPROXY},
    "nginx": {"nginx.conf": NGINX},
    "caddy": {"Caddyfile": CADDY},
    "traefik": {"traefik.yml": TRAEFIK, "routes.yml": TRAEFIK_ROUTES},
    "envoy": {"envoy.yaml": ENVOY},
}
STARTS: Mapping[str, Start] = {proxy: attrs.evolve(REPEATING[proxy], files=files) for proxy, files in _FILES.items()}
