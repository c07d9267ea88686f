"""What Apache httpd is told by its configuration.

https://httpd.apache.org/docs/2.4/mod/directives.html
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import attrs

from proxyreload.errors import UsageError
from proxyreload.proxy.configuration import BACKEND, FRONT, Configuration, Mark
from proxyreload.traffic.grpc import SERVICE

CONFIG_FILE = "httpd.conf"
#: The folder of the map, and its name there.
MAPS, MAP_FILE = "maps", "app.txt"
#: Where Debian's build has its modules, and where they may be, from the folder of a program.
MODULES = Path("/usr/lib/apache2/modules")
PLACES = ("../lib/apache2/modules", "../lib64/httpd/modules", "../lib/httpd/modules", "../modules")
NEEDED = (
    *("authz_core", "env", "lbmethod_byrequests", "proxy", "proxy_balancer", "proxy_http", "rewrite", "slotmem_shm"),
)


def loaded(name: str) -> str:
    """Return the line that loads a module."""
    return f"LoadModule {name}_module ${{MODULES}}/mod_{name}.so\n"


def where(mark: str, text: str) -> str:
    """Return what is there where a mark says so."""
    return f"@@if {mark}@@\n{text}@@end@@\n"


def speaking_http2(over_tls: str, in_the_clear: str) -> str:
    """Return what is there where the front speaks HTTP/2, over TLS or in the clear."""
    return f"@@if tls@@\n{where('tls-h2', over_tls)}@@else@@\n{where('h2', in_the_clear)}@@end@@\n"


# What is told to stop gracefully ends in four seconds: a parent that is ended by force after five would leave children.
# An upload goes through as it comes: by default httpd waits for its first 16 KiB, or its end.
# https://httpd.apache.org/docs/2.4/mod/mod_proxy_http.html#env
# Children of root's are started as another user: httpd refuses to let them be root.
CONFIG = """\
Define MODULES @@modules@@
{loaded}ServerName @@hostname@@
ServerRoot @@folder@@/
DefaultRuntimeDir @@folder@@/
PidFile @@folder@@/httpd.pid
ErrorLog @@folder@@/output.log
LogLevel warn
Mutex pthread default
@@if root@@
User #65534
Group #65534
@@end@@
{children}
Listen @@front@@
Timeout @@timeout@@
KeepAliveTimeout @@timeout@@
MaxKeepAliveRequests 0
GracefulShutdownTimeout 4
ProxyTimeout @@timeout@@
{before}<VirtualHost @@front@@>
ProxyPreserveHost On
SetEnv proxy-prefetch-nonblocking 1
{inside}@@if tls@@
SSLEngine on
SSLCertificateFile @@certificate@@
SSLCertificateKeyFile @@key@@
@@end@@
{protocols}</VirtualHost>
"""
PROTOCOLS = speaking_http2("Protocols h2 http/1.1\n", "Protocols h2c http/1.1\n")
CALLS = f"/{SERVICE.decode('ascii')}/"
WEBSOCKET = "RewriteCond %{HTTP:Upgrade} =websocket [NC]\n"


def balancer(name: str, scheme: str, settings: str) -> str:
    """Return a balancer with all backends, which are spoken to by this scheme."""
    member = f"@@each backend@@\n    BalancerMember {scheme}://@@address@@\n@@end@@\n"
    return f"<Proxy balancer://{name}>\n{member}{settings}</Proxy>\n"


def balanced(settings: str = "") -> str:
    """Return the balancers for each kind of traffic that asks for one of its own, with these `settings`."""
    calls, sessions = balancer("calls", "h2c", settings), balancer("sessions", "ws", settings)
    return balancer("app", "http", settings) + where("grpc", calls) + where("websocket", sessions)


#: How the front leads to the balancers.
LED = (
    where("websocket", f"RewriteEngine On\n{WEBSOCKET}RewriteRule ^ balancer://sessions%{{REQUEST_URI}} [P,L]\n")
    + where("grpc", f"ProxyPass {CALLS} balancer://calls{CALLS}\n")
    + "ProxyPass / balancer://app/\n"
)
# The manager is where the front is: for another virtual host httpd keeps the balancers a second time, and some children
# never hear of a member that is added there (BalancerInherit). Any user of the host reaches the front: so the path is
# drawn for each run. To a front that speaks TLS a port leads that does not.
MANAGED = """\
<Location @@manager@@>
    SetHandler balancer-manager
</Location>
ProxyPass @@manager@@ !
"""
ASKED_IN_THE_CLEAR = """\
BalancerInherit off
@@if tls@@
Listen @@asked@@
<VirtualHost @@asked@@>
    SSLProxyEngine on
    SSLProxyCheckPeerName off
    ProxyPass @@manager@@ https://@@front@@@@manager@@
</VirtualHost>
@@end@@
"""
SETTINGS = "    ProxySet growth=@@growth@@ nonce=@@nonce@@\n"
# Only to backends that are named httpd keeps connections for another request.
NAMED = "@@each backend@@\n<Proxy http://@@address@@>\n    ProxySet enablereuse=on\n</Proxy>\n@@end@@\n"
LOOKED_UP = (
    "RewriteEngine On\nRewriteMap app rnd:@@map@@\n"
    + where("websocket", f"{WEBSOCKET}RewriteRule ^/(.*) ws://${{app:app}}/$1 [P,L]\n")
    + where("grpc", f"RewriteRule ^{CALLS}(.*) h2c://${{app:app}}{CALLS}$1 [P,L]\n")
    + "RewriteRule ^/(.*) http://${app:app}/$1 [P,L]\n"
)
MAP = "@@if backend@@\napp @@each backend@@@@address@@@@between@@|@@end@@\n@@end@@\n"

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

FRONT_HERE = attrs.evolve(FRONT, remedy="Listen @@front@@, and <VirtualHost @@front@@>", like=r"^\s*Listen\s")
BACKEND_HERE = attrs.evolve(
    BACKEND,
    remedy="in <Proxy balancer://NAME> write @@each backend@@, BalancerMember http://@@address@@ and @@end@@, "
    "a line each",
    like=r"^\s*(BalancerMember\s|<Proxy\s+\"?balancer:)",
)
OWN = (
    Mark("modules", "the folder of the modules that belong to the program"),
    Mark("websocket", "whether some clients open WebSockets"),
)
MANAGER_HERE = Mark(
    "manager",
    "the path of the balancer-manager, which is drawn for each run",
    "in the front's VirtualHost write <Location @@manager@@>, SetHandler balancer-manager, </Location> and "
    "ProxyPass @@manager@@ !, a line each, before other ProxyPass",
    r"balancer-manager",
)
NONCE = Mark(
    "nonce",
    "what a balancer takes orders with",
    "in each <Proxy balancer://NAME> write ProxySet growth=@@growth@@ nonce=@@nonce@@",
    r"^\s*(ProxySet\s.*nonce=|<Proxy\s+\"?balancer:)",
)
GROWTH_HERE = attrs.evolve(NONCE, name="growth", what="how many members can be added to a balancer")
ASKED = Mark(
    "asked",
    "where the manager is asked in the clear, which leads to a front that speaks TLS",
    "between @@if tls@@ and @@end@@ write Listen @@asked@@ and <VirtualHost @@asked@@>, with SSLProxyEngine on, "
    "SSLProxyCheckPeerName off and ProxyPass @@manager@@ https://@@front@@@@manager@@",
    r"^\s*Listen\s",
)
MAP_HERE = Mark(
    "map",
    f"the path of the map, {MAPS}/{MAP_FILE}",
    "RewriteMap app rnd:@@map@@, and RewriteRule ^/(.*) http://${app:app}/$1 [P,L]",
    r"^\s*RewriteMap\s",
)


def restarted(mpm: str, children: str) -> Configuration:
    """Return the configuration of what is restarted, by its process model."""
    text = written(mpm, children, balanced(), LED)
    return Configuration.of({CONFIG_FILE: text}, OWN, (FRONT_HERE, BACKEND_HERE))


def managed() -> Configuration:
    """Return one that has a balancer-manager; the path of that is for nobody else to read."""
    needed = (MANAGER_HERE, NONCE, GROWTH_HERE)
    text = written("event", EVENT, ASKED_IN_THE_CLEAR, balanced(SETTINGS) + MANAGED + LED)
    made = Configuration.of({CONFIG_FILE: text}, (*OWN, *needed, ASKED), (FRONT_HERE, BACKEND_HERE, *needed))
    return attrs.evolve(made, names=require_balancers, over_tls=(ASKED,), secret=True)


def mapped() -> Configuration:
    """Return one that looks backends up in a map."""
    texts = {CONFIG_FILE: written("event", EVENT, NAMED, LOOKED_UP), f"{MAPS}/{MAP_FILE}": MAP}
    return Configuration.of(texts, (*OWN, MAP_HERE), (FRONT_HERE, MAP_HERE, BACKEND_HERE))


def written(mpm: str, children: str, before: str, inside: str) -> str:
    """Return the text of a configuration, with what stands `before` the front, and in it."""
    modules_loaded = "".join(map(loaded, (f"mpm_{mpm}", *NEEDED)))
    modules_loaded += where("grpc", loaded("proxy_http2")) + where("websocket", loaded("proxy_wstunnel"))
    modules_loaded += where("tls", loaded("ssl"))
    http2 = mpm != "prefork"
    return CONFIG.format(
        loaded=modules_loaded + (speaking_http2(loaded("http2"), loaded("http2")) if http2 else ""),
        children=children,
        before=before,
        inside=inside,
        protocols=PROTOCOLS if http2 else "",
    )


#: A balancer that is a block, and a member of it for each backend, with its scheme.
BLOCK = re.compile(r"<Proxy\s+\"?(balancer://[^>\"\s]+?)/?\"?\s*>(.*?)</Proxy>", re.DOTALL | re.IGNORECASE)
FOR_EACH = re.compile(r"\bBalancerMember\s+\"?(\w+)://(?:@@address@@|@@host@@:@@port@@)", re.IGNORECASE)


def balancers(texts: Mapping[str, str]) -> Mapping[str, str]:
    """Return the scheme by which each balancer of the templates speaks to the backends, by its name."""
    blocks = [block for text in texts.values() for block in BLOCK.findall(text)]
    return {name: found[1] for name, told in blocks if (found := FOR_EACH.search(told)) is not None}


def require_balancers(texts: Mapping[str, str]) -> None:
    """Raise `UsageError` for a configuration that has no balancer to which a member can be added."""
    if not balancers(texts):
        msg = "no <Proxy balancer://NAME> has BalancerMember http://@@address@@, which is what members are added by"
        raise UsageError(msg)


def is_root() -> bool:
    """Whether children are started as another user: httpd refuses to let them be root."""
    return os.geteuid() == 0


def modules(program: Path) -> Path:
    """Return the folder of the modules that belong to a program."""
    folders = (each.parent / place for each in (program, program.resolve()) for place in PLACES)
    return next((folder.resolve() for folder in folders if folder.is_dir()), MODULES)
