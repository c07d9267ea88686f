"""HAProxy, changed over its runtime API: no connection of a client is touched.

https://docs.haproxy.org/2.8/management.html#9.3
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from proxyreload.errors import ChangeError, UsageError
from proxyreload.proxy.configuration import Configuration, Mark
from proxyreload.proxy.interfaces import IChecks, IEdits, IReloads, IRotates, IUpgrades
from proxyreload.proxy.route import Route
from proxyreload.proxy.upstream import Upstream
from proxyreload_haproxy_program import ADMIN, CONFIG, CONFIG_FILE, EDITED_HERE, HAProxy, certificate_name, configured

#: The columns of ``show servers conn`` with the address, the port and the connections in use.
ADDRESS_COLUMNS, USED_COLUMN = slice(2, 4), 6

#: The file that has the edited route, and what the frontend does with it. HAProxy changes it while it runs.
MAP = "edited.map"
MAPPED = """\
    http-request redirect location %[path,map_str(@@map@@)] code 302 if { path,map_str(@@map@@) -m found }
"""
EDITED = CONFIG[CONFIG.index("    @@if edit@@") : CONFIG.index("    use_backend")]
MAP_HERE = Mark(
    "map",
    "the file of a map from paths to where they redirect, of which an edit is an entry, for --change edit",
    MAPPED.strip(),
    EDITED_HERE.like,
)

#: What begins a section, and the lines that say how a server is spoken to; the first mark of one is its name.
SECTION = re.compile(
    r"\s*(global|defaults|frontend|backend|listen|userlist|peers|resolvers|cache|ring|program)\b\s*(\S*)"
)
SERVER, DEFAULT = re.compile(r"\s*server\s+@@name@@\s+@@address@@(.*)"), re.compile(r"\s*default-server\s+(.*)")

#: How many backends can be added to those of the start with `Slots`, and what stands in a slot that is free.
SPARE_SLOTS, FREE = 8, "127.0.0.1:1 disabled"

#: How long the next look at what still drains waits after the first, and at most: each is twice as late as the one
#: before, for a WebSocket may last for hours.
LOOK_AGAIN_S, LOOK_AGAIN_AT_MOST_S = 0.01, 0.25


@attrs.define(eq=False)
class Drain:
    """A server to which nothing new is sent, and at which something may be under way."""

    over: Deferred[None] | None = None
    given_up: bool = False


@attrs.define
class Draining(HAProxy):
    """A server is removed as soon as nothing new is sent to it; what has begun there ends while the run goes on."""

    _drains: dict[str, Drain] = attrs.field(factory=dict, init=False)  #: by server
    _mapped: Route | None = attrs.field(default=None, init=False)  #: what HAProxy's map has

    async def reload(self) -> None:
        """Reload; the new process knows of no drain, and the old one ends what it has by itself."""
        drains = tuple(self._drains)
        for server in drains:
            await self._give_up(server)
        try:
            await super().reload()
        except ChangeError:
            for server in drains:
                self._finish_later(server)
            raise

    async def rotate(self) -> None:
        """``set ssl cert`` and ``commit ssl cert``: new handshakes have it, sessions of before are resumed without it.

        https://docs.haproxy.org/2.8/management.html#9.3-commit%20ssl%20cert
        """
        assert self.workspace.tls is not None  # noqa: S101
        name, pem = certificate_name(self.workspace), self.workspace.tls.both.read_text(encoding="ascii")
        try:
            await self._command(f"set ssl cert {name} <<\n{pem}", "Transaction")
            await self._command(f"commit ssl cert {name}", "Success!")
        except ChangeError:
            await self._ask(f"abort ssl cert {name}")
            raise

    async def edit(self) -> None:
        """``add map``, and ``del map`` of what was there: no process is replaced, and no file read.

        https://docs.haproxy.org/2.8/management.html#9.3-add%20map
        """
        route, before = self.workspace.route, self._mapped
        assert route is not None  # noqa: S101
        await self._command(f"add map {MAP} {route.path} {route.to}")
        self._mapped = route
        if before is not None:
            await self._command(f"del map {MAP} {before.path}")
        self._write_config(self._servers)  # or a reload would lose it

    async def _drain(self, server: str) -> None:
        """Send nothing new to a server, which is in effect when HAProxy answers, and go on with what follows."""
        await self._both(f"set server {{}}/{server} state drain")
        self._finish_later(server)

    def _write_config(self, servers: dict[str, str]) -> None:
        """Write the map, too: HAProxy reads it at its start."""
        route = self._mapped
        self.workspace.write(MAP, "" if route is None else f"{route.path} {route.to}\n")
        super()._write_config(servers)

    def _marked(self, servers: Mapping[str, str]) -> dict[str, object]:
        return {**super()._marked(servers), "map": MAP}

    @property
    def _backends(self) -> dict[str, str]:
        """HAProxy's backends, which have the same servers, and what is said of each of these."""
        return backends(self.workspace.configuration.texts[CONFIG_FILE])

    def _finish_later(self, server: str) -> None:
        drain = self._drains[server] = Drain()
        drain.over = self.workspace.meanwhile(self._finish(server, drain), f"HAProxy lets go of {server}")

    async def _finish(self, server: str, drain: Drain) -> None:
        """When no connection is in use any more: maintenance, which purges what is idle then, and the rest."""
        wait_s = LOOK_AGAIN_S
        while not drain.given_up and any(each[USED_COLUMN] != "0" for each in await self._connections(server)):
            await deferLater(self.workspace.reactor, wait_s)
            wait_s = min(2 * wait_s, LOOK_AGAIN_AT_MOST_S)
        if not drain.given_up:
            await self._both(f"set server {{}}/{server} state maint")
            await self._vacate(server, drain)
        if not drain.given_up:
            del self._drains[server]

    async def _vacate(self, server: str, drain: Drain) -> None:
        """Do what is left once a server is in maintenance; nothing more if the drain is given up meanwhile."""

    async def _give_up(self, server: str) -> None:
        """Leave a drain where it is, after the command that is under way; nothing if there is none."""
        drain = self._drains.pop(server, None)
        if drain is not None and drain.over is not None:
            drain.given_up = True
            await drain.over

    async def _servers_known(self) -> dict[str, list[str]]:
        """Return the columns of ``show servers conn`` by a backend's and a server's name, ``app/`` that."""
        rows = map(str.split, (await self._ask("show servers conn")).splitlines())
        return {row[0]: row for row in rows if row}

    async def _connections(self, server: str) -> list[list[str]]:
        """Return those of a server, of each backend of HAProxy's that it is in."""
        known = await self._servers_known()
        names = [f"{backend}/{server}" for backend in self._backends]
        for name in names:
            if name not in known:
                msg = f"HAProxy knows no server {name}"
                raise ChangeError(msg)
        return [known[name] for name in names]

    async def _both(self, command: str) -> None:
        """Send a command for each backend of HAProxy's, whose name comes where ``{}`` is."""
        for backend in self._backends:
            await self._command(command.format(backend))


@implementer(IReloads, IUpgrades, IRotates, IEdits, IChecks)
@attrs.define
class Runtime(Draining):
    """Servers are added and deleted in the running process; no connection of a client is touched.

    https://docs.haproxy.org/2.8/management.html#9.3-add%20server
    """

    async def add_backend(self, upstream: Upstream) -> None:
        """``add server``, which adds it in maintenance, so ``enable server``; one that still drains is ready again."""
        name = upstream.name
        drains = name in self._drains
        await self._give_up(name)
        known = await self._servers_known() if drains else {}
        for backend, how in self._backends.items():
            if f"{backend}/{name}" in known:
                await self._command(f"set server {backend}/{name} state ready")
            else:
                await self._command(f"add server {backend}/{name} {upstream.address}{how}", "registered")
                await self._command(f"enable server {backend}/{name}")
        self._write_config({**self._servers, name: upstream.address})  # or a reload would lose it

    async def remove_backend(self, upstream: Upstream) -> None:
        """Drain it; ``del server`` follows when nothing is left."""
        await self._drain(upstream.name)
        self._write_config({name: self._servers[name] for name in self._servers if name != upstream.name})

    async def _vacate(self, server: str, drain: Drain) -> None:
        """``del server``, which is refused for seconds if any connection is left."""

        async def deleted(name: str) -> bool:
            if drain.given_up:
                return True
            said = await self._ask(f"del server {name}")
            if "still has" not in said and "deleted" not in said.lower():
                raise ChangeError(said)
            return "deleted" in said.lower()

        for backend in self._backends:
            name = f"{backend}/{server}"
            await self.workspace.until(partial(deleted, name), f"{name} deleted")


@implementer(IReloads, IUpgrades, IRotates, IEdits, IChecks)
@attrs.define
class Slots(Draining):
    """Servers that stand ready without an address, in maintenance, are given one: what was done before ``add server``.

    https://docs.haproxy.org/2.8/management.html#9.3-set%20server
    """

    async def start(self, upstreams: Sequence[Upstream]) -> None:
        """Start with a slot for each of them, and spare ones."""
        addresses = [*(upstream.address for upstream in upstreams), *[FREE] * SPARE_SLOTS]
        await self._start({f"slot{index}": address for index, address in enumerate(addresses)})

    async def add_backend(self, upstream: Upstream) -> None:
        """``set server addr`` of a free slot, then ``state ready``; one in which it still drains is ready again."""
        slot = next(filter(None, [await self._still_there(slot, upstream) for slot in tuple(self._drains)]), None)
        if slot is None:
            slot = self._slot(FREE)
            to = f"addr {upstream.host} port {upstream.port}"
            said = [await self._ask(f"set server {backend}/{slot} {to}") for backend in self._backends]
            if not await self._is_at(slot, upstream):
                raise ChangeError("; ".join(said))
        await self._give_up(slot)
        await self._both(f"set server {{}}/{slot} state ready")
        self._write_config({**self._servers, slot: upstream.address})

    async def remove_backend(self, upstream: Upstream) -> None:
        """Drain it; it is left in maintenance when nothing is under way there: a free slot."""
        slot = self._slot(upstream.address)
        await self._drain(slot)
        self._write_config({**self._servers, slot: FREE})

    async def _still_there(self, slot: str, upstream: Upstream) -> str:
        """Return a slot that drains if it is this backend that does."""
        return slot if await self._is_at(slot, upstream) else ""

    async def _is_at(self, slot: str, upstream: Upstream) -> bool:
        address = [upstream.host, str(upstream.port)]
        return all(each[ADDRESS_COLUMNS] == address for each in await self._connections(slot))

    def _slot(self, address: str) -> str:
        """Return the slot that holds an address; a free one is none that still drains."""
        slots = (slot for slot, holds in self._servers.items() if holds == address and slot not in self._drains)
        slot = next(slots, None)
        if slot is None:
            msg = f"none of the {len(self._servers)} slots has {address}"
            raise ChangeError(msg)
        return slot


def backends(text: str) -> dict[str, str]:
    """Return the sections of a configuration that have the backends' servers, and what is said of each of these.

    A server that is added knows nothing of ``default-server``.

    https://docs.haproxy.org/2.8/management.html#9.3-add%20server
    """
    found: dict[str, str] = {}
    usual = {"defaults": ""}
    section = name = ""
    for line in text.splitlines():
        if (begun := SECTION.match(line)) is not None:
            section, name = begun.groups()
            usual[section] = usual["defaults"] if section != "defaults" else ""
        elif (default := DEFAULT.match(line)) is not None:
            usual[section] = f"{usual[section]} {default[1].strip()}"
        elif (server := SERVER.match(line)) is not None and section in ("backend", "listen"):
            more = server[1].partition(" #")[0].strip()
            found[name] = f"{usual[section]} {more}".rstrip()
    return found


def require_servers(texts: Mapping[str, str]) -> None:
    """Raise `UsageError` for a configuration in which no server can be added as it is in the file."""
    if not backends(texts[CONFIG_FILE]):
        msg = "no backend has a line: server @@name@@ @@address@@, which is what the runtime API adds servers by"
        raise UsageError(msg)


def at_runtime() -> Configuration:
    """Return the configuration of a process that is changed while it runs."""
    made = configured(needs=(ADMIN,), edits=MAP_HERE, text=CONFIG.replace(EDITED, MAPPED))
    return attrs.evolve(made, marks=(*made.marks, MAP_HERE), names=require_servers)
