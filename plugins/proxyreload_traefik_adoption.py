"""A real dynamic configuration of Traefik's made into a template: with other servers, and all else as it is.

It listens nowhere itself: what its routers call an entry point is the static configuration's.

https://doc.traefik.io/traefik/reference/routing-configuration/dynamic-configuration-methods/
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from proxyreload.adoption.adopted import Adopted, Adopter, Remark, Wanted, chosen
from proxyreload.errors import UsageError
from proxyreload.proxy.yamltext import Node, YamlText

#: Sections of the static configuration, of which a file of the other kind has none.
STATIC = ("entryPoints", "providers", "api", "certificatesResolvers", "serversTransport", "accessLog")
#: The only entry point of a run, but for the API's.
ENTRY_POINT = "web"
HOST = re.compile(r"(?<!!)\bHost\([^()]*\)")
ROUTER = (
    '{"rule": "Path(`@@edited@@`)", "priority": 1000000, "entryPoints": ["web"], "service": SERVICE, '
    '"middlewares": ["proxyreload-edited"]}'
)
MIDDLEWARE = '{"redirectRegex": {"regex": "^(https?://[^/]+)/.*$", "replacement": "${1}@@leads-to@@"}}'
EDITED = "proxyreload-edited"


@attrs.define
class Adoption:
    """One file being made a template."""

    yaml: YamlText
    frontend: str
    backend: str
    service: Node
    lines_of: str = ""
    remarks: list[Remark] = attrs.field(factory=list)

    def template(self) -> Adopted:
        """Return it."""
        yaml = self.yaml
        for section in ("tcp", "udp"):
            self._without(yaml.root, section, f"{section} is left out: it is at entry points of its own")
        self._secured()
        self._routers()
        self._middlewares()
        self._servers()
        return Adopted(yaml.template(), self.remarks, self.lines_of)

    def _secured(self) -> None:
        yaml = self.yaml
        told = yaml.entry(yaml.root, "tls")
        for section in ("certificates", "stores"):
            self._without(told, section, f"without {section}: the front shows a certificate of the run's")
        options = yaml.entry(told, "options")
        # Of two providers that have them Traefik takes neither's.
        self._without(options, "default", "without the default options: those of the front are the run's")
        for _name, each in yaml.entries(options):
            self._without(each, "clientAuth", "clients are asked for no certificate: they have none")

    def _routers(self) -> None:
        yaml = self.yaml
        routers = yaml.entry(yaml.root, "http", "routers")
        for name, router in yaml.entries(routers):
            points = entry_points(yaml, router)
            if points and self.frontend not in points:
                yaml.remove(routers, router)
                self._say(router, f"router {name} is left out: it is at {', '.join(points)} alone")
                continue
            if points:
                yaml.replace(yaml.entry(router, "entryPoints"), f'["{ENTRY_POINT}"]')
            self._without(
                router, "tls", "TLS is spoken with --tls, by a certificate of the run's, without it in the clear"
            )
            self._rule(router)
        yaml.insert(routers, EDITED, ROUTER.replace("SERVICE", json.dumps(self.backend)), "edit")

    def _rule(self, router: Node) -> None:
        """Let a rule that asks for a host take the one for which clients ask as well."""
        yaml = self.yaml
        rule = yaml.entry(router, "rule")
        if rule is None:
            return
        said = yaml.scalar(rule)
        if "HostRegexp(" in said:
            self._say(rule, "HostRegexp is left as it is: the clients of a run ask for another name")
        told = HOST.sub(lambda host: f"({host[0]} || Host(`@@hostname@@`))", said.replace("@@", "@@@@"))
        if HOST.search(said) is not None:
            yaml.replace(rule, json.dumps(told, ensure_ascii=False))
            self._say(rule, "the name that the clients of a run ask for is one more")

    def _middlewares(self) -> None:
        yaml = self.yaml
        http = yaml.entry(yaml.root, "http")
        middlewares = yaml.entry(http, "middlewares")
        for _name, middleware in yaml.entries(middlewares):
            if (redirect := yaml.entry(middleware, "redirectScheme")) is not None:
                self._say(redirect, "what comes in the clear and is asked of this is redirected: run it with --tls")
        if middlewares is None:
            yaml.insert(http, "middlewares", f'{{"{EDITED}": {MIDDLEWARE}}}', "edit")
        else:
            yaml.insert(middlewares, EDITED, MIDDLEWARE, "edit")

    def _servers(self) -> None:
        yaml = self.yaml
        servers = yaml.entry(self.service, "loadBalancer", "servers")
        first, *others = yaml.items(servers)
        for each in others:
            if self._usual(each) != self._usual(first):
                self._say(each, f"the servers differ: every backend is as the one in line {yaml.line(first)} is")
        url = yaml.entry(first, "url")
        scheme, _slashes, rest = yaml.scalar(url).partition("://")
        if scheme == "https":
            self._say(url, "http in place of https: the run's backends speak plain HTTP")
        _address, slash, path = rest.partition("/")
        spoken = "h2c" if scheme == "h2c" else "http"
        yaml.replace(url, f'"{spoken}://@@address@@{json.dumps(slash + path)[1:-1].replace("@@", "@@@@")}"')
        yaml.repeat(servers, first)

    def _usual(self, server: Node) -> list[tuple[str, str]]:
        """Return what is said of a server that is not its alone."""
        return sorted((key, self.yaml.scalar(value)) for key, value in self.yaml.entries(server) if key != "url")

    def _without(self, within: Node | None, key: str, words: str) -> None:
        node = self.yaml.entry(within, key)
        if node is not None:
            self.yaml.remove(within, node)
            self._say(node, words)

    def _say(self, node: Node, words: str) -> None:
        self.remarks.append(Remark(self.yaml.line(node), words))


def adopt(text: str, path: Path, wanted: Wanted) -> Adopted:
    """Return it as a template: of TOML, what is the same in JSON.

    A frontend is an entry point that routers name, a backend a service with servers. Raises `UsageError` with the line
    of what cannot be: which entry point or service, a static configuration, one that has templates of Traefik's own.
    """
    lines_of = ""
    if path.suffix == ".toml":
        text, lines_of = as_json(text, path), ", as JSON"
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"\{\{", line):
            msg = f"{path}:{number}: {{{{ is a template of Traefik's own: adopt what comes of it"
            raise UsageError(msg)
    yaml = YamlText.parse(path, text)
    for section in STATIC:
        if (found := yaml.entry(yaml.root, section)) is not None:
            words = f"{section} is of a static configuration: adopt the file that its provider reads"
            raise yaml.wrong(found, words)
    services = {
        name: service
        for name, service in yaml.entries(yaml.entry(yaml.root, "http", "services"))
        if yaml.items(yaml.entry(service, "loadBalancer", "servers"))
    }
    routers = yaml.entry(yaml.root, "http", "routers")
    if not list(yaml.entries(routers)):
        msg = f"{path}: no router: nothing leads to a service"
        raise UsageError(msg)
    backend = chosen(path, "backend", wanted.backend, list(services))
    points = [point for _name, router in yaml.entries(routers) for point in entry_points(yaml, router)]
    frontend = chosen(path, "frontend", wanted.frontend, points or [ENTRY_POINT])
    first = yaml.items(yaml.entry(services[backend], "loadBalancer", "servers"))[0]
    if "://" not in yaml.scalar(yaml.entry(first, "url")):
        raise yaml.wrong(first, "this server has no url with a scheme")
    if not any(_leads(yaml, router, frontend, backend) for _name, router in yaml.entries(routers)):
        raise yaml.wrong(services[backend], f"no router at {frontend} leads to service {backend}")
    return Adoption(yaml, frontend, backend, services[backend], lines_of).template()


def entry_points(yaml: YamlText, router: Node) -> list[str]:
    """Return which entry points a router names."""
    return [yaml.scalar(each) for each in yaml.items(yaml.entry(router, "entryPoints"))]


def _leads(yaml: YamlText, router: Node, frontend: str, backend: str) -> bool:
    """Whether a router at the entry point leads to the service, or to one that is made of others."""
    points = entry_points(yaml, router)
    if points and frontend not in points:
        return False
    return backend in reached(yaml, yaml.scalar(yaml.entry(router, "service")))


def reached(yaml: YamlText, service: str) -> Mapping[str, bool]:
    """Return the services that one leads to, itself first."""
    found: dict[str, bool] = {}
    left = [service]
    services = yaml.entry(yaml.root, "http", "services")
    while left:
        name = left.pop().removesuffix("@file")
        if name not in found:
            found[name] = True
            left += _parts(yaml, yaml.entry(services, name))
    return found


def _parts(yaml: YamlText, service: Node | None) -> Iterator[str]:
    for key, value, _within in yaml.walk(service):
        if key in ("name", "service", "fallback"):
            yield yaml.scalar(value)


def as_json(text: str, path: Path) -> str:
    """Return what is said in TOML as JSON; raises `UsageError` with the line of what is none."""
    try:
        return json.dumps(tomllib.loads(text), indent=2, ensure_ascii=False) + "\n"
    except (ValueError, TypeError, RecursionError) as error:
        line = re.search(r"at line (\d+)", str(error))
        msg = f"{path}{f':{line[1]}' if line is not None else ''}: no TOML that could be JSON: {error}"
        raise UsageError(msg) from error


adopter = Adopter(
    tuple(f"{name}*.{suffix}" for name in ("traefik", "dynamic") for suffix in ("yml", "yaml", "toml")), adopt
)
