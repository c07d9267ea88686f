"""Proxies in front of two backends, as they are by default or told what they may repeat.

Where a setting comes into a configuration stands its place, as ``{tries}``; by default there is nothing.
"""

import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import attrs

from proxyreload.proxy.recipe import HOSTNAME

from .command import TIMEOUT_S, Place
from .proxies import HAPROXY_DEFAULTS, NGINX_FOLDERS, binary

#: What is said at some places of a configuration.
Setting = Mapping[str, str]

HAPROXY = (
    HAPROXY_DEFAULTS
    + """\
frontend front
    bind 127.0.0.1:{front}
    default_backend app
backend app
    {retries}
    server backend0 127.0.0.1:{first}
    server backend1 127.0.0.1:{second}
"""
)
NGINX_HEAD = (
    """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
"""
    + NGINX_FOLDERS
)
NGINX = (
    NGINX_HEAD
    + """\
    upstream app {{ server 127.0.0.1:{first}{of_server}; server 127.0.0.1:{second}{of_server}; }}
    server {{
        listen 127.0.0.1:{front};
        location / {{ proxy_pass http://app; {tries} }}
    }}
}}
"""
)
CADDY = """\
{{
    admin off
    auto_https off
    persist_config off
}}
http://:{front} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{first} 127.0.0.1:{second} {{
        lb_policy round_robin
        {tries}
    }}
}}
"""
TRAEFIK = """\
global: {{checkNewVersion: false, sendAnonymousUsage: false}}
entryPoints: {{web: {{address: "127.0.0.1:{front}"}}}}
providers: {{file: {{filename: routes.yml}}}}
"""
TRAEFIK_ROUTES = """\
http:
  routers: {{all: {{rule: PathPrefix(`/`), service: app{middlewares}}}}}
  services:
    app: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{first}"}}, {{url: "http://127.0.0.1:{second}"}}]}}}}
  {retry}
"""
#: Up to the routes, and from there to the clusters.
ENVOY_HEAD = """\
static_resources:
  listeners:
    - address: {{socket_address: {{address: 127.0.0.1, port_value: {front}}}}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: front
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
"""
ENVOY_TAIL = """\
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
"""
ENVOY = (
    ENVOY_HEAD
    + """\
                      routes: [{{match: {{prefix: /}}, route: {{cluster: app{tries}}}}}]
"""
    + ENVOY_TAIL
    + """\
    - name: app
      # Of more than three repeats at a time it would refuse the fourth.
      circuit_breakers: {{thresholds: [{{max_retries: 1000}}]}}
      load_assignment:
        cluster_name: app
        endpoints:
          - lb_endpoints:
              - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {first}}}}}}}
              - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {second}}}}}}}
"""
)
SOZU = """\
log_level = "error"
log_target = "stdout"
command_socket = "{folder}/sozu.sock"
worker_count = 1
max_connections = 500
buffer_size = 16393
activate_listeners = true
[[listeners]]
protocol = "http"
address = "127.0.0.1:{front}"
[clusters.app]
protocol = "http"
frontends = [{{ address = "127.0.0.1:{front}", hostname = "{hostname}" }}]
backends = [{{ address = "127.0.0.1:{first}" }}, {{ address = "127.0.0.1:{second}" }}]
"""


@attrs.frozen
class Start:
    """How a proxy is started in the foreground, in a folder that has its files."""

    words: Sequence[str]
    files: Mapping[str, str]  #: by their names


STARTS: Mapping[str, Start] = {
    "haproxy": Start(("-db", "-f", "haproxy.cfg"), {"haproxy.cfg": HAPROXY}),
    "nginx": Start(("-p", ".", "-c", "nginx.conf", "-e", "stderr"), {"nginx.conf": NGINX}),
    "caddy": Start(("run", "--adapter", "caddyfile", "--config", "Caddyfile"), {"Caddyfile": CADDY}),
    "traefik": Start(("--configFile=traefik.yml",), {"traefik.yml": TRAEFIK, "routes.yml": TRAEFIK_ROUTES}),
    "envoy": Start(("--disable-hot-restart", "--concurrency", "1", "-c", "envoy.yaml"), {"envoy.yaml": ENVOY}),
    "sozu": Start(("start", "-c", "sozu.toml"), {"sozu.toml": SOZU}),
}


def of_haproxy(*lines: str) -> Setting:
    """Let HAProxy send again what has failed in any way it knows, to the other server, and say these lines besides."""
    return {"retries": "\n    ".join(("option redispatch 1", "retry-on all-retryable-errors", *lines))}


def of_caddy(*lines: str) -> Setting:
    """Let Caddy try for two seconds, and say these lines besides."""
    return {"tries": "\n        ".join(("lb_try_duration 2s", *lines))}


def of_traefik(*settings: str) -> Setting:
    """Put the middleware `retry` in front of Traefik's service.

    With so many attempts that those will not do which come to the backend that is gone already.
    """
    retry = ", ".join(("attempts: 10", *settings))
    return {"middlewares": ", middlewares: [again]", "retry": f"middlewares: {{again: {{retry: {{{retry}}}}}}}"}


def of_envoy(retry_on: str) -> Setting:
    """Let Envoy's route try again on these conditions, likewise."""
    return {"tries": f', retry_policy: {{retry_on: "{retry_on}", num_retries: 10}}'}


@contextmanager
def running(place: Place, proxy: str, setting: Setting, start: Start | None = None) -> Iterator[None]:
    """Run a proxy in front of the first two backends of a place, which need not be there yet, and end it.

    With other files, if another `start` is given.
    """
    start, folder, said = start or STARTS[proxy], place.temp / proxy, place.folder / f"{proxy}.txt"
    folder.mkdir()
    ports = {"front": place.front_port, "first": place.first_port, "second": place.first_port + 1}
    told: defaultdict[str, object] = defaultdict(str, folder=folder, hostname=HOSTNAME, **ports, **setting)
    for name, text in start.files.items():
        (folder / name).write_text(text.format_map(told), encoding="utf-8")
    homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    with said.open("wb") as output:
        process = subprocess.Popen(
            [binary(proxy), *start.words],
            cwd=folder,
            env={**os.environ, **homes},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
        assert process.poll() is None, said.read_text(encoding="utf-8")
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT_S)
        finally:
            process.kill()
            shutil.rmtree(folder)
