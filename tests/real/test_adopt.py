"""A distribution's own configuration, adopted and run in one command each, as docs/configuration.md shows."""

from pathlib import Path

import pytest

from .command import Place, Result
from .mechanisms import assert_whole

pytestmark = pytest.mark.real

#: Where Debian's packages have theirs; where these are not installed, what they come to.
DEBIANS_HAPROXY, DEBIANS_NGINX = Path("/etc/haproxy/haproxy.cfg"), Path("/etc/nginx/nginx.conf")
LIKE_DEBIANS_HAPROXY = """\
global
\tlog /dev/log\tlocal0
\tchroot /var/lib/haproxy
\tstats socket /run/haproxy/admin.sock mode 660 level admin
\tuser haproxy
\tgroup haproxy
\tdaemon
\tca-base /etc/ssl/certs

defaults
\tlog\tglobal
\tmode\thttp
\toption\thttplog
\ttimeout connect 5000
\ttimeout client  50000
\ttimeout server  50000
"""
LIKE_DEBIANS_NGINX = """\
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events { worker_connections 768; }
http {
\tsendfile on;
\ttcp_nopush on;
\taccess_log /var/log/nginx/access.log;
\tgzip on;
}
"""
#: What an operator puts into them.
SITE_OF_HAPROXY = """
frontend web
\tbind *:80
\tdefault_backend app

backend app
\tbalance roundrobin
\tserver one 192.0.2.10:8080 check
\tserver two 192.0.2.11:8080 check
"""
SITE_OF_NGINX = """\
\tupstream app { server 192.0.2.10:8080; server 192.0.2.11:8080; keepalive 8; }
\tserver {
\t\tlisten 80; server_name site.test;
\t\tlocation / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }
\t}
}
"""
#: Of Envoy and Traefik there is nothing that a distribution has: what an operator writes.
OPERATORS_ENVOY = """\
admin:
  address: { socket_address: { address: 127.0.0.1, port_value: 9901 } }
static_resources:
  listeners:
  - name: web
    address:
      socket_address: { address: 0.0.0.0, port_value: 10000 }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress_http
          access_log:
          - name: envoy.access_loggers.stdout
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: site
              domains: ["site.test"]
              routes:
              - match: { prefix: "/" }
                route: { cluster: site, timeout: 0s }
  - name: raw
    address:
      socket_address: { address: 0.0.0.0, port_value: 10001 }
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: raw
          cluster: site
  clusters:
  - name: site
    type: STRICT_DNS
    lb_policy: ROUND_ROBIN
    load_assignment:
      cluster_name: site
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: one.site.test, port_value: 8080 } } }
        - endpoint: { address: { socket_address: { address: two.site.test, port_value: 8080 } } }
"""
OPERATORS_TRAEFIK = """\
http:
  routers:
    site:
      rule: Host(`site.test`)
      entryPoints: [websecure]
      service: site
      middlewares: [said]
      tls: {certResolver: le}
  middlewares:
    said:
      headers: {customResponseHeaders: {X-Operator: somebody}}
  services:
    site:
      loadBalancer:
        servers:
          - url: http://192.0.2.10:8080
          - url: http://192.0.2.11:8080
"""
QUICK = ("--traffic", "get=2", "--repeat", "1", "--pace", "0.2")


def text(path: Path, otherwise: str) -> str:
    """Return a distribution's own, or what it comes to."""
    return path.read_text(encoding="utf-8") if path.is_file() else otherwise


def run(place: Place, plugin: str, path: Path, *words: str) -> Result:
    """Adopt a file, and run what came of it."""
    adopted = place.run("adopt", str(path), *words, "--into", "mine")
    assert adopted.status == 0, adopted.stderr
    result = place.run("--plugin", plugin, "--config", "mine", *QUICK, *place.ports)
    assert_whole(place, result)
    assert [change["error"] for change in result.changes] == [None, None]
    assert {change["verdict"] for change in result.changes} <= {"seamless", "graceful", "racy", "lossy"}
    return adopted


def test_debians_haproxy_with_a_site_is_adopted_and_run(place: Place) -> None:
    path = place.folder / "haproxy.cfg"
    path.write_text(text(DEBIANS_HAPROXY, LIKE_DEBIANS_HAPROXY) + SITE_OF_HAPROXY, encoding="utf-8")
    adopted = run(place, "haproxy:reload", path, "--frontend", "web", "--backend", "app", "--diff")
    assert "-       chroot /var/lib/haproxy\n" in adopted.stderr
    assert "expose-fd listeners is added" in adopted.stderr


def test_debians_nginx_with_a_site_is_adopted_and_run(place: Place) -> None:
    path = place.folder / "nginx.conf"
    written = text(DEBIANS_NGINX, LIKE_DEBIANS_NGINX).replace("/sites-enabled/", "/nobody-enabled/")
    end = written.rindex("}", 0, written.index("#mail {")) if "#mail {" in written else written.rindex("}")
    path.write_text(written[:end] + SITE_OF_NGINX, encoding="utf-8")
    run(place, "nginx:reload", path, "--frontend", "site.test")


@pytest.mark.parametrize("plugin", ["envoy:file", "envoy:hot-restart"])
def test_an_operators_envoy_is_adopted_and_run(place: Place, plugin: str) -> None:
    path = place.folder / "envoy.yaml"
    path.write_text(OPERATORS_ENVOY, encoding="utf-8")
    adopted = run(place, plugin, path, "--frontend", "web")
    assert adopted.stderr == f"{path}:25: the name that the clients of a run ask for is one more\n"


@pytest.mark.parametrize("plugin", ["traefik:file", "traefik:rest"])
def test_an_operators_traefik_is_adopted_and_run(place: Place, plugin: str) -> None:
    path = place.folder / "dynamic.yml"
    path.write_text(OPERATORS_TRAEFIK, encoding="utf-8")
    adopted = run(place, plugin, path)
    assert f"{path}:4: the name that the clients of a run ask for is one more\n" in adopted.stderr


def test_what_cannot_be_adopted_is_one_line(place: Place) -> None:
    path = place.folder / "haproxy.cfg"
    path.write_text(LIKE_DEBIANS_HAPROXY, encoding="utf-8")
    result = place.run("adopt", "haproxy.cfg")
    complaint = "haproxy.cfg: say which frontend the clients use (--frontend); there are: none"
    assert (result.status, result.stderr) == (2, f"proxyreload: {complaint}\n")


#: Like the documentation's of a site with an API, a folder of files and a redirect.
CADDYFILE = """\
{
\temail admin@site.test
\tadmin off
\tlog {
\t\toutput file /var/log/caddy/all.log
\t}
}

www.site.test {
\tredir https://site.test{uri}
}

site.test {
\tencode gzip
\tlog
\theader X-Operator somebody
\thandle_path /files/* {
\t\troot * /srv/files
\t\tfile_server
\t}
\treverse_proxy /api/* 192.0.2.20:9000
\treverse_proxy 192.0.2.10:8080 192.0.2.11:8080 {
\t\tlb_policy round_robin
\t}
}
"""


@pytest.mark.parametrize("mechanism", ["load", "api"])
def test_a_caddyfile_is_adapted_by_caddy_and_run(place: Place, mechanism: str) -> None:
    path = place.folder / "Caddyfile"
    path.write_text(CADDYFILE, encoding="utf-8")
    words = ("--frontend", "site.test", "--backend", "192.0.2.10:8080", "--diff")
    adopted = run(place, f"caddy:{mechanism}", path, *words)
    assert "Caddyfile, adapted:" in adopted.stderr
    assert "the admin API is there: by it the run changes Caddy" in adopted.stderr
    assert '+\t\t\t\t\t"listen": ["@@front@@"],'.expandtabs() in adopted.stderr
