"""What Traefik is run from, as templates: what it reads at its start, and what a provider provides.

https://doc.traefik.io/traefik/reference/install-configuration/entrypoints/
https://doc.traefik.io/traefik/reference/routing-configuration/http/routing/router/
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from proxyreload.errors import UsageError
from proxyreload.proxy.configuration import BACKEND, FRONT, Configuration, Mark

#: The folder that the file provider watches.
FOLDER = "dynamic"
#: The static configuration, and in that folder who may ask the API, and the certificates.
CONFIG_FILE, ADMIN_FILE, CERTIFICATES_FILE = "traefik.yml", f"{FOLDER}/admin.yml", f"{FOLDER}/certificates.yml"
#: What has the backends: in that folder, or sent.
WATCHED, SENT = f"{FOLDER}/app.yml", "app.yml"

# readTimeout is for a whole request, also one that is sent over a while.
# The throttle is 2 s by default: the least time between two configurations.
STATIC = """\
global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: INFO, noColor: true}
entryPoints:
  web:
    address: "@@front@@"
    reusePort: true
    asDefault: true
    @@if tls@@
    http: {tls: {}}
    @@end@@
    transport:
      respondingTimeouts: {readTimeout: @@whole-timeout@@s, writeTimeout: 0s, idleTimeout: @@timeout@@s}
      lifeCycle: {requestAcceptGraceTimeout: 0s, graceTimeOut: 10s}
  admin: {address: "@@admin@@"}
serversTransport: {forwardingTimeouts: {dialTimeout: 2s, responseHeaderTimeout: 0s, idleConnTimeout: @@timeout@@s}}
api: {insecure: false, dashboard: false}
providers:
  providersThrottleDuration: 100ms
  file: {directory: "@@files@@", watch: true}
"""
OVER_HTTP = '  http: {endpoint: "@@endpoint@@", pollInterval: 200ms}\n'
OVER_REST = "  rest: {}\n"

#: Every request goes to the service ``app``; calls of gRPC to the same servers over HTTP/2. JSON is YAML.
DYNAMIC = """\
{"http": {
  "routers": {
    @@if edit@@
    "edited": {
      "rule": "Path(`@@edited@@`)",
      "priority": 2000,
      "entryPoints": ["web"],
      "service": "app",
      "middlewares": ["edited"]
    },
    @@end@@
    "app": {"rule": "PathPrefix(`/`)", "entryPoints": ["web"], "service": "app"},
    "calls": {
      "rule": "HeaderRegexp(`Content-Type`, `^application/grpc`)",
      "priority": 1000,
      "entryPoints": ["web"],
      "service": "calls"
    }
  },
  @@if edit@@
  "middlewares": {
    "edited": {"redirectRegex": {"regex": "^(https?://[^/]+)/.*$", "replacement": "${1}@@leads-to@@"}}
  },
  @@end@@
  "services": {
    "app": {"loadBalancer": {"passHostHeader": true, "servers": [
      @@each backend@@
      {"url": "http://@@address@@"}@@between@@,
      @@end@@
    ]}},
    "calls": {"loadBalancer": {"passHostHeader": true, "servers": [
      @@each backend@@
      {"url": "h2c://@@address@@"}@@between@@,
      @@end@@
    ]}}
  }
}}
"""

# Traefik listens at no Unix sockets, and any user of the host reaches a port. So the admin entry point leads nowhere,
# but for requests with a header that is drawn for each run: without it the answer is 404.
SECRET_FIELD = "X-Proxyreload-Secret"  # noqa: S105
ROUTER = (
    '"NAME": {"rule": "PathPrefix(`PATH`) && Header(`FIELD`, `@@token@@`)", "entryPoints": ["admin"], '
    '"service": "NAME@internal"}'
)

# No API of Traefik's tells of certificates: a service tells by its name that the file has been read that names them.
# https://doc.traefik.io/traefik/reference/routing-configuration/http/tls/tls-certificates/
CERTIFICATES = """\
@@if tls@@
{
  "tls": {
    "certificates": [{"certFile": "@@certificate@@", "keyFile": "@@key@@"}],
    "stores": {"default": {"defaultCertificate": {"certFile": "@@certificate@@", "keyFile": "@@key@@"}}},
    "options": {"default": {"alpnProtocols": [@@each protocol@@"@@name@@"@@between@@, @@end@@]}}
  },
  "http": {"services": {
    "certificate-@@certificate-number@@": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}
  }}
}
@@else@@
{}
@@end@@
"""

FRONT_HERE = attrs.evolve(
    FRONT, remedy='address: "@@front@@" and reusePort: true, of an entry point', like=r"^\s*address\s*:"
)
BACKEND_HERE = attrs.evolve(
    BACKEND,
    remedy='"servers": [@@each backend@@{"url": "http://@@address@@"}@@between@@, @@end@@]',
    like=r"\bservers\b",
)
ADMIN = Mark(
    "admin",
    "where it listens for who asks its API what is in effect",
    'admin: {address: "@@admin@@"}, another entry point',
    r"^\s*entryPoints\s*:",
)
FILES = Mark(
    "files",
    "the folder that the file provider watches",
    'file: {directory: "@@files@@", watch: true}',
    r"^\s*(providers|file|directory)\s*:",
)
TOKEN = Mark(
    "token",
    "what a request says in a header that may ask its API",
    f"a router of the entry point admin, for its service api@internal: Header(`{SECRET_FIELD}`, `@@token@@`)",
    r"\brule\b",
)
ENDPOINT = Mark(
    "endpoint", "where it asks for what is provided", OVER_HTTP.strip(), r"^\s*(providers|http|endpoint)\s*:"
)
EDITED_HERE = Mark(
    "edited",
    "the path of an unrelated route, for --change edit",
    "between @@if edit@@ and @@end@@ a router with the rule Path(`@@edited@@`) and a high priority, and a middleware "
    "that redirects to @@leads-to@@",
    r"\brouters\b",
)
NUMBER = Mark("certificate-number", "which certificate it is: a service is called certificate-NUMBER")


def configured(
    provided: str = WATCHED, provider: str = "", more: Sequence[Mark] = (), admin: Mapping[str, str] | None = None
) -> Configuration:
    """Return the configuration of a mechanism.

    `provided` is the file with the backends, `provider` what the static one says of who provides that, with `more`
    marks; `admin` the services of Traefik's own that whoever knows the secret reaches, with their paths.
    """
    routers = [
        ROUTER.replace("NAME", name).replace("PATH", path).replace("FIELD", SECRET_FIELD)
        for name, path in {"api": "/api", **(admin or {})}.items()
    ]
    texts = {
        provided: DYNAMIC,
        CONFIG_FILE: STATIC + provider,
        ADMIN_FILE: '{{"http": {{"routers": {{\n  {}\n}}}}}}\n'.format(",\n  ".join(routers)),
        CERTIFICATES_FILE: CERTIFICATES,
    }
    marks = (ADMIN, FILES, TOKEN, NUMBER, *more)

    def require(texts: Mapping[str, str]) -> None:
        """Raise `UsageError` where the API would not answer, or nobody provide, or that twice."""
        for section in ("api", *re.findall(r"^  (\w+):", provider, re.MULTILINE)):
            if re.search(rf"^\s*{section}\s*:", texts[CONFIG_FILE], re.MULTILINE) is None:
                msg = f"{CONFIG_FILE} has no {section}: {{}}, without which nothing can be changed or asked for"
                raise UsageError(msg)
        if provided == SENT and WATCHED in texts:
            msg = f"{WATCHED} would be read as well as {SENT}, which is sent: call it {SENT}"
            raise UsageError(msg)

    needs = (FRONT_HERE, BACKEND_HERE, ADMIN, FILES, TOKEN, *more)
    return Configuration.of(texts, marks, needs, edits=EDITED_HERE, names=require)


def as_json(text: str, name: str) -> dict[str, Any]:
    """Return what a text says that is JSON, or YAML where there is what reads it; raises `UsageError`."""
    try:
        told: dict[str, Any] = json.loads(text)
    except ValueError as error:
        from proxyreload.proxy.yamltext import content

        told = content(text, name, f"{name} is no JSON ({error}), and what is YAML")
    return told
