"""A real Caddyfile, or Caddy's JSON, made into a template: listening elsewhere, with other upstreams.

https://caddyserver.com/docs/caddyfile
https://caddyserver.com/docs/json/
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from proxyreload.adoption.adopted import Adopted, Adopter, Remark, Wanted, chosen
from proxyreload.errors import UsageError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configtemplate import literal
from proxyreload.system.untrusted import WORDS_LIMIT, one_line, printable

#: A Caddyfile that takes Caddy longer to adapt is given up.
LIMIT_S = 30.0
#: Lines are counted in what is printed so: as ``caddy adapt --pretty`` does.
LINES_OF = ", adapted"
TAB = "\t"


@attrs.frozen
class Marked:
    """A value that has markers, as it is written."""

    text: str


@attrs.frozen
class Block:
    """Lines between markers that stand before the members of an object, or of a list; each member has its comma."""

    lines: tuple[str, ...]


#: The admin API is the run's: at a socket in its folder, and nothing of the configuration outlives it.
ADMIN = {"listen": Marked('"unix/@@admin@@"'), "origins": ["127.0.0.1"], "config": {"persist": False}}
#: By what Caddy logs, ``caddy:signal`` knows that the file was read; what is asked at the admin API would bury it.
LOGGING = {"logs": {"default": {"level": "INFO", "exclude": ["admin.api", "http.log.access"]}}}
CERTIFICATES = Block(
    (
        "@@if tls@@",
        '"tls": {"certificates": {"load_files": [{"certificate": "@@certificate@@", "key": "@@key@@"}]}},',
        "@@end@@",
    )
)
SPOKEN = Block(
    (
        "@@if tls@@",
        '"tls_connection_policies": [{"alpn": [@@each protocol@@"@@name@@"@@between@@, @@end@@]}],',
        '"protocols": ["h1"@@if tls-h2@@, "h2"@@end@@],',
        "@@else@@",
        "@@if h2@@",
        '"protocols": ["h1", "h2c"],',
        "@@end@@",
        "@@end@@",
    )
)
EDITED = Block(
    (
        "@@if edit@@",
        '{"@id": "edited", "match": [{"path": ["@@edited@@"]}], "terminal": true, "handle": [',
        '{"handler": "static_response", "status_code": 302, "headers": {"Location": ["@@leads-to@@"]}}]},',
        "@@end@@",
    )
)
#: Of a server: what the run has of its own, or does not speak.
OF_SERVER = ("listen", "tls_connection_policies", "protocols", "automatic_https", "logs", "listener_wrappers")
#: The name that the clients' server has in the plugin's own configuration.
FRONT, HANDLER_ID = "front", "app"


@attrs.define
class Printed:
    """An object of JSON on lines, and in which of them each object and list in it begins."""

    escaped: bool  #: as a template
    out: list[str] = attrs.field(factory=list)
    lines: dict[int, int] = attrs.field(factory=dict)  #: by `id`

    @classmethod
    def of(cls, value: object, *, escaped: bool) -> "Printed":
        """Print it."""
        made = cls(escaped)
        made._put(value, "", "", "")
        return made

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(f"{line}\n" for line in self.out)

    def _put(self, value: object, before: str, indent: str, after: str) -> None:
        if isinstance(value, Marked):
            self.out.append(f"{before}{value.text}{after}")
        elif isinstance(value, dict | list) and value:
            self.lines[id(value)] = len(self.out) + 1
            first, last = "{}" if isinstance(value, dict) else "[]"
            self.out.append(before + first)
            members = list(value.items()) if isinstance(value, dict) else [(None, each) for each in value]
            for number, (name, each) in enumerate(members, 1):
                self._put_member(name, each, indent + TAB, "," if number < len(members) else "")
            self.out.append(f"{indent}{last}{after}")
        else:
            self.out.append(f"{before}{self._plain(value)}{after}")

    def _put_member(self, name: object, value: object, indent: str, after: str) -> None:
        block = next((each for each in (name, value) if isinstance(each, Block)), None)
        if block is not None:
            self.out += [indent + line for line in block.lines]
        else:
            self._put(value, indent if name is None else f"{indent}{self._plain(name)}: ", indent, after)

    def _plain(self, value: object) -> str:
        text = json.dumps(value, ensure_ascii=False)
        return literal(text) if self.escaped else text


@attrs.frozen
class Site:
    """What clients come to: a server, and the route in it for the host that they ask for, if it has such."""

    server: str
    route: Mapping[str, Any] | None = None
    host: str = ""


@attrs.frozen
class Proxying:
    """A handler ``reverse_proxy``, and the paths that lead to it."""

    handler: dict[str, Any]
    paths: Sequence[str]

    @property
    def dials(self) -> list[str]:
        """Its upstreams' addresses."""
        return [str(each.get("dial", "")) for each in self.handler.get("upstreams") or []]

    @property
    def names(self) -> list[str]:
        """By what it may be chosen."""
        return [*self.paths, *self.dials, ",".join(self.dials)]

    def __str__(self) -> str:
        """``/api/* 10.0.0.3:9000``."""
        return " ".join([*self.paths, *self.dials])


@attrs.define
class Adoption:
    """One configuration being made a template."""

    path: Path
    config: dict[str, Any]
    wanted: Wanted
    before: Printed
    remarks: list[Remark] = attrs.field(factory=list)

    def template(self) -> Adopted:
        """Return it; raises `UsageError`."""
        http = self.config.get("apps", {}).get("http", {})
        servers: dict[str, dict[str, Any]] = http.get("servers") or {}
        if not servers:
            msg = f"{self.path}: no server of HTTP in it"
            raise UsageError(msg)
        site = self._site(servers)
        self._proxy(servers, site)
        self._servers(http, servers, site)
        self._apps(http)
        for name in ("admin", "logging", "storage"):
            self._replace(name)
        self.config = {"admin": ADMIN, "logging": LOGGING, **self.config}
        return Adopted(Printed.of(self.config, escaped=True).text, self.remarks, LINES_OF, self.before.text)

    # What the clients come to.

    def _site(self, servers: Mapping[str, Any]) -> Site:
        sites: dict[str, Site] = {}
        for name, server in servers.items():
            found = list(_sites(name, server)) or [Site(name)]
            for site in found:
                for told in (site.host, *(f"{site.host}{_port(each)}" for each in server.get("listen", []))):
                    sites.setdefault(told, site)
            for told in (name, *server.get("listen", [])):
                sites.setdefault(told, found[0])
        sites.pop("", None)
        wanted = self.wanted.frontend.removeprefix("https://").removeprefix("http://").rstrip("/")
        if not wanted and len({(each.server, id(each.route)) for each in sites.values()}) == 1:
            return next(iter(sites.values()))
        return sites[chosen(self.path, "frontend", wanted, list(sites))]

    def _proxy(self, servers: Mapping[str, Any], site: Site) -> None:
        """Let the chosen handler, and those that have the same upstreams, send to the run's backends."""
        routes = [site.route] if site.route is not None else servers[site.server].get("routes") or []
        found = list(_proxying(routes, ()))
        named = [each for each in found if not self.wanted.backend or self.wanted.backend in each.names]
        if len({tuple(each.dials) for each in named}) != 1:
            there = "; ".join(printable(str(each)) for each in found) or "none"
            what = "say which reverse_proxy the clients use (--backend, one of its upstreams or paths)"
            msg = f"{self.path}: {what}; there are: {there}"
            raise UsageError(msg)
        for known in list(_with_id(self.config, HANDLER_ID)):
            del known["@id"]
        same = [each for each in found if each.dials == named[0].dials]
        for each in same:
            self._upstreams(each.handler)
        app = named[-1].handler  # behind those for some paths is the one for all others
        if app.get("@id"):
            self._say(app, f"its @id is {HANDLER_ID}, by which caddy:api changes it")
        app["@id"] = HANDLER_ID
        if len(same) > 1:
            self._say(app, f"{len(same)} handlers have these upstreams: caddy:api changes those of this one alone")

    def _upstreams(self, handler: dict[str, Any]) -> None:
        upstreams, transport = handler.get("upstreams"), handler.get("transport") or {}
        if not upstreams or "dynamic_upstreams" in handler:
            msg = f"{self._where(handler)}: its upstreams are looked up: there is no list of them in it"
            raise UsageError(msg)
        if transport.get("protocol", "http") != "http":
            spoken = printable(str(transport["protocol"]))
            msg = f"{self._where(transport)}: it speaks {spoken} to its upstreams, not HTTP"
            raise UsageError(msg)
        for name, why in (("tls", "TLS"), ("proxy_protocol", "the PROXY protocol")):
            if name in transport:
                del transport[name]
                self._say(transport, f"without {why}, which the run's backends do not speak")
        active = (handler.get("health_checks") or {}).get("active") or {}
        if active.pop("port", None) or active.pop("upstream", None):
            self._say(active, "checked at the port that requests go to")
        first, *others = [{key: each[key] for key in each if key != "dial"} for each in upstreams]
        if any(each != first for each in others):
            self._say(upstreams, "the upstreams differ: every backend is as the first one is")
        more = "".join(f", {literal(json.dumps(key))}: {literal(json.dumps(first[key]))}" for key in first)
        each = f'{{"dial": "@@address@@"{more}}}'
        handler["upstreams"] = Marked(f"[@@each backend@@{each}@@between@@, @@end@@]")

    # What belongs to the service.

    def _servers(self, http: dict[str, Any], servers: Mapping[str, Any], site: Site) -> None:
        made: dict[str, Any] = {FRONT: {}}
        others = 0
        for name, server in servers.items():
            rest = {key: server[key] for key in server if key not in OF_SERVER}
            common = {**rest, "automatic_https": {"disable": True}}
            self._say_of_server(server, front=name == site.server)
            if name != site.server:
                others += 1
                place = Marked(f'["unix/@@folder@@/other-{others}.sock"]')
                made[f"other-{name}" if name == FRONT else name] = {"listen": place, **common}
                continue
            if site.route is not None:
                self._rename(site)
            routes = [EDITED, *(rest.get("routes") or [{}])]
            made[FRONT] = {SPOKEN: None, "listen": Marked('["@@front@@"]'), **common, "routes": routes}
        http["servers"] = made

    def _rename(self, site: Site) -> None:
        """Let the site's route be for the host that the run's clients ask for."""
        assert site.route is not None  # noqa: S101
        for match in site.route["match"]:
            hosts = match.get("host") or []
            match["host"] = [Marked('"@@hostname@@"') if each == site.host else each for each in hosts]

    def _say_of_server(self, server: dict[str, Any], *, front: bool) -> None:
        if not front:
            return
        if len(server.get("listen", [])) > 1:
            self._say(server["listen"], "there is one front, in place of all of them")
        policies = server.get("tls_connection_policies")
        if policies or any(_port(each) == ":443" for each in server.get("listen", [])):
            said = "TLS is spoken with --tls, by a certificate of the run's, without it in the clear (HTTP/2 as h2c)"
            self._say(policies or server, said)
        if policies and any("client_authentication" in each for each in policies):
            self._say(policies, "no certificate is asked of clients, which have none")
        if server.get("listener_wrappers"):
            self._say(server["listener_wrappers"], "left out: the run's clients speak TCP and TLS alone")

    def _apps(self, http: dict[str, Any]) -> None:
        apps: dict[Any, Any] = {CERTIFICATES: None}
        for name, app in self.config["apps"].items():
            if name in ("http", "tls"):
                continue
            if name in ("pki", "layer4"):
                self._say(app, f"{name} is left out: it is for others than the run's clients")
            else:
                self._say(app, f"{printable(name)} is left as it is")
                apps[name] = app
        tls = self.config["apps"].get("tls")
        if tls:
            self._say(tls, "no certificate is asked for, none of its own is shown")
        self.config["apps"] = {**apps, "http": http}

    def _replace(self, name: str) -> None:
        before = self.config.pop(name, None)
        if name == "storage" and before:
            self._say(before, "what is stored is in the run's folder")
        if name == "admin" and before and before.get("disabled"):
            self._say(before, "the admin API is there: by it the run changes Caddy")

    def _say(self, about: object, words: str) -> None:
        self.remarks.append(Remark(self.before.lines.get(id(about), 1), words))

    def _where(self, about: object) -> str:
        return f"{self.path}{LINES_OF}:{self.before.lines.get(id(about), 1)}"


def _sites(name: str, server: Mapping[str, Any]) -> Iterator[Site]:
    """Yield a server's sites: its routes for some hosts."""
    for route in server.get("routes") or []:
        for match in route.get("match") or []:
            for host in match.get("host") or []:
                yield Site(name, route, host)


def _proxying(routes: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> Iterator[Proxying]:
    """Yield the handlers that pass on what comes to them, and those in routes below."""
    for route in routes:
        own = [path for match in route.get("match") or [] for path in match.get("path") or []] or paths
        for handler in route.get("handle") or []:
            if handler.get("handler") == "reverse_proxy":
                yield Proxying(handler, own)
            yield from _proxying(handler.get("routes") or [], own)


def _with_id(value: object, name: str) -> Iterator[dict[str, Any]]:
    """Yield the objects that have an ``@id``."""
    if isinstance(value, dict):
        if value.get("@id") == name:
            yield value
        for each in value.values():
            yield from _with_id(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _with_id(each, name)


def _port(address: str) -> str:
    """Return ``:8080`` of what a server listens at."""
    return ":" + address.rpartition(":")[2]


def adapted(program: Path, text: str, path: Path) -> str:
    """Return a Caddyfile as JSON, by Caddy itself, which also reads what it imports; raises `UsageError`."""
    there = path.is_file()
    command: list[str | Path] = [program, "adapt", "--adapter", "caddyfile", "--config", str(path) if there else "-"]
    try:
        done = subprocess.run(
            command, input=None if there else text.encode(), capture_output=True, timeout=LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"{path}: caddy adapt: {error}"
        raise UsageError(msg) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").splitlines()
        wrong = [line for line in said if line.startswith("Error:")] or said[-1:]
        msg = f"{path}: caddy adapt: {one_line(' '.join(wrong), WORDS_LIMIT)}"
        raise UsageError(msg)
    return done.stdout.decode("utf-8", "replace")


def adopt(binary: Binary, text: str, path: Path, wanted: Wanted) -> Adopted:
    """Return it as a template, of what Caddy adapts a Caddyfile to, or of JSON as it is.

    A frontend is a site by its address, or a server by its name or what it listens at, a backend a ``reverse_proxy`` by
    one of its upstreams or of its paths. Raises `UsageError`, or `StartError` if there is no Caddy.
    """
    config = _object(text)
    if config is None:
        config = _object(adapted(binary.find(), text, path))
    if config is None:
        msg = f"{path}: it comes to no object of JSON"
        raise UsageError(msg)
    try:
        return Adoption(path, config, wanted, Printed.of(config, escaped=False)).template()
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        msg = f"{path}: it is not as Caddy's configurations are: {type(error).__name__}: {printable(str(error))}"
        raise UsageError(msg) from error


def _object(text: str) -> dict[str, Any] | None:
    """Return an object of JSON, None if the text is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def adopter(binary: Binary) -> Adopter:
    """Return what adopts with this program."""
    return Adopter(("Caddyfile*", "*.caddyfile", "*Caddyfile", "caddy*.json"), partial(adopt, binary))
