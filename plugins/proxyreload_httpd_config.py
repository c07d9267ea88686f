"""What Apache httpd is told by its configuration.

https://httpd.apache.org/docs/2.4/mod/directives.html
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from proxyreload.proxy.recipe import HOSTNAME
from proxyreload.proxy.upstream import Upstream
from proxyreload.traffic.grpc import SERVICE

CONFIG_FILE = "httpd.conf"
#: Where Debian's build has its modules, and where they may be, from the folder of a program.
MODULES = Path("/usr/lib/apache2/modules")
PLACES = ("../lib/apache2/modules", "../lib64/httpd/modules", "../lib/httpd/modules", "../modules")
NEEDED = (
    *("authz_core", "env", "lbmethod_byrequests", "proxy", "proxy_balancer", "proxy_http", "rewrite", "slotmem_shm"),
)

# What is told to stop gracefully ends in four seconds: a parent that is ended by force after five would leave children.
# An upload goes through as it comes: by default httpd waits for its first 16 KiB, or its end.
# https://httpd.apache.org/docs/2.4/mod/mod_proxy_http.html#env
CONFIG = """\
Define MODULES {modules}
{modules_lines}
ServerName {hostname}
ServerRoot {folder}/
DefaultRuntimeDir {folder}/
PidFile {folder}/httpd.pid
ErrorLog {folder}/output.log
LogLevel warn
Mutex pthread default
{user}{children}
Listen {front}
Timeout {timeout}
KeepAliveTimeout {timeout}
MaxKeepAliveRequests 0
GracefulShutdownTimeout 4
ProxyTimeout {timeout}
{before}<VirtualHost {front}>
    ProxyPreserveHost On
    SetEnv proxy-prefetch-nonblocking 1
{lines}
</VirtualHost>
"""
# httpd's own defaults, with room for twice as many: what has been told to finish counts until it has. No child is ended
# for being one too many, which would close connections as a change does.
EVENT = """\
StartServers 3
ServerLimit 32
ThreadsPerChild 25
MaxRequestWorkers 800
MinSpareThreads 75
MaxSpareThreads 800"""
#: Here a thread is busy for as long as a connection is there, also while it rests; and in the other a process.
WORKER = EVENT.replace("StartServers 3", "StartServers 10")
PREFORK = """\
StartServers 250
ServerLimit 2000
MaxRequestWorkers 2000
MinSpareServers 20
MaxSpareServers 2000"""

#: What a backend is spoken to by, for each kind of traffic that asks for something of its own.
SCHEMES = {"app": "http", "calls": "h2c", "sessions": "ws"}
NEED = {"calls": "gRPC", "sessions": "WebSocket"}
CALLS = f"/{SERVICE.decode('ascii')}/"
WEBSOCKET = "RewriteCond %{HTTP:Upgrade} =websocket [NC]"


def balanced(upstreams: Sequence[Upstream], speaks: Collection[str], settings: str = "") -> tuple[str, list[str]]:
    """Return the balancers, each with these `settings`, and how the front leads to them."""
    blocks, lines = [], []
    for name in balancers(speaks):
        members = "".join(f"    BalancerMember {SCHEMES[name]}://{upstream.address}\n" for upstream in upstreams)
        blocks.append(f"<Proxy balancer://{name}>\n{members}{settings}</Proxy>\n")
        if name == "sessions":
            lines += ["RewriteEngine On", WEBSOCKET, "RewriteRule ^ balancer://sessions%{REQUEST_URI} [P,L]"]
        elif name == "calls":
            lines.append(f"ProxyPass {CALLS} balancer://calls{CALLS}")
    return "".join(blocks), [*lines, "ProxyPass / balancer://app/"]


def balancers(speaks: Collection[str]) -> list[str]:
    """Return the balancers for what is spoken."""
    return [name for name in SCHEMES if NEED.get(name, "") in ("", *speaks)]


def speaking(speaks: Collection[str]) -> list[str]:
    """Return the modules for it."""
    needed = {"gRPC": "proxy_http2", "WebSocket": "proxy_wstunnel"}
    return [module for name, module in needed.items() if name in speaks]


def configuration(
    front: str, timeout_s: int, children: str, loaded: Sequence[str], before: str, lines: Sequence[str], **how: str
) -> str:
    """Return the text of the configuration, with what stands `before` the front, and in it."""
    return CONFIG.format(
        front=front,
        timeout=timeout_s,
        children=children,
        modules_lines="\n".join(f"LoadModule {name}_module ${{MODULES}}/mod_{name}.so" for name in loaded),
        before=before,
        lines="\n".join(f"    {line}" for line in lines),
        hostname=HOSTNAME,
        user="User #65534\nGroup #65534\n" if is_root() else "",
        **how,
    )


def is_root() -> bool:
    """Whether children are started as another user: httpd refuses to let them be root."""
    return os.geteuid() == 0


def modules(program: Path) -> Path:
    """Return the folder of the modules that belong to a program."""
    folders = (each.parent / place for each in (program, program.resolve()) for place in PLACES)
    return next((folder.resolve() for folder in folders if folder.is_dir()), MODULES)
